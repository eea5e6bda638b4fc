"""The closed loop on images with two new nouns: labels, decisions of a reviewer who knows the truth, rounds."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from PIL import Image

from benchmarks.labeling.truth import Counts, counted, matched
from benchmarks.teach.pictures import NEW, with_new
from sam3_agent import masks
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.relabel.lesson import Recipe
from sam3_agent.labeling.relabel.round import RoundOptions, run_round
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.handlers import queue_of
from sam3_agent.labeling.store.journal import FILE, Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.calibrate import LEAST, calibrate
from sam3_agent.masks import Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.workspace import Workspace

FIRST_SEED, EXAMPLE_SEED, DRAW_STRIDE = 600_000, 690_000, 1_000
"""Below the first training seed, as those of `learning`; examples of draws are ten seeds apart."""
SHARE, MOST = 0.45, 3
"""Share of the images that hold a new noun, and how many of it at most."""
Truth = dict[str, dict[str, list[Rle]]]


@dataclass(frozen=True, slots=True)
class Point:
    """Accepted labels of the new nouns after so many decisions."""

    draw: int
    arm: str
    decisions: int
    complete: int
    """Images that the reviewer called complete."""
    precision: float
    recall: float
    elsewhere_precision: float
    """On images that the reviewer has not seen."""
    elsewhere_recall: float
    possible_recall: float
    """There, at the lowest quality over which the truth says that .95 are right."""
    by_class: dict[str, dict[str, float]]
    lessons: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Every figure by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LoopPlace:
    """Folder of a draw of images and its runs."""

    folder: Path
    draw: int
    images: int


def write_loop_images(place: LoopPlace) -> Truth:
    """Draw the images as PNG and one example of each noun; gives file name -> noun -> masks."""
    truth: Truth = {}
    folder, first = place.folder, FIRST_SEED + place.draw * DRAW_STRIDE
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + place.images):
        rng = np.random.default_rng([seed, 7])
        counts = {noun: int(rng.integers(1, MOST + 1)) if rng.random() < SHARE else 0 for noun in NEW}
        scene = with_new(seed, counts)
        _write(folder / "images" / f"{seed}.png", scene.image)
        truth[f"{seed}.png"] = {noun: list(scene.objects[noun]) for noun in NEW}
    classes: list[str] = []
    for number, noun in enumerate(NEW):
        scene = with_new(EXAMPLE_SEED + 10 * place.draw + number, {noun: 1})
        _write(folder / f"{noun}.png", scene.image)
        box = [round(v) for v in masks.box(scene.objects[noun][0])]
        classes.append(f"  - {{name: {noun}, exemplars: [{{image: {noun}.png, box: {box}}}]}}")
    (folder / "concepts.yaml").write_text("classes:\n" + "\n".join(classes) + "\n", encoding="utf-8")
    return truth


def _write(path: Path, image: Any) -> None:
    if not path.is_file():
        with replacing(path) as temporary:
            Image.fromarray(image).save(temporary, "PNG")


_POINTS = pydantic.TypeAdapter(list[Point])


class Reviewer:
    """Reviewer who knows the truth; every key that it presses is a decision of the journal."""

    def __init__(self, journal: Journal, truth: Truth) -> None:
        self.journal = journal
        self.truth = truth
        self.decisions = ReviewDecisions(journal, "truth")
        self.made = 0

    def work(self, until: int) -> None:
        """Go through the queue until so many decisions are made; the last image is finished."""
        while self.made < until:
            row = next(self._ahead(), None)
            if row is None:
                return
            self._image(row["sha"], row["path"])

    def _ahead(self) -> Iterator[Mapping[str, Any]]:
        """Images that nobody called complete: what the last round names first, then the most uncertain."""
        done = self.complete()
        for kind in ("next", "all"):
            found = queue_of(self.journal, kind, None, 0, 10_000).items
            yield from (item for item in found if item["sha"] not in done)

    def complete(self) -> set[str]:
        """Images that the reviewer called complete."""
        return {check.sha for check in self.journal.checks() if check.decided_by == "person"}

    def _image(self, sha: str, path: str) -> None:
        for noun in NEW:
            labels = [x for x in self.journal.labels(sha) if x.class_name == noun and x.route != "rejected"]
            objects = self.truth[path][noun]
            right = matched(labels, objects)
            for label, good in zip(labels, right, strict=True):
                if label.route == "review" or not good:
                    self._decide(label, "accept" if good else "reject")
            for rle in _missing([x.rle for x, good in zip(labels, right, strict=True) if good], objects):
                self.decisions.put_mask(sha, rle, noun)
                self.made += 1
        self.decisions.confirm(sha)
        self.made += 1

    def _decide(self, label: Label, action: str) -> None:
        self.decisions.decide([label.id], action)
        self.made += 1


def _missing(found: Sequence[Rle], objects: Sequence[Rle]) -> list[Rle]:
    if not found or not objects:
        return list(objects)
    best = masks.iou(list(objects), list(found)).max(axis=1)
    return [rle for rle, share in zip(objects, best, strict=True) if share < 0.5]


def measure_loop(
    place: LoopPlace, segmenter: Sam3, amounts: Sequence[int], recipe: Recipe, tell: Callable[[Point], None]
) -> list[Point]:
    """Label, then review and teach up to each amount of decisions; the same without teaching.

    An arm that was measured before is read from its file, and labeling that was stopped goes on.
    """
    truth = write_loop_images(place)
    points = _kept(place, "begun", (), lambda: [_begun(place, segmenter, truth)])
    tell(points[0])
    for arm in ("no teaching", "taught"):
        key = (*amounts, recipe)
        points += _kept(place, arm, key, partial(_arm, place, arm, segmenter, truth, amounts, recipe))
        for point in points[-len(amounts) :]:
            tell(point)
    return points


def _begun(place: LoopPlace, segmenter: Sam3, truth: Truth) -> Point:
    folder = place.folder / "begun"
    begun = (folder / FILE).is_file()
    with closing(Journal.open(folder) if begun else Journal.create(folder)) as journal:
        concepts = parse_ontology((place.folder / "concepts.yaml").read_text(), place.folder / "c.yaml")
        proposer = Proposer(Workspace(segmenter), concepts)
        label_images(Order(place.folder / "images"), journal, ThreadExecutor(proposer))
        return _point(place.draw, "begun", journal, truth, 0)


def _arm(
    place: LoopPlace, arm: str, segmenter: Sam3, truth: Truth, amounts: Sequence[int], recipe: Recipe
) -> list[Point]:
    folder = place.folder / arm.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place.folder / "begun", folder)
    points: list[Point] = []
    with closing(Journal.open(folder)) as journal:
        reviewer = Reviewer(journal, truth)
        for amount in amounts:
            began, lessons = time.monotonic(), ()
            reviewer.work(amount)
            if arm == "taught":
                report = run_round(journal, segmenter, RoundOptions(recipe=recipe))
                lessons = tuple(f"{x.class_name}: {x.objects} on {x.images}, {x.says}" for x in report.lessons)
            elif _decided(journal) >= LEAST:
                calibrate(journal)
            seconds = time.monotonic() - began
            points.append(_point(place.draw, arm, journal, truth, reviewer.made, lessons, seconds))
    return points


def _kept(place: LoopPlace, arm: str, key: tuple[object, ...], measure: Callable[[], list[Point]]) -> list[Point]:
    file = place.folder / f"points-{arm.replace(' ', '-')}.json"
    given = [str(each) for each in key]
    if file.is_file():
        held = json.loads(file.read_text(encoding="utf-8"))
        if held["given"] == given:
            return _POINTS.validate_python(held["points"])
    points = measure()
    write_json(file, {"given": given, "points": [point.to_json() for point in points]}, indent=1)
    return points


def _decided(journal: Journal) -> int:
    return sum(label.decided_by == "person" and label.source != "human" for label in journal.labels())


def _point(
    draw: int, arm: str, journal: Journal, truth: Truth, made: int, lessons: tuple[str, ...] = (), seconds: float = 0.0
) -> Point:
    paths = {row.sha: row.path for row in journal.images("done")}
    seen = {check.sha for check in journal.checks() if check.decided_by == "person"}
    labels: dict[tuple[str, str], list[Label]] = {}
    for label in journal.labels():
        labels.setdefault((label.sha, label.class_name), []).append(label)

    def over(shas: Sequence[str], nouns: Sequence[str] = NEW) -> Counts:
        total = Counts(0, 0, 0, 0)
        for sha in shas:
            for noun in nouns:
                accepted = [x for x in labels.get((sha, noun), []) if x.route == "accepted"]
                total += counted(accepted, truth[paths[sha]][noun])
        return total

    rest = [sha for sha in paths if sha not in seen]
    whole, elsewhere = over(list(paths)), over(rest)
    by_class = {noun: _figures(over(list(paths), [noun])) for noun in NEW}
    possible = _possible(rest, paths, labels, truth)
    return Point(
        draw=draw, arm=arm, decisions=made, complete=len(seen),
        precision=round(whole.precision, 3), recall=round(whole.recall, 3),
        elsewhere_precision=round(elsewhere.precision, 3), elsewhere_recall=round(elsewhere.recall, 3),
        possible_recall=round(possible, 3), by_class=by_class, lessons=lessons, seconds=round(seconds, 1),
    )  # fmt: skip


def _figures(counts: Counts) -> dict[str, float]:
    return {"precision": round(counts.precision, 3), "recall": round(counts.recall, 3)}


def _possible(
    shas: Sequence[str], paths: Mapping[str, str], labels: Mapping[tuple[str, str], Sequence[Label]], truth: Truth
) -> float:
    """Mean over the nouns of the recall at the lowest quality over which .95 of all labels are right."""
    recalls: list[float] = []
    for noun in NEW:
        scored: list[tuple[float, bool]] = []
        objects = 0
        for sha in shas:
            mine = [x for x in labels.get((sha, noun), []) if not x.repeats and x.evidence.competing_score < x.score]
            objects += len(truth[paths[sha]][noun])
            scored += [(x.quality, r) for x, r in zip(mine, matched(mine, truth[paths[sha]][noun]), strict=True)]
        right, best = 0, 0
        for count, (_, good) in enumerate(sorted(scored, key=lambda each: -each[0]), start=1):
            right += good
            best = right if right >= 0.95 * count else best
        recalls.append(best / max(1, objects))
    return sum(recalls) / len(recalls)


def point_words(point: Point) -> str:
    """One row of the table."""
    lines = [
        f"{point.arm} | {point.decisions} | {point.complete} | {point.precision:.3f} {point.recall:.3f} |"
        f" {point.elsewhere_precision:.3f} {point.elsewhere_recall:.3f} | {point.possible_recall:.3f} |"
        f" {json.dumps(point.by_class)} | {point.seconds:.0f} s"
    ]
    return "\n".join([*lines, *(f"    {each}" for each in point.lessons)])
