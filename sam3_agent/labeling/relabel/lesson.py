"""Lessons: a new version of a class out of what people decided, measured beside the words and examples before it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.labeling.io.teaching_images import TeachingSet, read_decided
from sam3_agent.labeling.ontology.ontology import Ontology, Thresholds, fold
from sam3_agent.labeling.pipeline.label_image import DETECT_UNIT, labels_of
from sam3_agent.labeling.relabel.versions import How, Version
from sam3_agent.labeling.store.detections import ImageDetections, unpack_detections
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import model_name
from sam3_agent.labeling.verify.calibrate import LEAST, fitted
from sam3_agent.masks import Rle
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.training.teaching.looks import (
    LEAST_IMAGES,
    LEAST_OBJECTS,
    THRESHOLDS,
    Look,
    best_threshold,
    f1_of,
    look_of,
)
from sam3_agent.training.teaching.progress import TeachProgress
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import Concept
from sam3_agent.workspace import Workspace

MOST_NEGATIVE = 8
"""Look-alikes that `learn` reads: it pools them to one token, and leaves them out where they do harm."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Outcome for one class: a version that was made, or the reason that there is none."""

    class_name: str
    objects: int
    images: int
    """With the class, called complete by a person."""
    absent: int
    """Pictures without it, those cut out around rejected labels among them."""
    says: str
    version: Version | None = None
    thresholds: Thresholds | None = None
    """Fitted to what it found on images that were left out; None where these are too few."""
    notes: tuple[str, ...] = ()
    points: tuple[tuple[float, bool], ...] = ()
    """(score, whether right) of what a version that is kept found on images that were left out."""


@dataclass(frozen=True, slots=True)
class Made:
    """Candidate for a version, with how it did on images that it was not made from."""

    concept: Concept
    how: How
    f1: float
    looks: tuple[Look, ...] = ()


