"""Rounds over a labeling run: classes are taught from what people decided, and the rest is labeled anew."""
