"""Measures the MCP server: fuzz, load, and what the protocol costs."""
