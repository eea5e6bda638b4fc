"""Predictions of other programs as a run: COCO results, PNGs by the case's id, RLE as JSON lines, logs of lmms-eval.

`sam3-eval score`, `compare` and `report` then treat them like any run; the solver is not needed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import read_json
from sam3_evals.datasets import asks_videos, open_dataset
from sam3_evals.datasets.parquet import NAMES
from sam3_evals.journal import Journal
from sam3_evals.lmms.response import EMPTY, masks_in
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, Plan, prepare, read_cases
from sam3_evals.sample import Case
from sam3_evals.solvers.function import prediction_of

FORMS = (
    "a COCO results .json, a folder of PNGs named by the ids of the cases, a .jsonl with one case a line,"
    " or lmms-eval's samples_TASK.jsonl"
)
THRESHOLD = 0.5
"""Masks with a lower score are left out: COCO results list candidates down to zero, an answer is what is stood for."""
_MOST_OBJECTS = 1000
"""In one PNG whose values are the numbers of objects."""
_SHOWN = 3
_IDS = NAMES["id"]

Answer = dict[str, Any]
"""Masks and what else `solvers.function` takes: "masks", "scores", "presence", "reason", "usd"."""


@dataclass(slots=True)
class Imported:
    """Outcome of an import."""

    run: str
    form: str
    cases: int = 0
    answered: int = 0
    empty: int = 0
    """Cases that are answered by "nothing is there"."""
    missing: int = 0
    """Cases that the file says nothing about; they score as empty, and the run as incomplete."""
    unknown: int = 0
    """Predictions for which the dataset has no case."""
    under_threshold: int = 0
    """Masks left out for their score."""
    unreadable: int = 0
    """Responses of an LLM without masks in them; they count as empty, as in lmms-eval."""
    examples: list[str] = field(default_factory=list[str])
    """Some ids of the unknown predictions."""

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        return asdict(self)

    def words(self) -> str:
        """The outcome in a line or two, for a person."""
        told = [f"{self.answered} answered", f"{self.empty} empty", f"{self.missing} without a prediction"]
        if self.under_threshold:
            told.append(f"{self.under_threshold} masks under the threshold left out")
        if self.unreadable:
            told.append(f"{self.unreadable} responses without masks counted as empty")
        if self.unknown:
            told.append(f"{self.unknown} predictions for no case of the dataset (such as {', '.join(self.examples)})")
        return f"{self.cases} cases: {', '.join(told)}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options of `sam3-eval import`."""

    dataset: str
    out: Path
    limit: int | None = None
    seed: int = 0
    threshold: float = THRESHOLD
    complete: bool = False
    """A case without a prediction is answered by "nothing is there"; COCO results are always read so."""


def import_predictions(source: Path, wanted: Wanted) -> Imported:
    """Write a run's folder out of predictions of another program.

    Raises:
        InputError: the predictions cannot be read, do not fit the images or belong to no case; or a run is there.
    """
    if asks_videos(wanted.dataset):
        raise InputError(f"{wanted.dataset}: predictions about videos cannot be imported yet")
    if (wanted.out / PREDICTIONS).exists():
        raise InputError(f"{wanted.out} holds a run already; give another --out")
    form, answers = read_answers(source, wanted.threshold)
    dataset = open_dataset(wanted.dataset, "concept", wanted.seed)
    there = wanted.out.exists()
    try:
        prepare(Plan(dataset, f"import:{source.name}", "", "", wanted.limit, seed=wanted.seed), wanted.out)
        return _write(source, form, answers, wanted)
    except InputError:
        _remove(wanted.out, folder=not there)  # a run that never began leaves nothing behind
        raise


def _remove(run: Path, *, folder: bool) -> None:
    for name in ("manifest.json", "cases.jsonl", PREDICTIONS):
        (run / name).unlink(missing_ok=True)
    if folder and run.is_dir() and not any(run.iterdir()):
        run.rmdir()


def _write(source: Path, form: str, answers: "Answers", wanted: Wanted) -> Imported:
    done = Imported(str(wanted.out), form)
    used: set[str] = set()
    with Journal(wanted.out / PREDICTIONS) as journal:
        for case in read_cases(wanted.out):
            key = answers.key_of(case, done.cases)
            done.cases += 1
            if key is None and not (wanted.complete or answers.complete):
                done.missing += 1
                continue
            prediction = _prediction(source, case, answers.answer(key) if key is not None else {"masks": []})
            used |= {key} if key is not None else set()
            done.answered += bool(prediction.rles)
            done.empty += not prediction.rles
            journal.append(prediction.to_json())
    strangers = sorted(answers.keys() - used)
    done.unknown, done.examples = len(strangers), strangers[:_SHOWN]
    done.under_threshold, done.unreadable = answers.under_threshold, answers.unreadable
    if not used:
        first = next(read_cases(wanted.out)).id
        told = f" (such as {', '.join(strangers[:_SHOWN])})" if strangers else ""
        raise InputError(
            f"{source}: none of its predictions{told} belongs to a case of {wanted.dataset}, such as {first!r}"
        )
    return done


