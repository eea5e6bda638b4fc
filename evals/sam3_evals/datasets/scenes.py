"""Generated scenes: without end, with exact truth, nothing to download.

`scenes:SEED` and `scenes:SEED/queries` ask referring queries, whatever the solver, so that any two runs over one spec
can be compared; `scenes:SEED/concepts` asks plain noun phrases with hard negatives, one mask per instance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice

import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.scenes import Scene, concepts_of, generate_scene, queries_of
from sam3_evals.sample import Case, Source

DEFAULT_CASES = 200
QUERIES_PER_KIND = 1
CONCEPTS_PER_SCENE = 12
_TASKS = ("queries", "concepts")
_STRIDE = 1_000_000
"""Scenes of one seed before they would run into those of the next."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """The scenes of one seed, numbered from 0; scene n is `generate_scene(SEED * 1,000,000 + n)`."""

    seed: int
    task: str

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "Scenes":
        """Open "SEED" (queries), "SEED/queries" or "SEED/concepts".

        Raises:
            InputError: the seed is not a number from 0, or the part after the slash is unknown.
        """
        seed, _, task = argument.partition("/")
        task = task or "queries"
        if not seed.isascii() or not seed.isdigit() or task not in _TASKS:
            raise InputError(f"scenes:{argument}: expected scenes:SEED, scenes:SEED/queries or scenes:SEED/concepts")
        return cls(int(seed), task)

    @property
    def name(self) -> str:
        """The spec: "scenes:SEED/TASK"."""
        return f"scenes:{self.seed}/{self.task}"

    def cases(self, limit: int | None) -> Iterator[Case]:
        """The first `limit` cases (default 200), scene by scene."""
        every = (case for number in count() for case in self._ask(number))
        return islice(every, DEFAULT_CASES if limit is None else limit)

    def picture(self, case: Case) -> Source:
        """The scene, drawn again (the last few are kept)."""
        return _scene(int(case.picture)).image

    def _ask(self, number: int) -> Iterator[Case]:
        scene = _scene(self.seed * _STRIDE + number)
        rng = np.random.default_rng([self.seed, number])
        if self.task == "queries":
            for index, query in enumerate(queries_of(scene, rng, limit_per_kind=QUERIES_PER_KIND)):
                form = "long" if query.is_sentence else "short"
                yield _case(scene, f"s{number}-q{index}", query.text, query.target_ids, query.kind, form)
        else:
            for index, concept in enumerate(concepts_of(scene, rng, limit=CONCEPTS_PER_SCENE)):
                yield _case(scene, f"s{number}-c{index}", concept.phrase, concept.target_ids, concept.kind, "short")


def _case(scene: Scene, name: str, text: str, targets: Sequence[int], kind: str, form: str) -> Case:
    by_id = {thing.id: thing for thing in scene.objects}
    return Case(
        id=name,
        picture=str(scene.seed),
        query=text,
        size=(scene.height, scene.width),
        targets=tuple(masks.encode(by_id[target].mask) for target in targets),
        strata={"kind": kind, "form": form},
    )


@lru_cache(maxsize=4)
def _scene(seed: int) -> Scene:
    return generate_scene(seed)
