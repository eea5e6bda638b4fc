"""A trace as one HTML page, needing nothing else, that replays the run: pictures, thoughts, calls, scores, cost.

Of a run about a video it has the contact sheets, and a strip for each track that says in which frames it is seen.
"""

import base64
import json
from importlib import resources
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.types import Trace

_PLACE = "__RUN__"


def render_page(trace: Trace) -> str:
    """The page, with everything that the trace holds inside it; without kept pictures their captions stand there."""
    run = {
        "steps": [{"kind": step.kind, "seconds": step.seconds, "data": step.data} for step in trace.steps],
        "pictures": {key: base64.b64encode(jpeg).decode("ascii") for key, jpeg in trace.pictures.items()},
    }
    # Within a script element only "</" and "<!--" mean anything to a browser; as \\u003c they are plain JSON.
    data = json.dumps(run, default=str).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    template = resources.files(__name__).joinpath("page.html").read_text(encoding="utf-8")
    return template.replace(_PLACE, data)


def write_page(trace: Trace, path: str | Path) -> Path:
    """Write the page; the file appears whole or not at all.

    Raises:
        InputError: the file cannot be written there.
    """
    target = Path(path)
    try:
        write_text(target, render_page(trace))
    except OSError as error:
        raise InputError(f"cannot write the page to {target}: {error.strerror or error}") from error
    return target
