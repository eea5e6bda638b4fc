"""A manifest: what a run is made of, so that it can only be resumed as itself."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import evals
import sam3_agent
from sam3_agent.errors import InputError

FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that decides a run's figures; two runs may be continued by each other only if these are equal."""

    dataset: str
    """As its dataset names itself, such as "scenes:7/queries"."""
    dataset_hash: str
    """Of the cases that are asked, truth included."""
    cases: int
    solver: str
    model: str
    llm: str
    code: str
    """Version and a hash of all of this project's sources."""

    def write(self, run: Path) -> None:
        """Write `manifest.json` into the run's folder."""
        (run / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def check_same(self, other: "Manifest") -> None:
        """Raise InputError naming what differs, unless `other` is equal."""
        mine, theirs = asdict(self), asdict(other)
        different = [f"{key} was {mine[key]!r}, is {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]
        if different:
            raise InputError(f"this run was made differently: {'; '.join(different)}; give another --out to start anew")


def read_manifest(run: Path) -> Manifest:
    """The manifest of a run's folder.

    Raises:
        InputError: the folder holds no run, or its manifest is broken.
    """
    path = run / FILE
    if not path.is_file():
        raise InputError(f"{run}: no run here ({FILE} is missing); make one with: sam3-eval run DATASET --out {run}")
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not a manifest of this version ({error})") from error


def code_version() -> str:
    """The version with a hash of every source and prompt file of the packages that decide figures."""
    digest = hashlib.sha256()
    for package in (sam3_agent, evals):
        root = Path(str(package.__file__)).parent
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".md") and p.is_file()):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{sam3_agent.__version__}+{digest.hexdigest()[:12]}"
