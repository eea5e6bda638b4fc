"""Many callers in front of one model."""
