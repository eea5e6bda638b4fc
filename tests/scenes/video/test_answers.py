"""Answers found again by a solver that knows the visible masks alone, has other thresholds, and no margins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from sam3_agent.scenes.video import VideoTruth
from sam3_agent.scenes.video.queries.course import courses_of
from sam3_agent.scenes.video.queries.group import groups_of
from tests.scenes.video.conftest import Asked

SEEN = 10
"""Pixels."""


@dataclass(frozen=True)
class Solver:
    """A group of object ids in one video."""

    truth: VideoTruth
    ids: list[int]

    def frames(self, number: int) -> list[int]:
        return np.flatnonzero(self.truth.areas[:, number - 1] >= SEEN).tolist()

    def center(self, number: int) -> np.ndarray:
        boxes = self.truth.boxes[:, number - 1]
        return (boxes[:, :2] + boxes[:, 2:]) / 2 / (self.truth.width, self.truth.height)

    def border(self, number: int, frame: int) -> bool:
        x0, y0, x1, y1 = self.truth.boxes[frame, number - 1] / np.tile((self.truth.width, self.truth.height), 2)
        return bool(min(x0, y0) <= 0.02 or max(x1, y1) >= 0.98)

    def leaving(self) -> list[int]:
        last = {number: self.frames(number)[-1] for number in self.ids}
        return [
            number for number in self.ids if last[number] < self.truth.length - 1 and self.border(number, last[number])
        ]

    def entering(self) -> list[int]:
        first = {number: self.frames(number)[0] for number in self.ids}
        return [number for number in self.ids if first[number] > 0 and self.border(number, first[number])]

    def away(self, at_border: bool) -> list[int]:
        found: list[int] = []
        for number in self.ids:
            frames = self.frames(number)
            gaps = [(one, two) for one, two in pairwise(frames) if two > one + 1]
            if any(self.border(number, one) == self.border(number, two) == at_border for one, two in gaps):
                found.append(number)
        return found

    def toward(self, axis: int, sign: int) -> list[int]:
        ways = {
            number: self.center(number)[[self.frames(number)[-1], self.frames(number)[0]], axis] for number in self.ids
        }
        return [number for number, (end, begin) in ways.items() if sign * (end - begin) > 0.1]

    def path(self, number: int) -> float:
        center = self.center(number) * (self.truth.width, self.truth.height)
        frames = self.frames(number)
        steps = [np.hypot(*(center[b] - center[a])) for a, b in pairwise(frames) if b == a + 1]
        return float(np.mean(steps)) if steps else 0.0

    def growth(self, number: int) -> float:
        areas = self.truth.areas[self.frames(number), number - 1]
        return float(np.median(areas[-3:]) / np.median(areas[:3]))

    def gap(self, pair: tuple[int, int]) -> float:
        one, two = (self.truth.boxes[:, number - 1] for number in pair)
        apart = np.maximum(np.maximum(one[:, :2], two[:, :2]) - np.minimum(one[:, 2:], two[:, 2:]), 0)
        both = (self.truth.areas[:, [number - 1 for number in pair]] >= SEEN).all(axis=1)
        return float(np.where(both, np.hypot(*apart.T), np.inf).min())


SOLVERS: dict[str, Callable[[Solver], list[int]]] = {
    "leaves": Solver.leaving,
    "leaves_first": lambda s: [min(s.leaving(), key=lambda number: s.frames(number)[-1])],
    "leaves_last": lambda s: [max(s.leaving(), key=lambda number: s.frames(number)[-1])],
    "enters": Solver.entering,
    "enters_first": lambda s: [min(s.entering(), key=lambda number: s.frames(number)[0])],
    "enters_last": lambda s: [max(s.entering(), key=lambda number: s.frames(number)[0])],
    "returns": lambda s: s.away(at_border=True),
    "hides": lambda s: s.away(at_border=False),
    "longest": lambda s: [max(s.ids, key=lambda number: len(s.frames(number)))],
    "moves_left": lambda s: s.toward(0, -1),
    "moves_right": lambda s: s.toward(0, 1),
    "moves_up": lambda s: s.toward(1, -1),
    "moves_down": lambda s: s.toward(1, 1),
    "fastest": lambda s: [max(s.ids, key=s.path)],
    "grows": lambda s: [number for number in s.ids if s.growth(number) > 1.25],
    "shrinks": lambda s: [number for number in s.ids if s.growth(number) < 0.8],
    "meets": lambda s: list(min(combinations(s.ids, 2), key=s.gap)),
}


def test_a_solver_without_margins_finds_the_same_answers(asked: Asked) -> None:
    agreed: list[bool] = []
    for truth, queries in asked:
        groups = groups_of(courses_of(truth), np.random.default_rng(0))
        ids = {group.one: [course.id for course in group.members] for group in groups}
        for query in queries:
            named = [one for one in ids if re.search(rf"\b{one}(s|es)?\b", query.text)]
            if query.kind in SOLVERS and named:
                found = SOLVERS[query.kind](Solver(truth, ids[max(named, key=len)]))
                agreed.append(sorted(found) == list(query.target_ids))
    assert len(agreed) > 150
    assert np.mean(agreed) >= 0.98
