"""Simulation of many replicas behind Serve's consistent-hash router, event by event.

A replica answers one question after the other; it encodes an image first that it does not hold (those used least
recently are forgotten). A question goes to the replica of its image; where `places` questions are there already it goes
to the next `fallbacks` on the ring, and where those are full it is tried again after a pause. Replicas die at random:
what they had in hand is asked again, elsewhere, and they come back empty. Nobody asks slower because others wait (open
arrivals).
"""

import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

VIRTUAL_NODES = 100
"""Of each replica on the ring, as Serve has it."""
PAUSE = 0.05
"""Seconds until a question that found no place, or lost its replica, is tried again."""


@dataclass(frozen=True, slots=True)
class World:
    """Numbers of a simulated cluster; times in seconds."""

    replicas: int = 1000
    encode: float = 0.0145
    prompt: float = 0.009
    questions: int = 4
    """About each opened image, the first at once."""
    think: float = 0.25
    """Between two questions about an image, on average."""
    load: float = 0.6
    """Share of all replicas' time that the questions would take if each image were encoded once."""
    seconds: float = 4.0
    hot_share: float = 0.05
    """Of the sessions that open one of the hot images."""
    hot_images: int = 20
    places: int = 16
    fallbacks: int = 16
    held: int = 300
    """Images of which a replica keeps features, of 53 MB each: 16 GiB of a large card; the usual 2 GiB hold 38."""
    failures: float = 0.05
    """Of each replica an hour, on average."""
    restart: float = 60.0
    seed: int = 0


@dataclass(slots=True)
class Figures:
    """Outcome of a simulation."""

    asked: int = 0
    answered: int = 0
    encodes: int = 0
    opened: int = 0
    spilled: int = 0
    """Questions that a fallback took."""
    waits: int = 0
    """Tries that found no place."""
    lost: int = 0
    """Questions whose replica died; each was asked again."""
    deaths: int = 0
    busiest: float = 0.0
    """Share of its time that the busiest replica worked."""
    latencies: list[float] = field(default_factory=list[float])

    def to_json(self) -> dict[str, float]:
        """Counts, and the latencies as percentiles in milliseconds."""
        half, late, worst = (round(1000 * float(np.percentile(self.latencies, q)), 1) for q in (50, 99, 100))
        return {
            "asked": self.asked, "answered": self.answered, "encodes_per_image": round(self.encodes / self.opened, 3),
            "spilled": self.spilled, "waits": self.waits, "lost_and_asked_again": self.lost, "deaths": self.deaths,
            "busiest_replica": round(self.busiest, 2), "median_ms": half, "p99_ms": late, "worst_ms": worst,
        }  # fmt: skip


@dataclass(slots=True)
class _Question:
    key: int
    born: float
    spilled: bool = False


@dataclass(slots=True)
class _Replica:
    alive: bool = True
    life: int = 0
    """Counts deaths, so that what a dead replica would have finished is not taken for an answer."""
    working: _Question | None = None
    waiting: deque[_Question] = field(default_factory=deque[_Question])
    images: OrderedDict[int, None] = field(default_factory=OrderedDict[int, None])
    worked: float = 0.0

    @property
    def ongoing(self) -> int:
        return len(self.waiting) + (self.working is not None)


