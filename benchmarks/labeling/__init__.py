"""Measures labelling: what is found and where it is routed, speed beside the bare eye, formats in other readers."""
