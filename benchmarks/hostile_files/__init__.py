"""Benchmark of files that strangers made: recordings, journals, concepts, runs, models and labels, mutated."""
