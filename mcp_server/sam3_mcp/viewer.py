"""Page that shows an image with its masks, as an MCP App for hosts that have them."""

from importlib import resources

UI_EXTENSION = "io.modelcontextprotocol/ui"
VIEWER_URI = "ui://sam3/viewer.html"
VIEWER_MIME = "text/html;profile=mcp-app"


def viewer_page() -> str:
    """The page without a document: it asks its host for what a tool's result names."""
    # Not files("sam3_agent.render"): that would import numpy and Pillow, and hosts list resources while they start.
    return resources.files("sam3_agent").joinpath("render/viewer.html").read_text(encoding="utf-8")
