"""Tracks: detections of every frame tied to objects with ids that never change. No weights and no torch here."""
