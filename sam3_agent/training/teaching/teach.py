"""Teaching of a concept: images with and without it -> a concept that goes wherever a learned one goes.

Nothing of the model changes, so that every other word finds what it found before.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.model.adapters.adapter import base_fingerprint
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.checkpoint import CHECKPOINT
from sam3_agent.training.teaching.close_up_check import Answer, answers_of, checked_closely
from sam3_agent.training.teaching.first_tokens import FirstTokens
from sam3_agent.training.teaching.looks import (
    LEAST_IMAGES,
    LEAST_OBJECTS,
    THRESHOLDS,
    Look,
    best_threshold,
    counts_of,
    f1_of,
    look_of,
)
from sam3_agent.training.teaching.progress import TeachProgress
from sam3_agent.training.teaching.prompt_tokens import CachedView, TokenOptions, train_tokens
from sam3_agent.training.teaching.views import TeachingImage, View, positive_boxes, views_of
from sam3_agent.types import (
    CloseUps,
    Concept,
    ConceptEstimate,
    ConceptPrompt,
    Exemplar,
    ExemplarTokens,
)
from sam3_agent.workspace.concepts import MOST_EXAMPLES, MOST_THUMBNAILS, thumbnail
from sam3_agent.workspace.presence_calibration import least_presence

TRAINED_MARGIN = 0.03
"""F1 on images left out by which trained tokens must beat the plain mean of the best examples."""


@dataclass(frozen=True, slots=True)
class TeachOptions:
    """Recipe of a teaching; the same values on the same images give the same concept."""

    tokens: TokenOptions = field(default_factory=TokenOptions)
    views: int = 5
    """Of an image with the concept, itself included."""
    absent_views: int = 4
    """Of an image without it."""
    pastes: int = 2
    """Views of every image with objects of others of its fold pasted into it."""


@dataclass(frozen=True, slots=True)
class Taught:
    """Concept, and how each of its images was answered by the tokens that were trained without it."""

    concept: Concept
    looks: tuple[Look, ...]


def teach(
    segmenter: Sam3,
    name: str,
    images: Sequence[TeachingImage],
    *,
    options: TeachOptions | None = None,
    folder: Path | None = None,
    on_progress: Callable[[TeachProgress], None] = lambda _: None,
) -> Concept:
    """Train a concept's prompt tokens on images with and without it; minutes on a CPU for the tiny model.

    Give the concept to `Workspace.add_concept`, or write it to a file. Every object of it must be marked on every
    image, as what is not marked is learned to be something else. `teach_and_look` gives the scores of the trial too.

    Args:
        segmenter: the model that the concept is for; its weights stay as they are.
        name: it is asked for as "@name".
        images: with and without the concept.
        options: the recipe.
        folder: keeps a checkpoint, from which an equal call goes on after a kill.
        on_progress: told after each view that is encoded and each step.

    Raises:
        InputError: a bad name, or too few images.
    """
    return teach_and_look(segmenter, name, images, options=options, folder=folder, on_progress=on_progress).concept


def teach_and_look(
    segmenter: Sam3,
    name: str,
    images: Sequence[TeachingImage],
    *,
    options: TeachOptions | None = None,
    folder: Path | None = None,
    on_progress: Callable[[TeachProgress], None] = lambda _: None,
) -> Taught:
    """Teach as `teach` does, and give what was found on every image while it was left out.

    Raises:
        InputError: a bad name, or too few images.
    """
    recipe = options or TeachOptions()
    check_images(name, images)
    folds = dealt_folds(images, recipe.tokens.folds)
    read = _Reader(segmenter, recipe, np.random.default_rng([recipe.tokens.seed, 1]), on_progress, len(images))
    for image, fold in zip(images, folds, strict=True):
        read.image(image, fold, [other for other, its in zip(images, folds, strict=True) if its == fold])
    firsts = FirstTokens(segmenter, images, read.examples, folds)
    train = partial(train_tokens, folder=folder, key=images_key(segmenter, images, recipe), on_progress=on_progress)
    trained = train(segmenter.network, read.views, firsts.without(None), recipe.tokens)
    ways = [_as_read(firsts, len(trained)), _Way(trained, np.mean(trained, axis=0))]
    return _taught(segmenter, name, images, folds, ways, np.concatenate(read.examples), _recipe_words(images, recipe))


def learn_and_look(
    segmenter: Sam3,
    name: str,
    images: Sequence[TeachingImage],
    on_progress: Callable[[TeachProgress], None] = lambda _: None,
) -> Taught:
    """Make a concept of the best examples without training, and give what was found on every image while left out.

    Takes images as `teach` does, of which none has to be without the concept.

    Raises:
        InputError: a bad name, or too few images with the concept.
    """
    check_images(name, images, trained=False)
    count = TokenOptions().folds
    folds, rows = dealt_folds(images, count), list[NDArray[np.float32]]()
    for number, image in enumerate(images, start=1):
        if image.objects:
            boxes = [Exemplar(masks.box(rle), positive=True) for rle in image.objects]
            rows.append(segmenter.read_exemplars(segmenter.encode(image.pixels), boxes).array)
        on_progress(TeachProgress("reading images", number, len(images)))
    ways = [_as_read(FirstTokens(segmenter, images, rows, folds), count)]
    words = f"read from {sum(bool(image.objects) for image in images)} images with it"
    return _taught(segmenter, name, images, folds, ways, np.concatenate(rows), words)


def _taught(
    segmenter: Sam3,
    name: str,
    images: Sequence[TeachingImage],
    folds: Sequence[int],
    ways: Sequence["_Way"],
    rows: NDArray[np.float32],
    words: str,
) -> Taught:
    """Concept of the way that finds most on images left out; a later way must win by TRAINED_MARGIN."""
    close_ups, tried = _tried(segmenter, images, folds, ways)
    best = max(range(len(ways)), key=lambda place: tried[place].f1 - TRAINED_MARGIN * place)
    if len(ways) > 1:
        words += (
            f"; on images left out F1 {tried[1].f1:.2f}, with the best examples' own token {tried[0].f1:.2f}, so that"
            f" {('this is kept', 'the trained ones are kept')[best]}"
        )
    tokens, examples = (
        ExemplarTokens.of(each, segmenter.fingerprint) for each in (ways[best].tokens, rows[:MOST_EXAMPLES])
    )
    concept = Concept(
        name, None, tokens, tuple(thumbnails_of(images)), examples, tried[best].threshold, tried[best].estimate,
        (words,), least_presence=tried[best].least_presence, close_ups=close_ups,
    )  # fmt: skip
    return Taught(concept, tried[best].looks)


def _as_read(firsts: FirstTokens, folds: int) -> "_Way":
    return _Way([firsts.without(fold)[None] for fold in range(folds)], firsts.without(None)[None])


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """Tokens to ask with, and those of each fold, which know nothing of its images."""

    by_fold: Sequence[NDArray[np.float32]]
    """(T, C) each"""
    tokens: NDArray[np.float32]
    """(T, C)"""


@dataclass(frozen=True, slots=True)
class _Tried:
    """Outcome of a way on images that were left out."""

    looks: tuple[Look, ...]
    least_presence: float
    threshold: float
    estimate: ConceptEstimate

    @property
    def f1(self) -> float:
        """At its threshold."""
        return f1_of(self.looks, self.threshold)


def _tried(
    segmenter: Sam3, images: Sequence[TeachingImage], folds: Sequence[int], ways: Sequence[_Way]
) -> tuple[CloseUps | None, list[_Tried]]:
    """Ask each image in every way that was learned without it, and look at what is found once more."""
    low, reader = min(THRESHOLDS), segmenter.fingerprint
    prompts = [
        [ConceptPrompt(None, (), Concept("taught", None, ExemplarTokens.of(w.by_fold[f], reader))) for w in ways]
        for f in range(max(folds) + 1)
    ]
    answers = [answers_of(segmenter, image, prompts[f], low) for image, f in zip(images, folds, strict=True)]
    close_ups, checked = checked_closely(segmenter, images, list(zip(*answers, strict=True)))
    return close_ups, [_outcome(images, each, count=len(prompts)) for each in checked]


def _outcome(images: Sequence[TeachingImage], answers: Sequence[Answer], *, count: int) -> _Tried:
    looks = [look_of(a.found, image.objects, a.presence) for a, image in zip(answers, images, strict=True)]
    least = least_presence([each.presence for each in looks if each.objects])
    looks = [each if each.presence >= least else each.refused() for each in looks]
    threshold, estimate = _estimated(looks, folds=count)
    return _Tried(tuple(looks), least, threshold, estimate)


def recipe_of(steps: int | None = None, seed: int = 0) -> TeachOptions:
    """The usual recipe with another number of steps of each fold, or another seed."""
    usual = TokenOptions(seed=seed)
    return TeachOptions(usual if steps is None else replace(usual, steps=steps))


def forget_checkpoint(folder: Path) -> None:
    """Delete the folder of a training that is done, if there is one."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / f"{CHECKPOINT}.part").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def check_images(name: str, images: Sequence[TeachingImage], *, trained: bool = True) -> None:
    """Refuse what cannot be taught before minutes are spent.

    Raises:
        InputError: a bad name, or too few images.
    """
    Concept(name, None, ExemplarTokens(bytes(4), 1, 1, ""))  # which refuses a bad name
    having = [image for image in images if image.objects]
    objects, lacking = positive_boxes(images), len(images) - len(having)
    if not objects:
        raise InputError("nothing is marked on any of the images: there is nothing to teach")
    if len(having) < LEAST_IMAGES or objects < LEAST_OBJECTS:
        raise InputError(
            f"{objects} objects on {len(having)} images are too few to teach from: {LEAST_OBJECTS} on {LEAST_IMAGES}"
            " images are needed at least; `learn` makes a concept of any number"
        )
    if trained and lacking < LEAST_IMAGES:
        raise InputError(
            f"{lacking} of the images are without it; at least {LEAST_IMAGES} are needed, or it would be found on"
            " everything: add images on which it is not"
        )


