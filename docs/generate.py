"""Writes the generated parts of the manual: tables of tools, docs/cli.md, docs/python.md, the model card.

Run by `make docs`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sam3_mcp.ask_image import ASK_IMAGE
from sam3_mcp.ask_video import ASK_VIDEO
from sam3_mcp.job_tools import JOB_TOOLS, as_job
from sam3_mcp.picture_size import with_max_side
from sam3_mcp.results import DEFAULTS
from sam3_mcp.tool_handler import describe

from benchmarks.tiny.card import card_tables
from docs.python_page import python_page
from sam3_agent.cli.app import app
from sam3_agent.tools import HOST_TOOLS, LOOP_TOOLS, ToolSpec

ROOT = Path(__file__).resolve().parent.parent
CARD = ROOT / "sam3_agent" / "model" / "weights" / "tiny" / "README.md"
FIGURES = CARD.with_name("figures.json")
"""Figures that `python -m benchmarks.tiny --out` wrote for the embedded weights."""
CARD_BEGIN, CARD_END = "<!-- figures: written by make docs -->", "<!-- end of figures -->"
SERVED_BEGIN, SERVED_END = "<!-- served tools: written by make docs -->", "<!-- end of served tools -->"
BEGIN, END = "<!-- tools: written by make docs -->", "<!-- end of tools -->"


def tool_table() -> str:
    """One row a tool: its name, arguments and what it does."""
    rows = ["| tool | arguments | does |", "|---|---|---|"]
    rows += [_row(tool, "") for tool in HOST_TOOLS]
    rows += [_row(tool, " *(in the loop only)*") for tool in LOOP_TOOLS if tool not in HOST_TOOLS]
    return "\n".join(rows)


def _row(tool: ToolSpec, note: str) -> str:
    required = set(tool.json_schema.get("required", ()))
    names = [name if name in required else f"{name}?" for name in tool.json_schema["properties"]]
    arguments = ", ".join(f"`{name}`" for name in names) or "–"
    return f"| `{tool.name}` | {arguments} | {_first_sentence(tool.description)}{note} |"


def _first_sentence(text: str) -> str:
    flat = " ".join(text.split())
    return re.split(r"(?<=\.)\s", flat, maxsplit=1)[0].replace("|", "\\|")


def readme(current: str) -> str:
    """The README with a new table of tools."""
    return _between(current, BEGIN, END, tool_table())


def served_table() -> str:
    """One row a tool as `sam3-mcp` lists it: its arguments, what it does, whether it takes anything away."""
    rows = ["| tool | arguments | does |", "|---|---|---|"]
    asking = (ASK_IMAGE, ASK_VIDEO)
    for spec in (*HOST_TOOLS, *asking, *JOB_TOOLS):
        tool = describe(with_max_side(as_job(spec)), DEFAULTS)
        required = set(tool.input_schema.get("required", ()))
        names = (name if name in required else f"{name}?" for name in tool.input_schema["properties"])
        note = " *(with `--llm`)*" if spec in asking else " *(with `--out-dir`)*" if spec.writes else ""
        note += " *(a job)*" if spec.is_long or spec in asking else ""
        arguments = ", ".join(f"`{name}`" for name in names) or "–"
        rows.append(f"| `{tool.name}` | {arguments} | {_first_sentence(tool.description or '')}{note} |")
    return "\n".join(rows)


def mcp_page(current: str) -> str:
    """docs/mcp.md with a new table of what the server offers."""
    return _between(current, SERVED_BEGIN, SERVED_END, served_table())


def model_card(current: str) -> str:
    """The card of the embedded weights with the figures that lie beside it."""
    document = json.loads(FIGURES.read_text(encoding="utf-8"))
    return _between(current, CARD_BEGIN, CARD_END, card_tables(document))


def _between(page: str, begin: str, end: str, text: str) -> str:
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{text}\n{end}{tail}"


def cli_page() -> str:
    """docs/cli.md: every command of sam3-agent with its arguments and options."""
    group: Any = typer.main.get_command(app)
    parts = ["# sam3-agent", "", "Written by `make docs` from the commands themselves; `--help` says the same."]
    for name, command in _commands(group):
        given = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["sam3-agent", name, *(_argument(p) for p in given), "[OPTIONS]"])
        parts += ["", f"## {name}", "", " ".join(command.help.split()), "", f"`{usage}`", ""]
        parts += ["| | | default |", "|---|---|---|"]
        parts += [_parameter_row(p) for p in command.params]
    return "\n".join(parts) + "\n"


def _commands(group: Any) -> Iterator[tuple[str, Any]]:
    """Every command with its full name, those of a group such as `serve model` in place of the group."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in _commands(command))
        else:
            yield name, command


def _argument(parameter: Any) -> str:
    return f"{parameter.metavar}..." if parameter.nargs == -1 else parameter.metavar


def _parameter_row(parameter: Any) -> str:
    name = parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0]
    if parameter.param_type_name == "option" and not parameter.is_flag:
        name += f" {parameter.metavar}"
    default = "required" if parameter.required else "" if parameter.default in (None, False) else parameter.default
    return f"| `{name}` | {parameter.help} | {default} |"


def main() -> None:
    """Write them all."""
    CARD.write_text(model_card(CARD.read_text(encoding="utf-8")), encoding="utf-8")
    page = ROOT / "README.md"
    page.write_text(readme(page.read_text(encoding="utf-8")), encoding="utf-8")
    page = ROOT / "docs" / "mcp.md"
    page.write_text(mcp_page(page.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs" / "cli.md").write_text(cli_page(), encoding="utf-8")
    (ROOT / "docs" / "python.md").write_text(python_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
