"""Images to teach a concept from: out of a labeling run, a label file, or a folder with one in it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import FORMS, read_labels
from sam3_agent.formats.notes import note_lines
from sam3_agent.labeling.pipeline.scan import pictures_in, root_of
from sam3_agent.labeling.store.journal import FILE, Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.store.summary import images_folder
from sam3_agent.masks import Rle
from sam3_agent.training.teaching.views import TeachingImage, surroundings
from sam3_agent.workspace.image_loading import read_source
from sam3_agent.workspace.sampling import evenly

MOST_IMAGES = 400
"""With the concept and without it, evenly chosen where there are more: a training sees each a few times."""
SAME = 0.5
"""IoU from which on a rejected label is another drawing of an accepted one, rather than a look-alike."""
MOST_LOOKALIKES = 4
"""Of one image of a run; each is a view more to be encoded and learned from."""
_LABEL_FILES = ("*.json", "*.yaml", "*.yml", "*.xml")


@dataclass(frozen=True, slots=True)
class Marked:
    """Marks on one image."""

    objects: tuple[Rle, ...]
    lookalikes: tuple[Rle, ...] = ()


@dataclass(frozen=True, slots=True)
class TeachingSet:
    """Images of one class, and remarks on what was left out."""

    class_name: str
    images: tuple[TeachingImage, ...]
    notes: tuple[str, ...] = ()


def read_teaching_set(
    source: Path, name: str, images: Path | None = None, class_name: str | None = None, unlike: Sequence[str] = ()
) -> TeachingSet:
    """Read the images of a class with every object of it; what is not known to be exhaustive is left out.

    Args:
        source: the folder of a labeling run, a label file, or a folder that holds one.
        name: of the concept; also of the class where `class_name` is not given.
        images: the folder of the images; by default that of the label file.
        class_name: a class of the labels; the only one there is need not be named.
        unlike: classes whose objects are look-alikes.

    Raises:
        InputError: the source cannot be read, or holds no such class.
    """
    if not source.exists():
        raise InputError(f"--from {source}: no such file or folder")
    if source.is_dir() and (source / FILE).is_file():
        with closing(Journal.open(source)) as journal:
            return _from_run(journal, name, class_name)
    return _from_labels(source, images, name, class_name, unlike)


def _from_run(journal: Journal, name: str, class_name: str | None) -> TeachingSet:
    rows, labels = journal.images("done"), journal.labels()
    chosen = _chosen({label.class_name for label in labels}, name, class_name, str(journal.path.parent))
    mine: dict[str, list[Label]] = {}
    for label in labels:
        if label.class_name == chosen and not label.repeats:
            mine.setdefault(label.sha, []).append(label)
    checks = {check.sha: check for check in journal.checks() if check.class_name == chosen}
    marked: dict[str, Marked] = {}
    undecided = incomplete = 0
    for row in rows:
        here, check = mine.get(row.sha, []), checks.get(row.sha)
        if any(label.route == "review" for label in here):
            undecided += 1
            continue
        objects = [label.rle for label in here if label.route == "accepted"]
        complete = check is not None and check.completeness != "missing"
        if not complete or (not objects and check is not None and check.route != "accepted"):
            incomplete += 1
            continue
        rejected = [label.rle for label in here if label.route == "rejected"]
        marked[row.path] = Marked(tuple(objects), _not_on(rejected, objects))
    notes = _counted(undecided, "still to be decided in the review") + _counted(incomplete, "not known to be complete")
    return _opened(chosen, images_folder(journal), marked, notes)


def read_decided(journal: Journal, class_name: str) -> TeachingSet:
    """Read what people decided about a class of a run, and nothing that a machine did by itself.

    Images that a person called complete show every object: accepted labels are the objects, rejected ones look-alikes,
    and without an accepted one the class is absent. Of other images what a person rejected is cut out, as a picture
    without the class.
    """
    mine: dict[str, list[Label]] = {}
    for label in journal.labels():
        if class_name in (label.class_name, label.proposed_class) and not label.repeats:
            mine.setdefault(label.sha, []).append(label)
    complete = {c.sha for c in journal.checks() if c.class_name == class_name and c.decided_by == "person"}
    marked: dict[str, Marked] = {}
    cut: dict[str, list[Rle]] = {}
    undecided = partial = 0
    for row in journal.images("done"):
        here = mine.get(row.sha, [])
        objects = tuple(x.rle for x in here if x.route == "accepted" and x.class_name == class_name)
        waiting = any(label.route == "review" for label in here)
        if row.sha in complete and not waiting:
            others = [x for x in here if x.route == "rejected" or x.class_name != class_name]
            marked[row.path] = Marked(objects, _not_on(_telling(others), objects))
            continue
        wrong = [x for x in here if x.decided_by == "person" and (x.route, x.class_name) != ("accepted", class_name)]
        around = [x.rle for x in here if x not in wrong and x.route != "rejected"]
        cut[row.path] = [x.rle for x in wrong if not _touches(x.rle, around)]
        undecided += row.sha in complete
        partial += row.sha not in complete and any(x.is_settled and x.route == "accepted" for x in here)
    said = "with accepted labels, but nobody said that nothing is missing (D in the review)"
    notes = (*_counted(undecided, "still to be decided in the review"), *_counted(partial, said))
    root = images_folder(journal)
    whole = _opened(class_name, root, marked, notes)
    return TeachingSet(class_name, (*whole.images, *_cutouts(root, cut)), whole.notes)


def _telling(rejected: Sequence[Label]) -> list[Rle]:
    """Choose look-alikes of one image: what people rejected first, then what scored best, no object twice."""
    chosen: list[Rle] = []
    for label in sorted(rejected, key=lambda each: (each.decided_by != "person", -each.score, each.id)):
        if len(chosen) < MOST_LOOKALIKES and not (chosen and float(masks.iou([label.rle], chosen).max()) >= SAME):
            chosen.append(label.rle)
    return chosen


def _touches(rle: Rle, others: Sequence[Rle]) -> bool:
    """Tell whether one of the others is to be seen in the surroundings of a mask."""
    window = surroundings(rle)
    return window is None or any(masks.area_in(other, window) for other in others)


def _cutouts(root: Path, cut: Mapping[str, Sequence[Rle]]) -> Iterator[TeachingImage]:
    for path, rles in sorted(cut.items()):
        pixels = read_source(root / path)[0] if rles else None
        for number, rle in enumerate(rles):
            window = surroundings(rle)
            if pixels is not None and window is not None:
                x0, y0, x1, y1 = window
                yield TeachingImage(pixels[y0:y1, x0:x1], name=f"{path}#{number}")


def _from_labels(
    source: Path, images: Path | None, name: str, class_name: str | None, unlike: Sequence[str]
) -> TeachingSet:
    file = _label_file(source)
    folder = images or (file if file.is_dir() else file.parent)
    root = root_of(folder)
    known = KnownImages(root, [path.relative_to(root).as_posix() for path in pictures_in(folder)])
    read = read_labels(file, known)
    classes = {label.class_name for labels in read.labels.values() for label in labels}
    chosen = _chosen(classes, name, class_name, str(file))
    for each in unlike:
        _chosen(classes, name, each, str(file))
    marked = {
        path: Marked(
            tuple(label.rle for label in labels if label.class_name == chosen),
            tuple(label.rle for label in labels if label.class_name in unlike),
        )
        for path, labels in read.labels.items()
    }
    return _opened(chosen, root, marked, tuple(note_lines(read.notes)))


def _label_file(source: Path) -> Path:
    """The label file of a folder; the folder itself where there are many, as LabelMe has one an image.

    Raises:
        InputError: there is none.
    """
    if source.is_file():
        return source
    found = sorted(path for form in _LABEL_FILES for path in source.glob(form))
    if len(found) == 1:
        return found[0]
    if not any(source.rglob("*.json")):
        raise InputError(f"--from {source}: no labeling run and no label file in it; give {FORMS}")
    return source


def _chosen(classes: set[str], name: str, class_name: str | None, place: str) -> str:
    if class_name is None and name not in classes and len(classes) == 1:
        return next(iter(classes))
    wanted = name if class_name is None else class_name
    if wanted not in classes:
        known = ", ".join(sorted(classes)[:12]) or "none"
        raise InputError(f"{place} holds no class {wanted!r}; its classes: {known} (--class NAME)")
    return wanted


def _opened(chosen: str, root: Path, marked: Mapping[str, Marked], notes: tuple[str, ...]) -> TeachingSet:
    having = [path for path, marks in sorted(marked.items()) if marks.objects]
    lacking = [path for path, marks in sorted(marked.items()) if not marks.objects]
    paths = [*evenly(having, MOST_IMAGES // 2), *evenly(lacking, MOST_IMAGES // 2)]
    left = len(marked) - len(paths)
    images = tuple(
        TeachingImage(read_source(root / path)[0], marked[path].objects, marked[path].lookalikes, path)
        for path in paths
    )
    return TeachingSet(chosen, images, (*notes, *_counted(left, f"more than the {MOST_IMAGES} that are used")))


def _not_on(rejected: Sequence[Rle], objects: Sequence[Rle]) -> tuple[Rle, ...]:
    """Masks that are no other drawings of the objects."""
    if not rejected or not objects:
        return tuple(rejected)
    overlap = masks.iou(rejected, objects).max(axis=1)
    return tuple(rle for rle, share in zip(rejected, overlap, strict=True) if share < SAME)


def _counted(images: int, why: str) -> tuple[str, ...]:
    return (f"{images} image{'' if images == 1 else 's'} left out: {why}",) if images else ()