def dealt_folds(images: Sequence[TeachingImage], folds: int) -> list[int]:
    """The fold of each image, in turn; those with the concept and those without it are dealt apart."""
    counts = {True: 0, False: 0}
    dealt: list[int] = []
    for image in images:
        kind = bool(image.objects)
        dealt.append(counts[kind] % folds)
        counts[kind] += 1
    return dealt


class _Reader:
    """Encodes images view by view and keeps what a training needs."""

    def __init__(
        self,
        segmenter: Sam3,
        recipe: TeachOptions,
        rng: np.random.Generator,
        tell: Callable[[TeachProgress], None],
        images: int,
    ) -> None:
        self.views: list[CachedView] = []
        self.examples: list[NDArray[np.float32]] = []
        """(N, C) tokens of the objects of each image that has some"""
        self._segmenter = segmenter
        self._recipe = recipe
        self._rng = rng
        self._tell = tell
        self._images = images
        self._read = 0

    def image(self, image: TeachingImage, fold: int, donors: Sequence[TeachingImage]) -> None:
        """Read all views of an image; the donors are of its fold."""
        count = self._recipe.views if image.objects else self._recipe.absent_views
        views = views_of(image, count, self._rng, donors=donors, pastes=self._recipe.pastes)
        for place, seen in enumerate(views):
            features = self._segmenter.encode(np.ascontiguousarray(seen.pixels))
            self.views.append(self._cached(seen, features, fold, whole=place == 0))
            if place == 0 and image.objects:
                boxes = [Exemplar(masks.box(rle), positive=True) for rle in image.objects]
                self.examples.append(self._segmenter.read_exemplars(features, boxes).array)
        self._read += 1
        self._tell(TeachProgress("reading images", self._read, self._images))

    def _cached(self, seen: View, features: ImageFeatures, fold: int, *, whole: bool) -> CachedView:
        prefix = self._segmenter.wordless_tokens(features)
        boxes = torch.from_numpy(seen.boxes)  # pyright: ignore[reportUnknownMemberType]
        # clones: what comes out of inference mode takes no part in a gradient
        return CachedView(fold, whole, features.levels[-1].cpu().clone(), prefix.cpu().clone(), boxes)


