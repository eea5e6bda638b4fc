"""The embedded LLM: a planner without an LLM, in four steps: parse.py, plan.py, things.py, choose.py."""

from sam3_agent.planner.planner import RulesLLM

__all__ = ["RulesLLM"]
