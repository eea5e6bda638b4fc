"""Examination of a labeled set: counts, tiny and cut objects, overlaps, leaks between splits, what to look at next.

It reads the journal image by image and changes nothing. Rejected labels do not count.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from sam3_agent import masks
from sam3_agent.labeling.health.unlike import Unlike
from sam3_agent.labeling.io.splits import near_duplicates
from sam3_agent.labeling.store.change import Change, last_changes
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Check, Label
from sam3_agent.labeling.store.summary import class_names

MODEL_SIDE, PATCH = 1008, 14
"""SAM 3 sees an image as 1008 x 1008 pixels in patches of 14: what covers less than a patch it hardly sees."""
SAME = 0.5
"""Overlap (IoU) from which two labels are said to be of one object: COCO's lowest threshold of a match."""
RARE = 0.02
"""Share of the most frequent class under which a class is called rare."""
FEW = 10
"""Objects under which a class is called rare in any case: no validation set can be cut from them."""
EMPTY_SHARE = 0.5
"""Share of images without a label from which that is worth a word."""
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of folders that say which split an image is for."""
LISTED = 200
"""Objects, pairs and groups that are named of each kind; all are counted."""
FAINT = 0.2
"""Presence from which on a class of which nothing is labeled is worth a look: new words are believed in late."""
NEXT = 24
"""Images to look at next."""


@dataclass(frozen=True, slots=True)
class ClassHealth:
    """One class of the set."""

    name: str
    accepted: int
    review: int
    images: int
    """With at least one of its labels."""
    tiny: int
    cut: int
    """At the border of their image."""
    median_share: float
    """Of the image's area; 0 without labels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person may want to look at."""

    kind: str
    """tiny, twice, two_classes, unlike, leak."""
    images: tuple[str, ...]
    labels: tuple[str, ...]
    says: str


@dataclass(frozen=True, slots=True)
class ToSee:
    """An image worth a look, with why; the sum of its reasons decides the order."""

    sha: str
    image: str
    weight: float
    reasons: tuple[str, ...]
    classes: tuple[str, ...] = ()
    """That the reasons are about."""