def _prediction(source: Path, case: Case, answer: Answer) -> Prediction:
    try:
        polygons = [_drawn(mask, case.size) for mask in answer["masks"]]
        return prediction_of(case, {**answer, "masks": polygons}, float(answer.get("seconds", 0.0)))
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"{source}: case {case.id}: {error}") from error


def _drawn(mask: Any, size: tuple[int, int]) -> Any:
    """COCO's polygons as a run length; any other mask as it is."""
    if isinstance(mask, list) and mask and isinstance(mask[0], list):
        return masks.from_polygons(cast(list[list[float]], mask), size).to_json()
    return cast(Any, mask)


@dataclass(slots=True)
class Answers:
    """Predictions by a key that a case has."""

    found: dict[str, Any]
    complete: bool = False
    """Whether a case that is not among them is answered by "nothing is there"."""
    under_threshold: int = 0
    unreadable: int = 0

    def keys(self) -> set[str]:
        """All keys."""
        return set(self.found)

    def key_of(self, case: Case, number: int) -> str | None:
        """The key under which the case is answered, its id or that as a file name can hold it; None where it is not."""
        del number  # cases count from 0 in the dataset's order
        names = (case.id, case.id.replace("/", "_"), Path(case.id).name)
        return next((name for name in names if name in self.found), None)

    def answer(self, key: str) -> Answer:
        """The prediction of a key; a PNG is read when it is asked for."""
        value = self.found[key]
        return _png_answer(value) if isinstance(value, Path) else value


def read_answers(source: Path, threshold: float) -> tuple[str, Answers]:
    """The form of predictions and these; raises InputError where they are none of FORMS."""
    if source.is_dir():
        return "png", _pngs(source)
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder; give {FORMS}")
    if source.suffix.lower() == ".jsonl":
        lmms = next((entry for _, entry in _entries(source)), dict[str, Any]()).keys() >= {"doc_id", "resps"}
        return ("lmms-eval", _lmms_log(source, threshold)) if lmms else ("jsonl", _lines(source, threshold))
    if source.suffix.lower() == ".json":
        return "coco", _coco_results(source, threshold)
    raise InputError(f"{source}: give {FORMS}")


def _pngs(folder: Path) -> Answers:
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.png"))}
    if not found:
        raise InputError(f"{folder}: no .png in it; give {FORMS}")
    return Answers(dict[str, Any](found))


def _png_answer(path: Path) -> Answer:
    """The objects of a PNG: one where it has a single value beside 0, else one for each value 1, 2, 3, ...

    Raises:
        InputError: it is no image, in color, or shades say that it was never made a mask.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("1", "L", "P", "I", "I;16"):
                raise InputError(f"{path.name} is in color ({picture.mode}); a mask has one channel")
            pixels: NDArray[Any] = np.asarray(picture)  # (H, W); of a palette the numbers, not the colors
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name} cannot be read ({error})") from error
    values = [int(value) for value in np.unique(pixels) if value]
    if len(values) > 1 and values != list(range(1, len(values) + 1)):
        raise InputError(f"{path.name} has the values {values[:6]}...: neither one object, nor objects 1, 2, 3, ...")
    if len(values) > _MOST_OBJECTS:
        raise InputError(f"{path.name} has {len(values)} objects; {_MOST_OBJECTS} at most")
    return {"masks": [pixels == value for value in values]}


def _lines(path: Path, threshold: float) -> Answers:
    """JSON lines: the case's id under "case", "id" or "case_id"; masks under "masks", "mask" or "instances"."""
    answers = Answers({})
    for number, entry in _entries(path):
        name = next((str(entry[key]) for key in ("case", "case_id", "id") if key in entry), None)
        if name is None:
            raise InputError(f'{path}:{number}: no "case" that says which case it answers')
        if name in answers.found:
            raise InputError(f"{path}:{number}: {name!r} is there twice")
        answer, left_out = _kept(_line_answer(entry, f"{path}:{number}"), threshold)
        answers.found[name] = answer
        answers.under_threshold += left_out
    return answers


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line that says something, with its number; a last line without a newline too."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                value: Any = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}:{number}: not JSON ({error})") from error
            if isinstance(value, dict):
                yield number, cast(dict[str, Any], value)
            elif value is not None:
                raise InputError(f"{path}:{number}: expected an object, got {type(value).__name__}")


def _line_answer(entry: Mapping[str, Any], place: str) -> Answer:
    more = {key: entry[key] for key in ("presence", "reason", "usd", "seconds") if entry.get(key) is not None}
    instances = entry.get("instances")
    if isinstance(instances, list):  # as this project writes them
        rows = cast(list[dict[str, Any]], instances)
        if not all(isinstance(row, dict) and "mask" in row for row in rows):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f'{place}: an instance without a "mask"')
        return {**more, "masks": [row["mask"] for row in rows], "scores": [row.get("score", 1.0) for row in rows]}
    given = entry.get("masks", entry.get("mask", entry.get("segmentation")))
    if given is None:
        raise InputError(f'{place}: no "masks" (an empty list says that nothing is there)')
    found = cast(list[Any], given if isinstance(given, list) else [given])
    scores = entry.get("scores", entry.get("score"))
    listed: list[Any] = (
        cast(list[Any], scores) if isinstance(scores, list) else [1.0 if scores is None else scores] * len(found)
    )
    return {**more, "masks": found, "scores": listed}


