"""Measurements of the served model: replicas of this machine, and a simulation of a thousand."""
