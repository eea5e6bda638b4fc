"""Serving: the model as a deployment of Ray Serve, on one machine or many."""