@dataclass(slots=True)
class LmmsAnswers(Answers):
    """Responses by the number of a document, which is that of the row in its table; or by its id, where it has one."""

    by_id: dict[str, str] = field(default_factory=dict[str, str])

    def key_of(self, case: Case, number: int) -> str | None:
        """The key of the document with the case's id; without ids, of that with its number."""
        if self.by_id:
            return self.by_id.get(case.id)
        return str(number) if str(number) in self.found else None


def _lmms_log(path: Path, threshold: float) -> Answers:
    """Read lmms-eval's `--log_samples`: a document a line, the response of the model as text.

    A response without masks counts as empty there, and so here.
    """
    answers = LmmsAnswers({})
    for place, entry in _entries(path):
        key = str(entry.get("doc_id"))
        if key in answers.found:
            raise InputError(f"{path}:{place}: document {key} is there twice")
        answer = masks_in(_text_of(entry.get("filtered_resps") or entry.get("resps")))
        answers.unreadable += answer is None
        answers.found[key], left_out = _kept(answer or EMPTY, threshold)
        answers.under_threshold += left_out
        document: Any = entry.get("doc")
        ids: dict[str, Any] = cast(dict[str, Any], document) if isinstance(document, dict) else {}
        name = next((ids[each] for each in _IDS if isinstance(ids.get(each), str | int)), None)
        if name is not None and answers.by_id.setdefault(str(name), key) != key:
            raise InputError(f"{path}:{place}: two documents have the id {name!r}")
    if answers.by_id and len(answers.by_id) < len(answers.found):
        raise InputError(f"{path}: some documents have an id and some do not")
    return answers


def _text_of(responses: Any) -> str:
    """The first response: lmms-eval lists one a request, unfiltered ones in a list each."""
    while isinstance(responses, list):
        listed = cast(list[Any], responses)
        responses = listed[0] if listed else ""
    return responses if isinstance(responses, str) else ""


def _coco_results(path: Path, threshold: float) -> Answers:
    """COCO results: grouped by "IMAGE-CATEGORY", as `coco:` names its cases, and by the image's id, as `saco:` does."""
    document = read_json(path)
    if isinstance(document, dict) and "annotations" in document:
        document = cast(dict[str, Any], document)["annotations"]
    if not isinstance(document, list):
        raise InputError(f"{path}: COCO results are a list of masks, got {type(cast(Any, document)).__name__}")
    grouped: dict[tuple[str, str], Answer] = {}
    for number, entry in enumerate(cast(list[Any], document)):
        if not isinstance(entry, dict) or not {"image_id", "segmentation"} <= cast(dict[str, Any], entry).keys():
            raise InputError(f"{path}: entry {number} has no image_id or no segmentation")
        row = cast(dict[str, Any], entry)
        key = str(row["image_id"]), str(row.get("category_id", 1))
        answer = grouped.setdefault(key, {"masks": [], "scores": []})
        answer["masks"].append(row["segmentation"])
        answer["scores"].append(row.get("score", 1.0))
    return CocoAnswers.of(grouped, threshold)


@dataclass(slots=True)
class CocoAnswers(Answers):
    """Masks by image and category; a dataset with one question an image may name its cases by the image alone."""

    by_image: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @classmethod
    def of(cls, grouped: Mapping[tuple[str, str], Answer], threshold: float) -> "CocoAnswers":
        """Keep what reaches the threshold."""
        answers = cls({}, complete=True)
        for (image, category), answer in grouped.items():
            kept, left_out = _kept(answer, threshold)
            answers.found[f"{image}-{category}"] = kept
            answers.by_image.setdefault(image, []).append(f"{image}-{category}")
            answers.under_threshold += left_out
        return answers

    def key_of(self, case: Case, number: int) -> str | None:
        """The key of the case's id; where that is an image's, the key of the only category of this image."""
        del number
        if case.id in self.found:
            return case.id
        own = self.by_image.get(case.id, [])
        return own[0] if len(own) == 1 else None


def _kept(answer: Answer, threshold: float) -> tuple[Answer, int]:
    """The masks whose score reaches the threshold, best first, and how many do not."""
    given: Sequence[Any] = answer["masks"]
    scores = [_score(value) for value in cast(Iterable[Any], answer["scores"])]
    if len(scores) != len(given):
        raise InputError(f"{len(scores)} scores for {len(given)} masks")
    order = sorted((i for i in range(len(scores)) if scores[i] >= threshold), key=lambda i: -scores[i])
    kept = {**answer, "masks": [given[i] for i in order], "scores": [scores[i] for i in order]}
    return kept, len(scores) - len(order)


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"a score lies in 0..1, got {value!r:.60}")
    return float(value)
