"""The commands around an installation, `doctor` and `skill`, as `app.py` takes them up."""

from typing import Annotated, Literal

import typer

from sam3_agent.cli.options import JsonOption


def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the Hugging Face Hub for access to facebook/sam3.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at what is installed and say what to do where something is missing.

    Exits with 1 when something is missing without which nothing works. Tokens are never shown.
    """
    from sam3_agent.cli.commands import doctor as command
    from sam3_agent.cli.output import print_json

    report = command.examine(online=not offline)
    if as_json:
        print_json(report.to_json())
    else:
        command.print_report(report)
    if not report.ok:
        raise typer.Exit(1)


def skill(
    action: Annotated[Literal["install"], typer.Argument(metavar="install", help="Write the skill's folder.")],
    target: Annotated[
        str, typer.Option("--target", metavar="TARGET", help="claude-code (~/.claude/skills), or a folder of skills.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Teach an agent such as Claude Code how to use this project: a SKILL.md with its references.

    An older copy is replaced; files of yours in it are refused to be overwritten.
    """
    from sam3_agent.cli.commands import skill as command
    from sam3_agent.cli.output import print_json, print_line

    folder = command.install(target)
    if as_json:
        print_json({"action": action, "folder": str(folder), "files": [path.name for path in command.files()]})
    else:
        print_line(f"installed the skill sam3-agent in {folder}")


COMMANDS = (doctor, skill)
"""In the order of `--help`."""
