"""The MCP front door: the tools for any host that speaks the Model Context Protocol."""
