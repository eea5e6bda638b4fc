"""Planner without an LLM, in three steps: parse.py (query -> plan), observations.py (results -> things), select.py."""

from sam3_agent.planner.planner import RulesLLM

__all__ = ["RulesLLM"]
