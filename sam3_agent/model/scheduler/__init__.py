"""The scheduler in front of the model: calls of many threads meet in batches, urgent ones first."""

from sam3_agent.model.scheduler.request import Pending
from sam3_agent.model.scheduler.scheduler import PlacedFeatures, Scheduler

__all__ = ["Pending", "PlacedFeatures", "Scheduler"]
