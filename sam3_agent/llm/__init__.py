"""LLM providers: wires, tool calls, retry, pricing, recording."""
