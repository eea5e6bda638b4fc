"""Quality of the tiny SAM 3: `python -m benchmarks.tiny --help`."""
