"""Commands of the terminal, one file each; `app.py` declares their options."""
