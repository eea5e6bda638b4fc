"""Big images and small objects: looking closer where it pays, and one answer out of many views.

`closer` decides and looks, `grid` cuts, `agreement` says which candidates of different views are one object, `stitch`
makes that object, `leftovers` drops what the edges of tiles and blurred views leave behind, `answer` puts it together.
"""

from sam3_agent.workspace.tiling.adaptive import look_closer
from sam3_agent.workspace.tiling.answer import Found, found_in

__all__ = ["Found", "found_in", "look_closer"]