def read_lesson(journal: Journal, class_name: str) -> tuple[TeachingSet, Lesson]:
    """Read what people decided about a class, and say what there is to be taught from it."""
    given = read_decided(journal, class_name)
    having = [image for image in given.images if image.objects]
    objects = sum(len(image.objects) for image in having)
    absent = len(given.images) - len(having)
    says = "" if objects else "nobody accepted or drew one on an image that is called complete (D in the review)"
    return given, Lesson(class_name, objects, len(having), absent, says, notes=given.notes)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Recipe of a teaching."""

    steps: int | None = None
    """Of each of four parts; None for the usual number, 0 for `learn` in any case."""
    seed: int = 0


def digest_of(given: TeachingSet, recipe: Recipe, segmenter: Segmenter) -> str:
    """Digest of everything that decides a version."""
    digest = hashlib.sha256(f"{segmenter.info}{recipe}".encode())
    for image in given.images:
        digest.update(f"{image.name}{image.pixels.shape}".encode())
        for kind in (image.objects, image.lookalikes):
            digest.update(f"|{' '.join(rle.counts for rle in kind)}".encode())
    return digest.hexdigest()


def make(
    segmenter: Segmenter,
    workspace: Workspace,
    name: str,
    given: TeachingSet,
    recipe: Recipe,
    folder: Path,
    tell: Callable[[TeachProgress], None],
) -> Made:
    """Teach a class by gradient; where there is too little for that, take its best examples, or learn of all.

    Raises:
        InputError: there is no example at all.
    """
    having = [image for image in given.images if image.objects]
    objects, absent = sum(len(image.objects) for image in having), len(given.images) - len(having)
    if objects >= LEAST_OBJECTS and len(having) >= LEAST_IMAGES:
        from sam3_agent.model.sam3 import Sam3  # imports torch
        from sam3_agent.training.teaching.teach import learn_and_look, recipe_of, teach_and_look

        trained = absent >= LEAST_IMAGES and recipe.steps != 0
        if trained and not isinstance(segmenter, Sam3):
            raise InputError(f"a concept is taught to one model on one device, not to {type(segmenter).__name__}")
        if isinstance(segmenter, Sam3):
            options = recipe_of(recipe.steps, recipe.seed)
            taught = (
                teach_and_look(segmenter, name, given.images, options=options, folder=folder, on_progress=tell)
                if trained
                else learn_and_look(segmenter, name, given.images, tell)
            )
            figure = f1_of(taught.looks, taught.concept.threshold)
            return Made(taught.concept, "taught" if trained else "learned", figure, taught.looks)
    concept = _learned(workspace, name, having)
    if concept.estimate is None:
        raise InputError(f"{name} could not be tried on its own examples")
    found, examples = concept.estimate.found, concept.estimate.examples
    return Made(concept, "learned", 2 * found / max(1, found + examples + concept.estimate.false))


def _learned(workspace: Workspace, name: str, having: Sequence[TeachingImage]) -> Concept:
    ids: list[str] = []
    positive: list[tuple[str, masks.Box]] = []
    negative: list[tuple[str, masks.Box]] = []
    try:
        for image in having:
            ids.append(workspace.open(image.pixels).id)
            positive += [(ids[-1], masks.box(rle)) for rle in image.objects]
            negative += [(ids[-1], masks.box(rle)) for rle in image.lookalikes]
        return workspace.learn(name, positive_boxes=positive, negative_boxes=negative[:MOST_NEGATIVE])
    finally:
        for image_id in ids:
            workspace.forget(image_id)


def baseline_f1(journal: Journal, ontology: Ontology, given: TeachingSet) -> float:
    """F1 of the words and examples of the concept file on the same images, at the threshold that is best for them."""
    rows = {row.path: row for row in journal.images("done")}
    looks: list[Look] = []
    for image in given.images:
        row = rows.get(image.name)
        if row is None:  # a picture that was cut out
            continue
        payload = journal.unit(row.sha, DETECT_UNIT)
        found = unpack_detections(payload, (row.height, row.width)) if payload is not None else []
        detected = ImageDetections(row.sha, {fold(each.phrase): each for each in found}, {}, model_name(journal))
        looks.append(look_of(_plain_labels(given.class_name, ontology, detected), image.objects))
    return f1_of(looks, best_threshold(looks)) if looks else 0.0


def _plain_labels(name: str, ontology: Ontology, detected: ImageDetections) -> list[tuple[float, Rle]]:
    """Labels of a class by its words and examples alone."""
    plain = Ontology(tuple(replace(each, taught=None) for each in ontology.classes))
    return [(label.score, label.rle) for label in labels_of(plain, detected, {}) if label.class_name == name]


def judged(class_name: str, made: Made, before: float, lesson: Lesson, digest: str) -> Lesson:
    """Keep the candidate where it beats the words and examples on what people decided."""
    kept = made.f1 > before
    place = "on images left out" if made.looks else "left out one by one"
    compared = f"F1 {made.f1:.2f} {place}, {before:.2f} by words and examples"
    says = f"{made.concept.estimate}; {compared}{'' if kept else '; not used'}"
    version = Version(class_name, made.concept.name, made.how, digest, kept, says)
    points = [(score, True) for look in made.looks for score in look.right]
    points += [(score, False) for look in made.looks for score in look.false]
    return replace(lesson, says=says, version=version, points=tuple(points) if kept else ())


def with_thresholds(lessons: Sequence[Lesson], ontology: Ontology) -> list[Lesson]:
    """Fit the thresholds of each class to what its version found on images that were left out.

    All classes of the round stand behind each, as in `calibrate`, where there are several: twelve objects alone, all
    right, are no proof of a precision of .95, and nothing would be accepted until a person has decided about more.
    """
    several = sum(bool(lesson.points) for lesson in lessons) > 1
    pool = [point for lesson in lessons for point in lesson.points] if several else []
    fresh: list[Lesson] = []
    for lesson in lessons:
        if len(lesson.points) < LEAST:
            fresh.append(lesson)
            continue
        least = min(THRESHOLDS)
        floor = Thresholds(least, least, max(ontology.named(lesson.class_name).thresholds.accept, least))
        fresh.append(replace(lesson, thresholds=fitted(lesson.points, floor, pool=pool)))
    return fresh
