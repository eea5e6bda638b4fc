"""Terminal front door: `sam3-agent`. Begin at `main.py`."""
