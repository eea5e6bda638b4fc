"""The tracker's memory: what SAM 3 keeps of an object from frame to frame, and how it finds the object again by it."""
