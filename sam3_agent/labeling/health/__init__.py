"""Health of a set of labels: a report for people and programs."""
