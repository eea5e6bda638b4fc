"""Measurements of the evaluation harness, and the table of solvers."""
