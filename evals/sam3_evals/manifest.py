"""A manifest: what a run is made of, so that it can only be resumed as itself."""

import hashlib
import importlib.util
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import pydantic

import sam3_agent
import sam3_evals
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error

FILE = "manifest.json"
MOST_BYTES = 1 << 20
"""Of a manifest; one has under 2 kB."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that decides a run's figures; two runs may be continued by each other only if these are equal."""

    dataset: str
    """As its dataset names itself, such as "scenes:7/queries"."""
    dataset_hash: str
    """Of all cases, those of other shards included, with their truth."""
    cases: int
    """Of all shards together."""
    solver: str
    model: str
    weights: str
    """Hash of the model's weights; empty where the solver uses no model."""
    llm: str
    prompts: str
    """Hash of the prompts that an LLM reads; empty where there is none."""
    seed: int
    code: str
    """Version and a hash of all of this project's sources, and of a solver's that is not part of it."""
    device: str = ""
    """Device of the model, "cpu", "cuda" or "mps"; empty where the solver uses no model."""
    dtype: str = ""
    """The model's number format; empty where the solver uses no model."""
    shard: str = ""
    """"i/n" of a part of a run; empty for a whole one."""

    def write(self, run: Path) -> None:
        """Write `manifest.json` into the run's folder, whole or not at all."""
        write_json(run / FILE, asdict(self), indent=2)

    def check_continued_by(self, other: "Manifest", begins: str) -> None:
        """Raise InputError unless `other` is equal, or asks the same cases and more behind them.

        `begins` is the hash of as many of its first cases as this one has.
        """
        as_before = replace(other, cases=self.cases, dataset_hash=self.dataset_hash)
        if other.cases < self.cases and as_before == self:
            raise InputError(
                f"cases was {self.cases}, is {other.cases}: a limit can be raised, not lowered; give another --out"
            )
        self.check_same(as_before if other.cases > self.cases and begins == self.dataset_hash else other)

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
    document = read_json(path, most=MOST_BYTES, finite=True)
    given = cast(dict[str, Any], document).keys() if isinstance(document, dict) else set[str]()
    if unknown := given - {each.name for each in fields(Manifest)}:
        raise InputError(f"{path}: not a manifest of this version (it has {', '.join(sorted(unknown)):.100})")
    try:
        return pydantic.TypeAdapter(Manifest).validate_python(document)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: not a manifest of this version ({first_error(error)})") from error


def code_version(solver: str = "") -> str:
    """The version with a hash of every source and prompt file of the packages that decide figures.

    A solver "module:function" adds the file of its module.
    """
    digest = hashlib.sha256()
    for package in (sam3_agent, sam3_evals):
        root = Path(str(package.__file__)).parent
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".md") and p.is_file()):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    module, colon, _ = solver.partition(":")
    found = importlib.util.find_spec(module) if colon else None
    if found is not None and found.origin is not None and Path(found.origin).is_file():
        digest.update(Path(found.origin).read_bytes())
    return f"{sam3_agent.__version__}+{digest.hexdigest()[:12]}"


def prompts_hash() -> str:
    """Of every prompt that the loop's LLMs read."""
    digest = hashlib.sha256()
    for path in sorted((Path(str(sam3_agent.__file__)).parent / "loop" / "prompts").glob("*.md")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
