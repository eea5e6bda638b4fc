"""The page of the Python API, docs/python.md, written from docstrings and run as it stands.

Run by `make docs` through `generate.py`; `python docs/python_page.py` draws the pictures of the page anew.
"""

import inspect
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

import sam3_agent
from sam3_agent import Agent, Answer, Instance, Segmentation, Workspace
from sam3_agent.render import Picture
from sam3_agent.types import Found

PICTURES = Path(__file__).parent / "python"

_SHOWN = 640
"""Pixels of the longer side of a picture on the page."""

OPENING = """# Python

Written by `make docs` from the docstrings; every snippet is run by the tests, top to bottom, as one program.

```python
from sam3_agent import Agent, Sam3, Workspace, load_llm
from sam3_agent.scenes import generate_scene

ws = Workspace(Sam3.load("tiny"))  # "facebook/sam3" once you have access to Meta's weights
image = ws.open(generate_scene(82).image)  # a path, URL, bytes, PIL image or (H, W, 3) array
```

A result shows itself: its `repr` is one line, and in a notebook it is the image with the masks and a table
([example notebook](../examples/notebook.ipynb)).
"""

VERBS: Sequence[tuple[str, Callable[..., Any], str]] = (
    ("segment", Workspace.segment, 'houses, stars = ws.segment(image.id, ["house", "star"])\nhouses'),
    ("presence", Workspace.presence, 'ws.presence(image.id, ["house", "zebra"])'),
    (
        "refine",
        Workspace.refine,
        "like_the_first = ws.refine(image.id, None, positive_masks=[houses.instances[0].id])\nlike_the_first",
    ),
    (
        "segment_at",
        Workspace.segment_at,
        "x0, y0, x1, y1 = houses.instances[0].box\n"
        "clicked = ws.segment_at(image.id, points=[((x0 + x1) / 2, (y0 + y1) / 2)])\nclicked",
    ),
    (
        "combine",
        Workspace.combine,
        'both = ws.combine([each.id for each in houses.instances[:2]], "union")\nboth',
    ),
    ("measure", Workspace.measure, 'table = ws.measure(image.id, order_by="largest")\ntable.rows[0]'),
    ("look", Workspace.look, 'ws.look(image.id, [each.id for each in houses.instances], style="fill")'),
    (
        "learn",
        Workspace.learn,
        'ws.learn("home", positive_masks=[houses.instances[0].id])\nws.segment(image.id, ["@home"])[0]',
    ),
    (
        "ask",
        Agent.ask,
        'answer = Agent(ws, load_llm("rules")).ask(image.id, "the house furthest to the right")\nanswer',
    ),
    ("forget", Workspace.forget, "other = ws.open(generate_scene(83).image)\nws.forget(other.id)"),
)
"""(verb, method, snippet whose last line is shown)."""

ARRAYS = """## Arrays and other libraries

```python
houses.masks.shape  # (N, H, W) bool; (0, H, W) where nothing was found
houses.boxes.shape  # (N, 4) xyxy pixels
houses.scores.shape  # (N,)
houses.to_coco(image_id=1, category_id=1)[0]["bbox"]  # COCO annotations, masks as compressed RLE
```

`houses.to_supervision()` is a `supervision.Detections`, `houses.to_dataframe()` a `pandas.DataFrame`; both packages are
asked for when they are needed, and are no dependencies. An `Answer` has the same arrays and methods.
"""


def python_page() -> str:
    """Write docs/python.md as text."""
    parts = [OPENING, "## Verbs\n"]
    for verb, method, snippet in VERBS:
        owner = "Agent" if method is Agent.ask else "Workspace"
        parts.append(f"### {owner}.{verb}\n\n{_docstring(method)}\n\n```python\n{snippet}\n```\n")
        if (PICTURES / f"{verb}.webp").is_file():
            parts.append(f'<img src="python/{verb}.webp" alt="what {verb} gives" width="420">\n')
    parts.append(ARRAYS)
    parts.append("## Values\n")
    for value in (Segmentation, Answer, Instance):
        parts.append(f"**`{value.__name__}`**: {_docstring(value)}\n\n{_members(value)}\n")
    parts.append(f"## All public names\n\n{_public_names()}\n")
    return "\n".join(parts)


def _members(value: type) -> str:
    """List attributes and methods with the first sentence of their docstrings."""
    fields = ", ".join(f"`{name}`" for name in getattr(value, "__dataclass_fields__", {}))
    owners = (value, Found) if issubclass(value, Found) else (value,)
    found = {n: m for owner in owners for n, m in vars(owner).items() if not n.startswith("_") and inspect.getdoc(m)}
    lines = [
        f"- `{name}{'' if isinstance(member, property) else '()'}`: {_first(inspect.getdoc(member) or '')}"
        for name, member in found.items()
        if isinstance(member, property) or inspect.isfunction(member)
    ]
    return "\n".join([f"Fields: {fields}.", "", *lines])


def _public_names() -> str:
    rows = ["| name | |", "|---|---|"]
    for name in sam3_agent.__all__:
        value = getattr(sam3_agent, name)
        text = inspect.getdoc(value) if inspect.isclass(value) or inspect.isfunction(value) else ""
        rows.append(f"| `{name}` | {_first(text or '').replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def _docstring(value: Any) -> str:
    """Turn a docstring into Markdown: sections become lists, the rest stays."""
    text = inspect.getdoc(value) or ""
    text = re.sub(r"^(Args|Raises|Returns):$", r"\1:\n", text, flags=re.MULTILINE)
    return re.sub(r"^    (\S.*)$", r"- \1", text, flags=re.MULTILINE)


def _first(text: str) -> str:
    return re.split(r"(?<=\.)\s", " ".join(text.split()), maxsplit=1)[0]


def snippets(page: str) -> list[str]:
    """The Python snippets of a page, in order."""
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def draw_pictures() -> None:
    """Run the snippets with the embedded model and draw what each verb gives."""
    names: dict[str, Any] = {}
    exec(OPENING.split("```python\n")[1].split("```")[0], names)  # our own page
    PICTURES.mkdir(exist_ok=True)
    for verb, _, snippet in VERBS:
        *before, last = snippet.splitlines()
        exec("\n".join(before), names)
        if last.startswith("ws.forget"):
            continue
        value = eval(last, names)
        picture = value if isinstance(value, Picture) else None
        if isinstance(value, Instance):
            picture = names["ws"].look(names["image"].id, [value.id])
        data = picture._repr_png_() if picture else value._repr_png_() if isinstance(value, Found) else None
        if data is not None:
            drawn = Image.open(io.BytesIO(data)).convert("RGB")
            drawn.thumbnail((_SHOWN, _SHOWN))
            drawn.save(PICTURES / f"{verb}.webp", quality=85)


if __name__ == "__main__":
    draw_pictures()
