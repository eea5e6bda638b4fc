"""Ontology: the classes that a labeling run looks for, and their phrases."""
