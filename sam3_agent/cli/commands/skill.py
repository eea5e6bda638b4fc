"""`sam3-agent skill install`: instructions for agents, copied to where they look for them."""

import shutil
import tempfile
from pathlib import Path

from sam3_agent.errors import InputError

SOURCE = Path(__file__).parents[2] / "skill"
NAME = "sam3-agent"
CLAUDE_CODE = "claude-code"


def files() -> list[Path]:
    """The files of the skill, relative to its folder."""
    return sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.md"))


def install(target: str) -> Path:
    """Write the skill as TARGET/sam3-agent and return that folder; it is there whole or not at all.

    Raises:
        InputError: something else lies there, or TARGET is a file.
        OSError: the folder cannot be written.
    """
    skills = Path.home() / ".claude" / "skills" if target == CLAUDE_CODE else Path(target).expanduser()
    if skills.exists() and not skills.is_dir():
        raise InputError(f"'{target}' is a file: give {CLAUDE_CODE}, or the folder that holds an agent's skills")
    folder = skills / NAME
    _check_ours(folder)
    skills.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=skills) as scratch:
        made = Path(scratch) / NAME
        for path in files():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SOURCE / path, made / path)
        if folder.is_dir():
            shutil.rmtree(folder)
        made.rename(folder)
    return folder.resolve()


def _check_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but an older copy of the skill."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"'{folder}' is in the way: remove it, or give another --target")
    if not folder.is_dir():
        return
    strangers = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md"]
    head = folder / "SKILL.md"
    ours = head.is_file() and f"name: {NAME}\n" in head.read_text(encoding="utf-8", errors="replace")
    if strangers or (not ours and any(folder.iterdir())):
        what = strangers[0].name if strangers else "another skill"
        raise InputError(f"'{folder}' holds {what}, which would be lost: remove it, or give another --target")
