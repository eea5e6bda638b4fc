"""How well new concepts are learned from examples, on unseen procedural scenes."""
