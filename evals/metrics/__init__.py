"""Metrics, one file each: pure functions on masks and numbers, no model and no files."""
