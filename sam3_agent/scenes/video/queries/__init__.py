"""Queries about the course of a video, with exact answers by stated rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sam3_agent.scenes.queries.query import Query
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.video.queries import changing, coming, moving, placing
from sam3_agent.scenes.video.queries.course import SEEN_SHARES, Course, courses_of
from sam3_agent.scenes.video.queries.form import Form, Found
from sam3_agent.scenes.video.queries.group import VideoGroup, absent_groups, groups_of
from sam3_agent.scenes.video.truth import VideoTruth

__all__ = ["Query", "temporal_queries_of"]

NO_TARGET = "no_target"
TIMELESS = ("plain",)
"""Kinds that make sense across a hard cut: nobody can say what moves, enters or leaves there."""
EVERYTHING = ("object", "household item")


def temporal_queries_of(truth: VideoTruth, rng: np.random.Generator, limit_per_kind: int = 1) -> list[Query]:
    """Unambiguous queries about a video, at most `limit_per_kind` of each kind, no text twice.

    The kinds are those of the forms, and "no_target": any form about which it is clear that nothing fits.
    """
    courses = courses_of(truth)
    if not courses:
        return []
    groups = groups_of(courses, rng)
    queries: dict[str, Query] = {}
    amounts: dict[str, int] = {}
    for query in _asked(truth, courses, groups, rng):
        if query.text not in queries and amounts.get(query.kind, 0) < limit_per_kind:
            queries[query.text] = query
            amounts[query.kind] = amounts.get(query.kind, 0) + 1
    return list(queries.values())


def _asked(
    truth: VideoTruth, courses: Sequence[Course], groups: Sequence[VideoGroup], rng: np.random.Generator
) -> Iterator[Query]:
    """Make every query that can be asked, in random order of forms and groups."""
    strict = {course.id: course for course in courses_of(truth, SEEN_SHARES[1])}
    forms = (*coming.FORMS, *moving.FORMS, *changing.FORMS, *changing.turning_forms(courses, rng), *placing.FORMS)
    for form in shuffled(forms, rng):
        if truth.cuts and form.kind not in TIMELESS:
            continue
        for group in groups:
            if len(group.members) < form.least or (form.kind == "plain" and group.one in EVERYTHING):
                continue
            found = _beyond_doubt(form, group, strict)
            if found is not None:
                query = form.ask(group, found, form.kind if found else NO_TARGET, rng)
                if query is not None:
                    yield query
        yield from _absent(form, courses, rng)


def _beyond_doubt(form: Form, group: VideoGroup, strict: Mapping[int, Course]) -> Found:
    """Apply the rule; None unless it finds the same when only what shows a good part of itself counts as seen."""
    found = form.rule(group)
    if found is None:
        return None
    again = form.rule(VideoGroup(group.one, tuple(strict[course.id] for course in group.members)))
    return found if again is not None and [course.id for course in again] == [course.id for course in found] else None


def _absent(form: Form, courses: Sequence[Course], rng: np.random.Generator) -> Iterator[Query]:
    """Ask the form about something that is not in the video."""
    query = form.ask(absent_groups(courses, rng)[0], (), NO_TARGET, rng)
    if query is not None:
        yield query
