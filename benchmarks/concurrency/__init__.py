"""Many callers in front of one eye."""
