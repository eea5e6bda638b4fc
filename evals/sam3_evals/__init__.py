"""Evals: numbers that can be trusted, compared and reproduced."""