def _estimated(looks: Sequence[Look], *, folds: int) -> tuple[float, ConceptEstimate]:
    """A threshold, and how well every image is answered by the tokens that were trained without it."""
    best = best_threshold(looks)
    found, false = counts_of(looks, best)
    absent = [look for look in looks if not look.objects]
    refused = sum(all(score <= best for score in look.false) for look in absent)
    return best, ConceptEstimate(
        found, sum(look.objects for look in looks), false, 0, len(looks), folds > 1, len(absent), refused
    )


def thumbnails_of(images: Sequence[TeachingImage]) -> list[bytes]:
    """Small pictures of the first objects."""
    shown = [(image.pixels, rle) for image in images for rle in image.objects][:MOST_THUMBNAILS]
    return [thumbnail(pixels, masks.box(rle)) for pixels, rle in shown]


def _recipe_words(images: Sequence[TeachingImage], recipe: TeachOptions) -> str:
    having = sum(bool(image.objects) for image in images)
    steps = recipe.tokens.folds * recipe.tokens.steps
    return (
        f"taught from {having} images with it and {len(images) - having} without: {recipe.tokens.tokens} tokens,"
        f" {steps} steps, seed {recipe.tokens.seed}"
    )


def images_key(segmenter: Sam3, images: Sequence[TeachingImage], recipe: object) -> str:
    """A digest of everything that decides the result."""
    digest = hashlib.sha256(f"{base_fingerprint(segmenter.network)}{recipe}{segmenter.info.dtype}".encode())
    for image in images:
        digest.update(f"{image.pixels.shape}{image.objects!r}".encode())
        digest.update("".join(rle.counts for rle in (*image.objects, *image.lookalikes)).encode())
        digest.update(np.ascontiguousarray(image.pixels).data)
    return digest.hexdigest()
