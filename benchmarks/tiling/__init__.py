"""What tiles find in big pictures that one look does not: `python -m benchmarks.tiling --help`."""
