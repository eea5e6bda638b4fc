"""Holding an implementation, or the answers that one wrote down, against the fixtures."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.reasonseg import read_record
from sam3_evals.conformance.fixtures import CONVENTIONS, folder, mask_hash, read_expected, read_predictions
from sam3_evals.metrics import iou
from sam3_evals.metrics.iou import Overlap
from sam3_evals.solvers.function import load_function

TOLERANCE = 1e-6
ANSWERS = "answers.json"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    passed: bool
    words: str = ""
    """Expected and found values, where they differ."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def conforms(self) -> bool:
        """Nothing differs."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return {"conforms": self.conforms, "checks": [asdict(check) for check in self.checks]}

    def table(self) -> str:
        """A line a check, and the sum."""
        lines = [f"{'ok  ' if c.passed else 'FAIL'} {c.what}{': ' + c.words if c.words else ''}" for c in self.checks]
        failed = sum(not check.passed for check in self.checks)
        return "\n".join([*lines, f"{len(self.checks)} checks, {failed} failed"])


def check_implementation(spec: str) -> Verdict:
    """Check this project's painting and figures, or the painting of "module:function".

    The function gets the paths of a record's JSON file and image and returns its (H, W) mask of 0, 1 and 255.

    Raises:
        InputError: there is no such function.
    """
    if not spec:
        return _verdict(own_answers())
    function, expected = load_function(spec), read_expected()
    checks: list[Check] = []
    for name in expected.names:
        size = cast(tuple[int, int], tuple(expected.record(name)["size"]))
        try:
            painted = cast(Any, function)(folder() / f"{name}.json", folder() / f"{name}.jpg")
            found = mask_hash(painted, size)
        except Exception as error:  # noqa: BLE001 - a plug may raise anything, and the verdict says what
            checks.append(Check(f"{name}: mask", False, f"{type(error).__name__}: {error}"))
            continue
        checks.append(_same(f"{name}: mask", expected.record(name)["sha256"], found))
    return Verdict(tuple(checks))


def check_answers(path: Path) -> Verdict:
    """Check a file laid out like the template of `export_fixtures`; a convention left out is not checked.

    Raises:
        InputError: it is no such file.
    """
    try:
        document = read_json(path)
        return _verdict(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not laid out like the template of --export ({error})") from error


def own_answers() -> dict[str, Any]:
    """Compute what this project finds."""
    predictions = read_predictions()
    records: dict[str, Any] = {}
    overlaps: dict[str, list[Overlap]] = {convention: [] for convention in CONVENTIONS}
    for name in read_expected().names:
        record = read_record(folder() / f"{name}.json", folder() / f"{name}.jpg")
        painted = record.target * 1 + record.ignore * 255
        target, ignore = masks.encode(record.target), masks.encode(record.ignore)
        found = {"lisa": iou.lisa, "vision_reasoner": iou.vision_reasoner}
        per_case = {key: measure(predictions[name], target, ignore) for key, measure in found.items()}
        for key, overlap in per_case.items():
            overlaps[key].append(overlap)
        records[name] = {
            "sha256": mask_hash(painted, cast(tuple[int, int], record.target.shape)),
            "text": record.texts[0],
            "iou": {key: overlap.iou for key, overlap in per_case.items()},
        }
    return {"records": records, "figures": {key: _figures(key, found) for key, found in overlaps.items()}}


def export_fixtures(target: Path) -> None:
    """Copy the records and predictions, and write an empty answers.json beside them.

    Raises:
        OSError: the folder cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in folder().iterdir():
        if path.name != "expected.json":
            shutil.copyfile(path, target / path.name)
    empty = {convention: None for convention in CONVENTIONS}
    records = {name: {"sha256": "", "text": "", "iou": dict(empty)} for name in read_expected().names}
    write_json(template(target), {"records": records, "figures": dict(empty)}, indent=2)


def template(target: Path) -> Path:
    """The file to fill in."""
    return target / ANSWERS


def _figures(convention: str, overlaps: list[Overlap]) -> dict[str, float]:
    metric = iou.LISA if convention == "lisa" else iou.VISION_REASONER
    union = sum(overlap.union for overlap in overlaps) + metric.epsilon
    return {
        "giou": sum(overlap.iou for overlap in overlaps) / len(overlaps),
        "ciou": sum(overlap.intersection for overlap in overlaps) / union,
    }


def _verdict(answers: dict[str, Any]) -> Verdict:
    return Verdict(tuple(_checks(answers)))


def _checks(answers: dict[str, Any]) -> Iterator[Check]:
    expected = read_expected()
    for name in expected.names:
        wanted, found = expected.record(name), answers["records"].get(name)
        if found is None:
            yield Check(name, False, "no answer")
            continue
        yield _same(f"{name}: mask", wanted["sha256"], found["sha256"])
        yield _same(f"{name}: text", wanted["text"], found["text"])
        for convention, value in found["iou"].items():
            if value is not None:
                yield _near(f"{name}: IoU, {convention}", wanted["iou"][convention], value)
    if not any(answers["figures"].values()):
        yield Check("figures", False, f"none given; fill in at least one of {', '.join(CONVENTIONS)}")
    for convention, figures in answers["figures"].items():
        for key, value in cast(dict[str, float], figures or {}).items():
            yield _near(f"{key}, {convention}", expected.figures(convention)[key], value)


def _same(what: str, wanted: str, found: str) -> Check:
    return Check(what, True) if wanted == found else Check(what, False, f"expected {wanted!r:.80}, got {found!r:.80}")


def _near(what: str, wanted: float, found: float) -> Check:
    if abs(wanted - found) <= TOLERANCE:
        return Check(what, True)
    return Check(what, False, f"expected {wanted:.6f}, got {found:.6f}")
