"""Fine-tuning of a model from a few images: low-rank changes of the detector, and a report of what it forgot."""
