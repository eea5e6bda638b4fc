from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from sam3_agent.scenes import (
    COLORS,
    NOUNS,
    PATTERNS,
    PLURAL,
    SUPERCATEGORY_PHRASE,
    Query,
    Scene,
    SceneObject,
    queries_of,
)

KINDS = {
    "superlative",
    "ordinal",
    "relation",
    "exclusion",
    "counting",
    "function",
    "odd_one_out",
    "plain",
    "no_target",
}
NTH = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
SINGULAR = {many: one for one, many in PLURAL.items()}
GROUPS = {phrase: name for name, phrase in SUPERCATEGORY_PHRASE.items() if name != "object"}


@pytest.fixture(scope="session")
def asked(scenes: list[Scene]) -> list[tuple[Scene, Query]]:
    """Every query about every scene."""
    return [(scene, query) for scene in scenes for query in queries_of(scene, np.random.default_rng(scene.seed), 4)]


def fitting(scene: Scene, description: str) -> list[SceneObject]:
    """The objects that a description, in the singular or plural, fits, worked out word by word."""
    objects = list(scene.objects)
    for word in description.replace("household item", "household_item").split(" "):
        word = word.replace("_", " ")
        word = SINGULAR.get(word, word)
        if word in COLORS:
            objects = [obj for obj in objects if obj.color == word]
        elif word in PATTERNS:
            objects = [obj for obj in objects if obj.pattern == word]
        elif word in NOUNS:
            objects = [obj for obj in objects if obj.noun == word]
        elif word in GROUPS or word == "household item":
            objects = [obj for obj in objects if obj.supercategory == GROUPS.get(word, "object")]
        elif word != "object":
            objects = []
    return objects


def ids(objects: list[SceneObject]) -> tuple[int, ...]:
    """The ids in rising order."""
    return tuple(sorted(obj.id for obj in objects))


def found(
    asked: list[tuple[Scene, Query]], kinds: tuple[str, ...], pattern: str
) -> list[tuple[Scene, Query, list[str]]]:
    """The queries whose text has the form `pattern`, with what its groups hold."""
    hits = [(scene, query, re.fullmatch(pattern, query.text)) for scene, query in asked if query.kind in kinds]
    return [(scene, query, list(hit.groups())) for scene, query, hit in hits if hit]


def test_each_kind_occurs(asked: list[tuple[Scene, Query]]) -> None:
    counts = Counter(query.kind for _, query in asked)
    assert set(counts) == KINDS
    assert min(counts.values()) >= 10


def test_targets_exist_but_for_the_queries_that_have_none(asked: list[tuple[Scene, Query]]) -> None:
    for scene, query in asked:
        assert bool(query.target_ids) == (query.kind != "no_target"), query
        assert set(query.target_ids) <= {obj.id for obj in scene.objects}
        assert list(query.target_ids) == sorted(set(query.target_ids))


def test_sentences_begin_large_and_end_with_a_mark_and_phrases_do_not(asked: list[tuple[Scene, Query]]) -> None:
    for _, query in asked:
        assert query.is_sentence == (query.text[-1] in ".?"), query
        assert query.is_sentence == query.text[0].isupper(), query
        assert "{" not in query.text
    assert 0.4 < np.mean([query.is_sentence for _, query in asked]) < 0.6


def test_no_text_is_asked_twice_about_a_scene(scenes: list[Scene]) -> None:
    for scene in scenes:
        texts = [query.text for query in queries_of(scene, np.random.default_rng(0), 3)]
        assert len(texts) == len(set(texts))


def test_at_most_the_limit_of_each_kind_is_asked(scenes: list[Scene]) -> None:
    for scene in scenes[:40]:
        counts = Counter(query.kind for query in queries_of(scene, np.random.default_rng(0), 1))
        assert set(counts.values()) == {1}


def test_the_same_generator_gives_the_same_queries(scenes: list[Scene]) -> None:
    assert queries_of(scenes[0], np.random.default_rng(1)) == queries_of(scenes[0], np.random.default_rng(1))


