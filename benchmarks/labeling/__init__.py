"""Measures labeling: what is found and where it is routed, speed beside the bare model, formats in other readers."""
