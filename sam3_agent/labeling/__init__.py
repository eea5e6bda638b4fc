"""Labeling in bulk: images x an ontology of classes -> verified labels, resumable; review; export.

`run.py` is the main path: scan, propose, merge, verify, each image written to the journal as one step.
"""
