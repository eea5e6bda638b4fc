"""The tool that ends a run without a match."""

from sam3_agent.tools.arguments import Reason
from sam3_agent.tools.results import NoMatch
from sam3_agent.workspace import Workspace


def report_no_match(workspace: Workspace, reason: Reason = "") -> NoMatch:
    """End the run: nothing in the image is what the query means.

    An honest no is a good answer. Before it, try a more general noun and look at the near misses.
    """
    return NoMatch(reason)
