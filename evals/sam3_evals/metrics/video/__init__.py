"""Metrics of videos, one file each: pure functions on masks of frames and on tracks, no model and no files."""
