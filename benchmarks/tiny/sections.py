"""The questions of the benchmark, one function each; every function yields (group, counts) rows."""

from collections.abc import Iterator

import numpy as np
from sam3_evals.metrics.cgf1 import PairCounts, score_masks

from benchmarks.tiny.model import Looked, count, example, found_by, lent, look_at, text
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.scenes import Scene, SceneOptions, generate_scene
from sam3_agent.scenes.concepts import concepts_of
from sam3_agent.scenes.vocabulary import COLORS, HELD_OUT_UNKNOWN_WORDS, NOUNS, SUPERCATEGORY_PHRASE
from sam3_agent.training.prompts import HELD_OUT_PAIRS, Description, kind_of_negative

Row = tuple[str, PairCounts]
NegativeRow = tuple[str, PairCounts, bool]
FULL = SceneOptions()
PROMPTS_PER_SCENE = 10


def scenes(count_: int, first_seed: int, options: SceneOptions = FULL) -> Iterator[tuple[Scene, np.random.Generator]]:
    """Unseen scenes: seeds below the first training seed."""
    for seed in range(first_seed, first_seed + count_):
        yield generate_scene(seed, options), np.random.default_rng(seed)


def phrases(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """Text prompts on the full world: overall, per kind, by number of objects, size and aspect of the picture."""
    for scene, rng in scenes(number, 0):
        looked = look_at(segmenter, scene)
        concepts = concepts_of(scene, rng, limit=PROMPTS_PER_SCENE)
        answers = found_by(segmenter, looked, [text(c.phrase) for c in concepts])
        for concept, found in zip(concepts, answers, strict=True):
            counts = count(looked, found, concept.target_ids)
            yield "text", counts
            yield f"kind {concept.kind}", counts
            yield f"objects {_bin(len(scene.objects))}", counts
            yield f"longer side {_side(max(scene.width, scene.height))}", counts
            yield f"aspect {_aspect(scene.width / scene.height)}", counts


def patterns(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """Pattern words alone, all that occur in the scene."""
    for scene, rng in scenes(number, 10_000):
        looked = look_at(segmenter, scene)
        words = sorted({o.pattern for o in scene.objects})
        nouns = [("thing", "object")[int(rng.integers(2))] for _ in words]
        answers = found_by(segmenter, looked, [text(f"{w} {n}") for w, n in zip(words, nouns, strict=True)])
        for word, found in zip(words, answers, strict=True):
            counts = count(looked, found, [o.id for o in scene.objects if o.pattern == word])
            yield "pattern words", counts
            yield f"pattern {word}", counts


def held_out_pairs(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """Noun x color pairs that training neither drew nor asked for."""
    options = SceneOptions(required_pairs=tuple(sorted(HELD_OUT_PAIRS)))
    for scene, _ in scenes(number, 20_000, options):
        looked = look_at(segmenter, scene)
        pairs = sorted({(o.noun, o.color) for o in scene.objects} & HELD_OUT_PAIRS)
        for noun, color in pairs:
            (found,) = found_by(segmenter, looked, [text(f"{color} {noun}")])
            yield "held-out pairs", count(looked, found, _ids(looked, Description(noun=noun, color=color)))


def exemplars(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """One positive box instead of a phrase: everything of that noun."""
    for scene, rng in scenes(number, 30_000):
        looked = look_at(segmenter, scene)
        for thing in rng.permutation(np.array(scene.objects, dtype=object))[:3]:
            (found,) = found_by(segmenter, looked, [example(looked, thing.id)])
            yield "one positive box", count(looked, found, _ids(looked, Description(noun=thing.noun)))


def lent_exemplars(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """One box on another scene, no phrase: everything of that noun here; one time in four nothing of it is here."""
    for scene, rng in scenes(number, 70_000):
        lender = generate_scene(80_000 + scene.seed, FULL)
        there = {o.noun for o in scene.objects}
        shared = [o for o in lender.objects if o.noun in there]
        absent_ones = [o for o in lender.objects if o.noun not in there]
        pool = absent_ones if absent_ones and (not shared or rng.random() < 0.25) else shared
        thing = pool[int(rng.integers(len(pool)))]
        looked = look_at(segmenter, scene)
        (found,) = found_by(segmenter, looked, [lent(segmenter, look_at(segmenter, lender), thing.id)])
        yield "one box on another scene", count(looked, found, _ids(looked, Description(noun=thing.noun)))


def negatives(segmenter: Segmenter, number: int) -> Iterator[NegativeRow]:
    """Phrase + negative box: what stays, and whether the marked kind is gone (no kept mask at IoU 0.5 on any of it)."""
    for scene, rng in scenes(number, 40_000):
        looked = look_at(segmenter, scene)
        for description in _broad_descriptions(scene, rng):
            ids = _ids(looked, description)
            marked = scene.objects[int(rng.choice(ids)) - 1]
            kind = kind_of_negative(description, marked)
            gone = [i for i in ids if kind.matches(scene.objects[i - 1])]
            rest = [i for i in ids if i not in gone]
            if not rest:
                continue
            phrase = description.phrase(np.random.default_rng(0))
            (found,) = found_by(segmenter, looked, [example(looked, marked.id, positive=False, phrase=phrase)])
            still = score_masks(found, [looked.truth[i] for i in gone]).true_positives[0]
            yield "phrase + negative box", count(looked, found, rest), still == 0


def absent(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """Words never seen, and nouns of the vocabulary that are not in the scene."""
    for scene, rng in scenes(number, 50_000):
        looked = look_at(segmenter, scene)
        unknown = [str(w) for w in rng.choice(HELD_OUT_UNKNOWN_WORDS, size=3, replace=False)] + ["dog", "spaceship"]
        unknown.append(f"{rng.choice(list(COLORS))} {rng.choice(HELD_OUT_UNKNOWN_WORDS)}")
        missing = [n for n in NOUNS if all(o.noun != n for o in scene.objects)]
        nouns = [str(n) for n in rng.choice(missing, size=3, replace=False)]
        answers = found_by(segmenter, looked, [text(p) for p in [*unknown, *nouns]])
        for index, found in enumerate(answers):
            yield ("unknown word" if index < len(unknown) else "absent noun"), count(looked, found, [])


def flat_drawings(segmenter: Segmenter, number: int) -> Iterator[Row]:
    """Flat fills and line art on near white."""
    for scene, rng in scenes(number, 60_000, SceneOptions(style="flat")):
        looked = look_at(segmenter, scene)
        concepts = concepts_of(scene, rng, limit=PROMPTS_PER_SCENE)
        answers = found_by(segmenter, looked, [text(c.phrase) for c in concepts])
        for concept, found in zip(concepts, answers, strict=True):
            yield "flat drawings", count(looked, found, concept.target_ids)


def _ids(looked: Looked, description: Description) -> list[int]:
    return [o.id for o in looked.scene.objects if description.matches(o)]


def _broad_descriptions(scene: Scene, rng: np.random.Generator) -> list[Description]:
    thing = scene.objects[int(rng.integers(len(scene.objects)))]
    group = thing.supercategory if thing.supercategory in SUPERCATEGORY_PHRASE else "shape"
    return [
        Description(),
        Description(color=thing.color),
        Description(supercategory=group),
        Description(noun=thing.noun),
    ]


def _bin(objects: int) -> str:
    return "1-4" if objects < 5 else "5-9" if objects < 10 else "10-20"


def _side(pixels: int) -> str:
    return "256-511" if pixels < 512 else "512-1023" if pixels < 1024 else "1024-2048"


def _aspect(ratio: float) -> str:
    return "tall (under 2:3)" if ratio < 2 / 3 else "wide (over 3:2)" if ratio > 1.5 else "medium"
