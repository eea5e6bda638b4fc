"""Measurements that a person runs; none of them is a timed test."""
