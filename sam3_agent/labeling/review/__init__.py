"""Reviewing labels in the browser: `desk.py` decides, `eye.py` looks again, `server.py` serves the page."""
