"""Mutated label files: whatever is in one, it is read, left out by name or refused, and never hangs or crashes."""
