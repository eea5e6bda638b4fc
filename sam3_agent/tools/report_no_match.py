"""Tool that ends a run without a match."""

from dataclasses import dataclass

from sam3_agent.tools.arguments import Reason
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class NoMatch:
    """Report of a run that nothing in the image fits."""

    reason: str


def report_no_match(workspace: Workspace, reason: Reason = "") -> NoMatch:
    """End the run: nothing in the image is what the query means. An honest no is a good answer."""
    return NoMatch(reason)


def present(_: Workspace, result: NoMatch) -> Presentation:
    """Give the reason back."""
    text = f"No match reported. Reason: {result.reason or 'none given'}"
    return Presentation(text, {"outcome": "no_match", "reason": result.reason})


REPORT_NO_MATCH = ToolSpec.of(report_no_match, present)
