"""Losses, training and (later) fine-tuning of a SAM 3: `python -m sam3_agent.training --help`."""
