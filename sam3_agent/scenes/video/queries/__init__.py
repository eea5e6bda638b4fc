"""Queries about the course of a video, with exact answers by stated rules."""

from sam3_agent.scenes.queries.query import Query
from sam3_agent.scenes.video.queries.asking import temporal_queries_of

__all__ = ["Query", "temporal_queries_of"]