class Simulation:
    """One run of a world; `run` it once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = np.random.default_rng(world.seed)
        self._replicas = [_Replica() for _ in range(world.replicas)]
        points = self._chance.integers(0, 2**63, world.replicas * VIRTUAL_NODES, dtype=np.int64)
        order = np.argsort(points)
        self._points: NDArray[np.int64] = points[order]
        self._owners: list[int] = (order // VIRTUAL_NODES).tolist()
        self._events: list[tuple[float, int, str, int, _Question | None]] = []
        self._number = 0
        self._ended = 0.0
        self.figures = Figures()

    def run(self) -> Figures:
        """Let time go by until every question is answered."""
        self._open_images()
        self._fail()
        while self._events:
            now, _, kind, place, question = heapq.heappop(self._events)
            if kind == "ask":
                assert question is not None
                self._route(now, question)
            elif kind == "done":
                self._done(now, place, question)
            elif kind == "die":
                self._die(now, place)
            else:
                self._replicas[place].alive = True
        self.figures.busiest = max(each.worked for each in self._replicas) / max(self._ended, self._world.seconds)
        return self.figures

    def _at(self, when: float, kind: str, place: int = -1, question: _Question | None = None) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, kind, place, question))

    def _open_images(self) -> None:
        world, chance = self._world, self._chance
        rate = world.load * world.replicas / (world.encode + world.questions * world.prompt)  # images a second
        count = int(chance.poisson(rate * world.seconds))
        opened = chance.uniform(0, world.seconds, count)
        keys = chance.integers(0, 2**63, count, dtype=np.int64)
        hot = chance.random(count) < world.hot_share
        ranks = np.minimum(chance.zipf(1.5, count) - 1, world.hot_images - 1)
        pool = chance.integers(0, 2**63, world.hot_images, dtype=np.int64)
        keys[hot] = pool[ranks[hot]]
        pauses = np.cumsum(chance.exponential(world.think, (count, world.questions)), axis=1)
        pauses[:, 1:], pauses[:, 0] = pauses[:, :-1].copy(), 0.0
        for key, start, after in zip(keys.tolist(), opened.tolist(), pauses.tolist(), strict=True):
            for pause in after:
                self._at(start + pause, "ask", question=_Question(key, start + pause))
        self.figures.opened = len(set(keys.tolist()))
        self.figures.asked = count * world.questions

    def _fail(self) -> None:
        world = self._world
        rate = world.failures * world.replicas / 3600
        for when in self._chance.uniform(0, world.seconds, int(self._chance.poisson(rate * world.seconds))).tolist():
            self._at(when, "die", int(self._chance.integers(world.replicas)))

    def _ranked(self, key: int) -> list[int]:
        """Replicas that may take an image: its own, then the fallbacks, as the ring orders them, without the dead."""
        found: list[int] = []
        start = int(np.searchsorted(self._points, key, side="right"))
        for step in range(len(self._owners)):
            owner = self._owners[(start + step) % len(self._owners)]
            if owner not in found and self._replicas[owner].alive:
                found.append(owner)
                if len(found) > self._world.fallbacks:
                    break
        return found

    def _route(self, now: float, question: _Question) -> None:
        for rank, place in enumerate(self._ranked(question.key)):
            replica = self._replicas[place]
            if replica.ongoing < self._world.places:
                self.figures.spilled += rank > 0
                replica.waiting.append(question)
                if replica.working is None:
                    self._work(now, place)
                return
        self.figures.waits += 1
        self._at(now + PAUSE, "ask", question=question)

    def _work(self, now: float, place: int) -> None:
        replica, world = self._replicas[place], self._world
        question = replica.working = replica.waiting.popleft()
        seconds = world.prompt
        if question.key not in replica.images:
            seconds += world.encode
            self.figures.encodes += 1
            replica.images[question.key] = None
            while len(replica.images) > world.held:
                replica.images.popitem(last=False)
        replica.images.move_to_end(question.key)
        replica.worked += seconds
        self._at(now + seconds, "done", place, question)

    def _done(self, now: float, place: int, question: _Question | None) -> None:
        replica = self._replicas[place]
        if question is None or replica.working is not question:
            return  # its replica died over it
        self.figures.answered += 1
        self._ended = now
        self.figures.latencies.append(now - question.born)
        replica.working = None
        if replica.waiting:
            self._work(now, place)

    def _die(self, now: float, place: int) -> None:
        replica = self._replicas[place]
        if not replica.alive:
            return
        self.figures.deaths += 1
        in_hand = [*([replica.working] if replica.working is not None else []), *replica.waiting]
        self._replicas[place] = _Replica(alive=False, worked=replica.worked)
        for question in in_hand:
            self.figures.lost += 1
            again = _Question(question.key, question.born)
            self._at(now + PAUSE, "ask", question=again)
        self._at(now + self._world.restart, "rise", place)
