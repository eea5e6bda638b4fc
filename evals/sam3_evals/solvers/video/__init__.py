"""Solvers of videos, one file each."""
