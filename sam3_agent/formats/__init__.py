"""Readers and writers of other people's label formats, on plain values."""
