"""Training prompts and their truth."""

import numpy as np
import pytest

from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.scenes.unnamed_shapes import is_unnamed, unnamed_noun
from sam3_agent.scenes.vocabulary import COLORS, HELD_OUT_UNKNOWN_WORDS, NOUNS, PATTERNS
from sam3_agent.training.config import UNNAMED
from sam3_agent.training.prompts import HELD_OUT_PAIRS, MOST_POOLED, lend_exemplars, sample_prompts, vocabulary_words
from sam3_agent.training.steps import word_matches

SMALL = SceneOptions(max_side=300, excluded_pairs=HELD_OUT_PAIRS)


@pytest.fixture(scope="module")
def drawn() -> list[tuple[object, object]]:
    pairs = []
    for seed in range(60):
        scene = generate_scene(seed, SMALL)
        pairs += [(scene, p) for p in sample_prompts(scene.objects, 30, np.random.default_rng(seed))]
    return pairs


def test_words_of_a_text_prompt_agree_with_its_targets(drawn: list) -> None:
    checked = 0
    for scene, prompt in drawn:
        if prompt.kind not in ("text", "negative", "text+positive"):
            continue
        flags = [[word_matches(w, o) for w in prompt.phrase.split()] for o in scene.objects]
        meant = tuple(i for i, row in enumerate(flags) if all(f is not False for f in row))
        assert meant == prompt.targets, prompt
        checked += 1
    assert checked > 500


def test_held_out_pairs_are_never_drawn_nor_asked_for(drawn: list) -> None:
    for scene, prompt in drawn:
        assert not {(o.noun, o.color) for o in scene.objects} & HELD_OUT_PAIRS
        words = set((prompt.phrase or "").split())
        nouns = {n for n in NOUNS if n in words or f"{n}s" in words}
        assert not {(n, c) for n in nouns for c in words & set(COLORS)} & HELD_OUT_PAIRS, prompt


def test_held_out_words_are_neither_asked_for_nor_tokens(drawn: list) -> None:
    held = set(HELD_OUT_UNKNOWN_WORDS)
    assert not held & set(vocabulary_words())
    assert not [p.phrase for _, p in drawn if p.phrase and held & set(p.phrase.split())]


def test_every_form_of_prompt_occurs(drawn: list) -> None:
    kinds = {p.kind for _, p in drawn}
    assert kinds == {"text", "negative", "unknown", "exemplar", "text+positive", "text+negative", "both"}


def test_a_negative_exemplar_is_never_among_the_targets(drawn: list) -> None:
    seen = 0
    for _, prompt in drawn:
        for index, positive in prompt.exemplars:
            assert positive == (index in prompt.targets), prompt
            seen += 1
    assert seen > 100


def test_prompts_about_a_worn_pattern_ask_for_what_some_wear_and_for_what_none_wears() -> None:
    kinds = {"worn": 0, "not worn": 0}
    for seed in range(40):
        scene = generate_scene(seed, SMALL)
        for prompt in sample_prompts(scene.objects, 10, np.random.default_rng(seed), worn=1.0):
            words = (prompt.phrase or "").split()
            (pattern,) = [p for p in PATTERNS if p in words]
            flags = [[word_matches(w, o) for w in words] for o in scene.objects]
            assert prompt.targets == tuple(i for i, row in enumerate(flags) if all(f is not False for f in row))
            nouns = [o for o, row in zip(scene.objects, flags, strict=True) if row.count(False) <= 1]
            assert any(o.pattern != pattern for o in nouns) or prompt.targets
            kinds[prompt.kind] += 1
    assert 100 < kinds["not worn"] < 250
    assert sum(kinds.values()) == 400


WITH_UNNAMED = SceneOptions(
    max_side=300, min_objects=6, excluded_pairs=HELD_OUT_PAIRS, unnamed=(unnamed_noun(3), unnamed_noun(8))
)


@pytest.fixture(scope="module")
def batches() -> list[tuple[list, list]]:
    """(scenes, prompts of each) where some scenes show unnamed shapes and prompts are lent."""
    drawn = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        scenes = [generate_scene(10 * seed + k, WITH_UNNAMED if k % 2 else SMALL).objects for k in range(4)]
        asked = [sample_prompts(objects, 12, rng) for objects in scenes]
        drawn.append((scenes, lend_exemplars(scenes, asked, rng, UNNAMED.stages[0])))
    return drawn


def test_no_phrase_names_an_unnamed_shape_or_gives_it_a_supercategory(batches: list) -> None:
    asked = 0
    for scenes, prompts in batches:
        for objects, group in zip(scenes, prompts, strict=True):
            for prompt in group:
                assert "unnamed" not in (prompt.phrase or ""), prompt
                shapes = [i for i in prompt.targets if is_unnamed(objects[i].noun)]
                if prompt.phrase and shapes and not prompt.exemplars:
                    flags = [word_matches(word, objects[i]) for i in shapes for word in prompt.phrase.split()]
                    assert all(flag is not False for flag in flags), prompt
                    asked += 1
    assert asked > 20


def test_a_lent_or_pooled_prompt_asks_for_all_of_its_examples_noun(batches: list) -> None:
    kinds: dict[str, int] = {}
    absent = 0
    for scenes, prompts in batches:
        for number, group in enumerate(prompts):
            for prompt in (each for each in group if each.source is not None):
                examples = prompt.pooled or [(prompt.source, index) for index, _ in prompt.exemplars]
                nouns = {scenes[scene][index].noun for scene, index in examples}
                assert len(nouns) == 1
                wanted = tuple(i for i, thing in enumerate(scenes[number]) if thing.noun in nouns)
                assert prompt.targets == wanted
                assert all(scene != number for scene, _ in examples)
                assert len(set(prompt.pooled)) == len(prompt.pooled) <= MOST_POOLED
                kinds[prompt.kind] = kinds.get(prompt.kind, 0) + 1
                absent += not wanted
    assert kinds["lent"] > 20
    assert kinds["pooled"] > 40
    assert absent > 20
