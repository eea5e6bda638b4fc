"""Planner for videos: parse.py (query -> plan), select.py (plan, measured tracks -> tracks)."""
