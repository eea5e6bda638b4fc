"""How good the tiny SAM 3 is: `python -m benchmarks.tiny --help`."""
