"""Formats of tracks, one file each: a writer for those who read them, and a reader that gives the tracks back."""
