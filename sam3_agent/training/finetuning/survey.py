"""Survey of what a model finds under many words: on the images of a training, and on scenes whose truth is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.scenes.vocabulary import COLORS, NOUNS
from sam3_agent.training.finetuning.figures import THRESHOLD, Counts
from sam3_agent.training.finetuning.looks import SAME, matched
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import ConceptPrompt, DetectOptions

EVERYDAY = (
    "person", "face", "hand", "dog", "road", "sign", "text", "chair", "table", "window", "door", "box", "bottle",
    "ball", "wheel", "animal", "vehicle", "building", "shape", "object",
)  # fmt: skip
"""Beside the nouns of the scenes; a model that does not know one refuses it, which is to stay so too."""
WORDS = (*NOUNS, *EVERYDAY)
NAMED = 1 / 3
"""Share of the labeled objects found under a word from which on the word is a name of theirs."""
SCENES = 24
SCENE_SEED = 600_000
"""Under the first seed of any training of the embedded model, and apart from those of its benchmarks."""
ABSENT_WORDS = 5
"""Nouns asked of each scene that are not on it."""
OPTIONS = DetectOptions(THRESHOLD, near_misses=0)


@dataclass(frozen=True, slots=True)
class Survey:
    """Findings of every word on every image."""

    words: tuple[str, ...]
    found: tuple[tuple[tuple[Rle, ...], ...], ...]
    """Image by image, word by word."""


def survey(
    segmenter: Sam3, images: Sequence[TeachingImage], words: Sequence[str], tell: Callable[[int], None] = lambda _: None
) -> Survey:
    """Ask every word of every image; `tell` is told how many images are done."""
    prompts = [ConceptPrompt(word) for word in words]
    found: list[tuple[tuple[Rle, ...], ...]] = []
    for image in images:
        answers = segmenter.detect(segmenter.encode(image.pixels), prompts, OPTIONS)
        found.append(tuple(tuple(each.rle for each in answer.kept) for answer in answers))
        tell(len(found))
    return Survey(tuple(words), tuple(found))


def other_words(words: Sequence[str], own: Sequence[str]) -> list[str]:
    """The words that are not the concept's own."""
    return [word for word in words if word not in own]


def names_in(said: Survey, images: Sequence[TeachingImage]) -> frozenset[int]:
    """Words that name the labeled objects too, as "cog" names a gear: they may go on finding them."""
    hits, count = np.zeros(len(said.words)), sum(len(image.objects) for image in images)
    for image, found in zip(images, said.found, strict=True):
        for word, rles in enumerate(found):
            if rles and image.objects:
                hits[word] += (masks.iou(image.objects, rles).max(axis=1) >= SAME).sum()
    return frozenset(int(word) for word in np.flatnonzero(hits >= NAMED * max(1, count)))


def hijacked(said: Survey, images: Sequence[TeachingImage], names: frozenset[int]) -> Counts:
    """(images with the concept, 2) [other words that give a labeled object, other words asked]."""
    rows: list[tuple[int, int]] = []
    for image, found in zip(images, said.found, strict=True):
        if image.objects:
            asked = [rles for word, rles in enumerate(found) if word not in names]
            rows.append((sum(bool(rles) and _on_objects(rles, image) for rles in asked), len(asked)))
    return np.array(rows, np.float64).reshape(-1, 2)


def agreement(base: Survey, now: Survey, images: Sequence[TeachingImage], names: frozenset[int]) -> Counts:
    """(images, 5) [TP, FP, FN, absent, refused] of what is found now, where what the base found is the truth.

    What the base found on labeled objects under another word is no truth.
    """
    rows = np.zeros((len(images), 5))
    for row, image, old, new in zip(rows, images, base.found, now.found, strict=True):
        for word, (before, after) in enumerate(zip(old, new, strict=True)):
            wrong = image.objects if word not in names else ()
            row += _counted(_apart(after, wrong), _apart(before, wrong))
    return rows


def scene_counts(
    segmenter: Sam3, count: int = SCENES, first_seed: int = SCENE_SEED, tell: Callable[[int], None] = lambda _: None
) -> Counts:
    """(scenes, 5) [TP, FP, FN, absent, refused] of nouns, and of colors with nouns, on procedural scenes."""
    rows = np.zeros((count, 5))
    for place, row in enumerate(rows):
        scene = generate_scene(first_seed + place, SceneOptions())
        truth: dict[str, list[Rle]] = {}
        for each in scene.objects:
            rle = masks.encode(each.mask)
            truth.setdefault(each.noun, []).append(rle)
            truth.setdefault(f"{each.color} {each.noun}", []).append(rle)
        rng = np.random.default_rng(first_seed + place)
        lacking = [str(noun) for noun in rng.permutation(NOUNS) if noun not in truth]
        colors = sorted(COLORS)
        pairs = (f"{colors[int(rng.integers(len(colors)))]} {noun}" for noun in truth if " " not in noun)
        absent = [*lacking[:ABSENT_WORDS], *islice((pair for pair in pairs if pair not in truth), 2)]
        phrases = [*truth, *absent]
        answers = segmenter.detect(segmenter.encode(scene.image), [ConceptPrompt(p) for p in phrases], OPTIONS)
        for phrase, answer in zip(phrases, answers, strict=True):
            row += _counted([each.rle for each in answer.kept], truth.get(phrase, []))
        tell(place + 1)
    return rows


def _counted(found: Sequence[Rle], truth: Sequence[Rle]) -> Counts:
    if not truth:
        return np.array([0, len(found), 0, 1, not found], np.float64)
    hits = sum(overlap is not None for overlap in matched(found, truth))
    return np.array([hits, len(found) - hits, len(truth) - hits, 0, 0], np.float64)


def _on_objects(rles: Sequence[Rle], image: TeachingImage) -> bool:
    return bool((masks.iou(rles, image.objects) >= SAME).any())


def _apart(rles: Sequence[Rle], wrong: Sequence[Rle]) -> list[Rle]:
    if not rles or not wrong:
        return list(rles)
    on = masks.iou(rles, wrong).max(axis=1) >= SAME
    return [rle for rle, is_on in zip(rles, on, strict=True) if not is_on]
