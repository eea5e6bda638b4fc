"""The full-size architecture on a GPU, step by step; see `python -m benchmarks.gpu --help`."""
