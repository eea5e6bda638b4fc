"""Store: labels and detections of a run, and the journal that keeps them."""
