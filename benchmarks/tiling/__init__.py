"""Gain of tiles over one look in big images: `python -m benchmarks.tiling --help`."""
