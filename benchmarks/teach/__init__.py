"""Benchmark of concepts learned from examples, on unseen procedural scenes."""