def test_the_largest_and_smallest_lead_by_a_clear_margin(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(asked, ("superlative",), r"the (largest|biggest|smallest|tiniest) (.+)")
    assert len(hits) > 20
    for scene, query, (way, description) in hits:
        ranked = sorted(fitting(scene, description), key=lambda obj: obj.area, reverse=way in ("largest", "biggest"))
        assert query.target_ids == (ranked[0].id,)
        small, large = sorted((ranked[0].area, ranked[1].area))
        assert large >= 1.15 * small


def test_the_outermost_lead_by_a_clear_margin(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(asked, ("superlative",), r"the (leftmost|rightmost|topmost|highest|lowest|bottommost) (.+)")
    assert len(hits) > 20
    for scene, query, (way, description) in hits:
        across = way in ("leftmost", "rightmost")
        sign = -1 if way in ("rightmost", "lowest", "bottommost") else 1
        places = sorted(
            (sign * (obj.cx / scene.width if across else obj.cy / scene.height), obj.id)
            for obj in fitting(scene, description)
        )
        assert query.target_ids == (places[0][1],)
        assert places[1][0] - places[0][0] >= 0.04


def test_the_nth_is_counted_from_the_side_and_clear_of_its_neighbors(asked: list[tuple[Scene, Query]]) -> None:
    sides = "left|right|top|bottom"
    hits = found(asked, ("ordinal", "no_target"), rf"(?:the )?({'|'.join(NTH)}) (.+) from the ({sides})")
    assert len(hits) > 40
    for scene, query, (nth, description, side) in hits:
        across = side in ("left", "right")
        row = sorted(
            ((obj.cx / scene.width if across else obj.cy / scene.height), obj.id) for obj in fitting(scene, description)
        )
        row = row[::-1] if side in ("right", "bottom") else row
        place = NTH.index(nth)
        assert query.target_ids == ((row[place][1],) if place < len(row) else ())
        for near in (place - 1, place + 1):
            if query.target_ids and 0 <= near < len(row):
                assert abs(row[near][0] - row[place][0]) >= 0.04


def test_sides_of_a_reference_are_told_by_centers_and_the_reference_is_unique(asked: list[tuple[Scene, Query]]) -> None:
    ways = "left of|to the left of|right of|to the right of|above|below"
    hits = found(asked, ("relation", "no_target"), rf"the (.+?) ({ways}) the (.+)")
    assert len(hits) > 40
    for scene, query, (description, way, name) in hits:
        references, subjects = fitting(scene, name), fitting(scene, description)
        if not references or not subjects:
            assert query.target_ids == ()
            continue
        assert len(references) == 1
        across = "left" in way or "right" in way
        sign = -1 if "left" in way or way == "above" else 1
        target = references[0]
        offsets = [
            sign * ((obj.cx - target.cx) / scene.width if across else (obj.cy - target.cy) / scene.height)
            for obj in subjects
        ]
        assert min(abs(offset) for offset in offsets) >= 0.04
        assert query.target_ids == ids([obj for obj, by in zip(subjects, offsets, strict=True) if by > 0])


def test_what_is_inside_a_ring_lies_in_its_box(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(
        asked,
        ("relation",),
        r"(?:the|Find the|Which) (.+) (?:inside|within|that|can be seen through) the (.+?)(?: goes around\.|\?)?",
    )
    hits = [hit for hit in hits if "ring" in hit[2][1] and ("left" not in hit[1].text)]
    for scene, query, (_, name) in hits:
        rings = fitting(scene, name)
        if len(rings) != 1 or not re.search("inside|within|around|through", query.text):
            continue
        outer = rings[0].box
        for obj in scene.objects:
            if obj.id in query.target_ids:
                assert outer[0] <= obj.box[0] < obj.box[2] <= outer[2]
                assert outer[1] <= obj.box[1] < obj.box[3] <= outer[3]
    assert any(re.search("inside|within|around|through", query.text) for _, query, _ in hits)


def test_the_nearest_is_nearer_than_the_next_by_a_quarter(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(asked, ("relation",), r"the (.+) (?:closest|nearest) to the (.+)")
    assert len(hits) > 10
    for scene, query, (description, name) in hits:
        (reference,) = fitting(scene, name)
        ranked = sorted(
            (float(np.hypot(obj.cx - reference.cx, obj.cy - reference.cy)), obj.id)
            for obj in fitting(scene, description)
        )
        assert query.target_ids == (ranked[0][1],)
        assert ranked[1][0] >= 1.25 * ranked[0][0]


def test_exclusions_leave_out_what_they_say(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(asked, ("exclusion", "no_target"), r"every (.+) that is not (\w+)")
    hits += found(asked, ("exclusion", "no_target"), r"all (.+) (?:except|but) the (\w+)(?: ones)?")
    assert len(hits) > 40
    for scene, query, (description, word) in hits:
        word = SINGULAR.get(word, word)
        rest = [obj for obj in fitting(scene, description) if word not in (obj.color, obj.pattern, obj.noun)]
        assert query.target_ids == ids(rest), query


def test_what_has_no_marks_may_be_of_any_other_pattern(asked: list[tuple[Scene, Query]]) -> None:
    marks = {"stripes": "striped", "dots": "dotted", "checks": "checkered"}
    hits = found(asked, ("exclusion", "no_target"), r"the (.+) without (stripes|dots|checks)")
    assert hits
    for scene, query, (description, mark) in hits:
        assert query.target_ids == ids([obj for obj in fitting(scene, description) if obj.pattern != marks[mark]])


def test_a_condition_on_the_number_decides_all_or_none(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(asked, ("counting", "no_target"), r"the (.+) if there are at least (\w+)")
    hits += found(asked, ("counting", "no_target"), r"all (.+), but only if there are (\w+) or more")
    assert len(hits) > 20
    for scene, query, (description, number) in hits:
        objects = fitting(scene, description)
        assert query.target_ids == (ids(objects) if len(objects) >= NUMBERS[number] else ())


def test_a_frequency_names_one_color_or_kind(asked: list[tuple[Scene, Query]]) -> None:
    times = {"once": 1, "twice": 2, "three times": 3, "four times": 4, "five times": 5, "six times": 6}
    hits = found(asked, ("counting",), r"the objects whose (colour|kind) occurs exactly (.+)")
    assert len(hits) > 10
    for scene, query, (what, amount) in hits:
        values = [obj.color if what == "colour" else obj.noun for obj in scene.objects]
        chosen = {value for value, count in Counter(values).items() if count == times[amount]}
        assert len(chosen) == 1
        assert query.target_ids == tuple(
            obj.id for obj, value in zip(scene.objects, values, strict=True) if value in chosen
        )


def test_the_only_one_is_the_only_one(asked: list[tuple[Scene, Query]]) -> None:
    for scene, query, (description,) in found(asked, ("counting",), r"the (?:only|single) (.+)"):
        assert query.target_ids == ids(fitting(scene, description))
        assert len(query.target_ids) == 1


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("something you could drink from", {"cup"}),
        ("something that opens a door", {"key"}),
        ("something you can travel in", {"car", "boat"}),
        ("something that can fly", {"bird"}),
        ("something that grows in the soil", {"tree", "flower"}),
    ],
)
def test_a_use_means_all_objects_that_have_it(asked: list[tuple[Scene, Query]], text: str, nouns: set[str]) -> None:
    hits = found(asked, ("function", "no_target"), re.escape(text))
    assert hits
    for scene, query, _ in hits:
        assert query.target_ids == ids([obj for obj in scene.objects if obj.noun in nouns])


def test_the_odd_one_out_differs_from_all_others_which_agree(asked: list[tuple[Scene, Query]]) -> None:
    for scene, query in asked:
        if query.kind == "odd_one_out":
            (odd,) = (obj for obj in scene.objects if obj.id in query.target_ids)
            others = [obj for obj in scene.objects if obj is not odd]
            by_noun = len({obj.noun for obj in others}) == 1 and others[0].noun != odd.noun
            by_color = len({obj.color for obj in others}) == 1 and others[0].color != odd.color
            assert by_noun or by_color
            assert len(others) >= 2


def test_plain_descriptions_mean_all_that_they_fit(asked: list[tuple[Scene, Query]]) -> None:
    hits = found(asked, ("plain", "no_target"), r"(?:Where are the|Find all the) (.+?)(?:\?| in this picture\.)")
    assert len(hits) > 40
    for scene, query, (description,) in hits:
        if "," not in description:
            assert query.target_ids == ids(fitting(scene, description)), query


def test_a_scene_of_one_object_can_be_asked_about(scenes: list[Scene]) -> None:
    alone = next(scene for scene in scenes if len(scene.objects) == 1)
    assert {query.kind for query in queries_of(alone, np.random.default_rng(0))} >= {"plain", "no_target"}
