"""Traces as JSON lines: the only place where they are written or read."""

import base64
import json
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.formats.reading import parse_json, read_text
from sam3_agent.types import Step, Trace

TRACE_VERSION = 1
PICTURE = "picture"


def write_trace(trace: Trace, path: str | Path) -> Path:
    """Write one JSON object a line, {"kind", "seconds", "data"}; the file appears whole or not at all.

    Pictures that the run kept follow the steps as {"kind": "picture", "key", "jpeg"}, in base64.

    Raises:
        InputError: the file cannot be written there.
    """
    target = Path(path)
    lines = [json.dumps({"kind": s.kind, "seconds": s.seconds, "data": s.data}, default=str) for s in trace.steps]
    for key, jpeg in trace.pictures.items():
        lines.append(json.dumps({"kind": PICTURE, "key": key, "jpeg": base64.b64encode(jpeg).decode("ascii")}))
    try:
        write_text(target, "".join(line + "\n" for line in lines))
    except OSError as error:
        raise InputError(f"cannot write the trace to {target}: {error.strerror or error}") from error
    return target


def read_trace(path: str | Path) -> Trace:
    """Read what `write_trace` wrote; a file cut off in the middle of a line is refused.

    Raises:
        InputError: the file is missing or a line of it is no step; the message names the line.
    """
    source = Path(path)
    text = read_text(source)
    steps: list[Step] = []
    pictures: dict[str, bytes] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        read = _read(source, number, line)
        if isinstance(read, Step):
            steps.append(read)
        else:
            pictures[read[0]] = read[1]
    return Trace(tuple(steps), pictures)


def _read(source: Path, number: int, line: str) -> Step | tuple[str, bytes]:
    """One line: a step, or a picture with its key."""
    try:
        value = parse_json(line, f"{source}, line {number}")
        if value["kind"] == PICTURE:
            return str(value["key"]), base64.b64decode(value["jpeg"], validate=True)
        return Step(str(value["kind"]), float(value["seconds"]), dict(value["data"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{source}, line {number}: expected a step with kind, seconds and data") from error