@dataclass(frozen=True, slots=True)
class Health:
    """Everything found, worst first in each list."""

    images: dict[str, int]
    """Files by state, and how many of the labeled ones have no label."""
    classes: tuple[ClassHealth, ...]
    advice: tuple[str, ...]
    counts: dict[str, int]
    """Findings by kind, also those not listed."""
    findings: tuple[Finding, ...]
    next: tuple[ToSee, ...]

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    """Sums over images."""

    accepted: Counter[str] = field(default_factory=Counter[str])
    review: Counter[str] = field(default_factory=Counter[str])
    images: Counter[str] = field(default_factory=Counter[str])
    tiny: Counter[str] = field(default_factory=Counter[str])
    cut: Counter[str] = field(default_factory=Counter[str])
    shares: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    counts: Counter[str] = field(default_factory=Counter[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    to_see: list[ToSee] = field(default_factory=list[ToSee])
    empty: int = 0

    def found(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        if self.counts[finding.kind] <= LISTED:
            self.findings.append(finding)


def examine(journal: Journal, unlike: Mapping[str, Sequence[Unlike]] | None = None) -> Health:
    """Look at every labeled image of a run; `unlike` are the labels by image that look like another class."""
    rows = journal.images("done")
    checks: dict[str, list[Check]] = {}
    for check in journal.checks():
        checks.setdefault(check.sha, []).append(check)
    changes = last_changes(journal)
    tally = _Tally()
    for row in rows:
        labels = [label for label in journal.labels(row.sha) if label.route != "rejected"]
        change = changes.get(row.sha, Change())
        _look(tally, row, labels, checks.get(row.sha, ()), change, (unlike or {}).get(row.sha, ()))
    groups = near_duplicates([row.dhash for row in rows])
    for finding in _leaks(rows, groups):
        tally.found(finding)
    classes = tuple(_class(name, tally) for name in _names(journal, tally))
    states = Counter(row.state for row in journal.images())
    images = {**{state: states.get(state, 0) for state in ("done", "pending", "duplicate", "unreadable")}}
    images["without_labels"] = tally.empty
    advice = tuple(_advice(classes, images, tally))
    chosen = _diverse(tally.to_see, rows, groups)
    return Health(images, classes, advice, dict(tally.counts), tuple(tally.findings), chosen)


def _look(
    tally: _Tally,
    row: ImageRow,
    labels: Sequence[Label],
    checks: Sequence[Check],
    change: Change,
    unlike: Sequence[Unlike],
) -> None:
    """Count the labels of one image, and weigh what speaks for a look at it."""
    tally.empty += not labels
    for label in labels:
        _count(tally, row, label)
    tally.images.update({label.class_name for label in labels})
    twins = list(_twins(row, labels))
    for finding in twins:
        tally.found(finding)
    for each in unlike:
        tally.found(Finding("unlike", (row.path,), (each.label.id,), each.words()))
    complete = {check.class_name for check in checks if check.decided_by == "person"}
    changed = [name for name in change.classes if name not in complete]
    reasons, names = _reasons(labels, [c for c in checks if c.decided_by != "person"], change if changed else Change())
    if unlike:
        reasons.append((0.5 * len(unlike) ** 0.5, f"labels unlike their class: {len(unlike)}"))
    if twins:
        reasons.append((0.5 * len(twins) ** 0.5, f"pairs on one object: {len(twins)}"))
    if reasons:
        weight = round(sum(value for value, _ in reasons), 4)
        tally.to_see.append(ToSee(row.sha, row.path, weight, tuple(words for _, words in reasons), (*names, *changed)))


def _reasons(
    labels: Sequence[Label], checks: Sequence[Check], change: Change
) -> tuple[list[tuple[float, str]], list[str]]:
    """Weigh what is uncertain on an image and where versions of classes disagree; gives the classes in question too."""
    reasons: list[tuple[float, str]] = []
    waiting = [label for label in labels if label.route == "review"]
    missed = [check.class_name for check in checks if check.route == "review"]
    alive = {label.class_name for label in labels}
    faint = [c for c in checks if c.class_name not in alive and c.route != "review" and c.presence >= FAINT]
    if waiting:
        doubt = max(1 - abs(2 * label.quality - 1) for label in waiting)
        reasons.append((0.2 * len(waiting) ** 0.5 + doubt, f"labels to review: {len(waiting)}"))
    if missed:
        reasons.append((0.5 * len(missed) ** 0.5, f"classes perhaps missed: {len(missed)}"))
    if faint:
        most = max(faint, key=lambda check: check.presence)
        reasons.append((0.5 * most.presence, f"{most.class_name} perhaps there (presence {most.presence:.2f})"))
    if change.disagreement:
        words = ", ".join(f"{name} +{c.found} -{c.lost}" for name, c in change.classes.items())
        reasons.append((0.5 * min(change.disagreement, 4.0) ** 0.5, f"versions disagree: {words}"))
    names = [*(label.class_name for label in waiting), *missed, *(check.class_name for check in faint)]
    return reasons, names


def _count(tally: _Tally, row: ImageRow, label: Label) -> None:
    area, pixels = masks.area(label.rle), label.rle.size[0] * label.rle.size[1]
    least = PATCH**2 * pixels / MODEL_SIDE**2
    (tally.accepted if label.route == "accepted" else tally.review)[label.class_name] += 1
    tally.shares.setdefault(label.class_name, []).append(area / pixels)
    if area < least:
        tally.tiny[label.class_name] += 1
        says = f"{label.class_name} of {area} pixels: less than a patch of the model ({least:.0f})"
        tally.found(Finding("tiny", (row.path,), (label.id,), says))
    tally.cut[label.class_name] += _is_cut(label)


def _is_cut(label: Label) -> bool:
    height, width = label.rle.size
    x0, y0, x1, y1 = label.box
    return x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height


def _twins(row: ImageRow, labels: Sequence[Label]) -> Iterator[Finding]:
    """Pairs of labels that cover one object."""
    rles = [label.rle for label in labels]
    areas = [masks.area(rle) for rle in rles]
    for i, j, common in masks.overlaps(rles) if len(rles) > 1 else []:
        iou = common / (areas[i] + areas[j] - common)
        if iou < SAME:
            continue
        one, other = labels[i], labels[j]
        if one.class_name != other.class_name and "query" in (one.source, other.source):
            continue  # "the leftmost cup" is a cup too
        same = one.class_name == other.class_name
        says = f"{one.class_name} twice" if same else f"{one.class_name} and {other.class_name}"
        kind = "twice" if same else "two_classes"
        yield Finding(kind, (row.path,), (one.id, other.id), f"{says} on the same pixels (IoU {iou:.2f})")


def split_named(path: str) -> str | None:
    """The split that the folders of an image's path name; None where they name none."""
    parts = (part.casefold() for part in PurePosixPath(path).parts[:-1])
    return next((SPLITS[part] for part in parts if part in SPLITS), None)


def _leaks(rows: Sequence[ImageRow], groups: Sequence[int]) -> Iterator[Finding]:
    """Groups of near duplicates whose folders put them into different splits; `export --val` keeps groups together."""
    members: dict[int, list[str]] = {}
    for row, group in zip(rows, groups, strict=True):
        members.setdefault(group, []).append(row.path)
    for paths in members.values():
        splits = {split for path in paths if (split := split_named(path)) is not None}
        if len(splits) > 1:
            yield Finding("leak", tuple(paths), (), f"near duplicates in {' and '.join(sorted(splits))}")


def _names(journal: Journal, tally: _Tally) -> list[str]:
    known = class_names(journal)
    return [*known, *sorted({*tally.accepted, *tally.review} - set(known))]


def _class(name: str, tally: _Tally) -> ClassHealth:
    shares = sorted(tally.shares.get(name, []))
    median = shares[len(shares) // 2] if shares else 0.0
    counted = tally.accepted[name], tally.review[name], tally.images[name], tally.tiny[name], tally.cut[name]
    return ClassHealth(name, *counted, round(median, 6))


def _advice(classes: Sequence[ClassHealth], images: dict[str, int], tally: _Tally) -> Iterator[str]:
    """Sentences about the whole set, the gravest first."""
    if leaks := tally.counts["leak"]:
        yield f"{leaks} groups of near duplicates are in more than one split: figures on these would be too good."
    if images["unreadable"]:
        yield f"{images['unreadable']} files cannot be read."
    if images["pending"]:
        yield f"{images['pending']} images are not labeled yet: sam3-agent label --resume goes on."
    most = max((each.accepted for each in classes), default=0)
    for each in classes:
        if not each.accepted:
            yield f"class {each.name} has no accepted label" + (
                f", {each.review} wait for review." if each.review else "."
            )
        elif each.accepted < max(FEW, RARE * most):
            compared = f", the most frequent one has {most}" if each.accepted < most else ""
            yield f"class {each.name} is rare: {each.accepted} labels{compared}."
    if pairs := tally.counts["twice"] + tally.counts["two_classes"]:
        yield f"{pairs} pairs of labels cover the same object."
    if tally.counts["unlike"]:
        yield f"{tally.counts['unlike']} labels look more like another class."
    if tally.counts["tiny"]:
        yield f"{tally.counts['tiny']} objects are smaller than the model can see well."
    if images["done"] and tally.empty / images["done"] >= EMPTY_SHARE:
        yield f"{tally.empty} of {images['done']} images have no label."


def _diverse(to_see: Sequence[ToSee], rows: Sequence[ImageRow], groups: Sequence[int]) -> tuple[ToSee, ...]:
    """The images of most weight, one of each group of near duplicates; a class counts less each time it was chosen."""
    group_of = {row.sha: group for row, group in zip(rows, groups, strict=True)}
    of_group: dict[int, ToSee] = {}
    for image in sorted(to_see, key=lambda each: (-each.weight, each.image)):
        of_group.setdefault(group_of[image.sha], image)
    left, seen = list(of_group.values()), Counter[str]()
    chosen: list[ToSee] = []
    while left and len(chosen) < NEXT:
        best = max(left, key=lambda each: each.weight / (1 + min((seen[name] for name in each.classes), default=0)))
        left.remove(best)
        chosen.append(best)
        seen.update(set(best.classes))
    return tuple(chosen)
