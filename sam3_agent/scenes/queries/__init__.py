"""Queries about a scene, from plain phrases to sentences that need reasoning, with exact answers."""

from sam3_agent.scenes.queries.asking import queries_of
from sam3_agent.scenes.queries.query import Query

__all__ = ["Query", "queries_of"]
