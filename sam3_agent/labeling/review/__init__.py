"""Reviewing labels in the browser: `workspace.py` decides, `model.py` looks again, `server.py` serves the page."""
