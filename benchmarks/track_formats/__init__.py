"""Formats of tracks, read by other people's readers."""
