"""Measurements of tracking: how well procedural videos are followed, and the memory and speed of a long one."""
