"""The benchmark of teaching: rows that are kept, and nouns that are new."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.teach.pictures import NEW, with_new
from benchmarks.teach.row_store import RowStore
from sam3_agent import masks
from sam3_agent.scenes.vocabulary import NOUNS


@dataclass(frozen=True, slots=True)
class Row:
    f1: float
    worst: tuple[str, ...] = ()


@dataclass(slots=True)
class Counter:
    calls: int = 0

    def measure(self, folder: Path | None) -> Row:
        self.calls += 1
        return Row(self.calls / 4, ("a.png",))


def test_a_row_is_measured_once_for_the_same_weights_and_draw(tmp_path: Path) -> None:
    counter = Counter()
    kept = RowStore(tmp_path, {"weights": "abc"})
    first = kept.row(Row, {"draw": 0}, counter.measure)
    assert kept.row(Row, {"draw": 0}, counter.measure) == first == Row(0.25, ("a.png",))
    assert kept.row(Row, {"draw": 1}, counter.measure).f1 == 0.5
    assert RowStore(tmp_path, {"weights": "other"}).row(Row, {"draw": 0}, counter.measure).f1 == 0.75


def test_without_a_folder_every_row_is_measured() -> None:
    counter = Counter()
    kept = RowStore(None, {})
    assert [kept.row(Row, {}, counter.measure).f1 for _ in range(2)] == [0.25, 0.5]


@pytest.mark.parametrize("noun", NEW)
def test_new_nouns_are_in_no_scene_of_a_training_and_are_marked_where_they_are_drawn(noun: str) -> None:
    assert noun not in NOUNS
    few, more = with_new(640_123, {noun: 1}), with_new(640_123, {noun: 2})
    (mask,) = (masks.decode(rle) for rle in few.objects[noun])
    changed = (few.image != more.image).any(axis=2)
    assert len(more.objects[noun]) == 2
    assert not (changed & mask).any(), "what is drawn first stays where it is, and is not hidden here"
    drawn = np.any([masks.decode(rle) for rle in more.objects[noun]], axis=0)
    assert (changed & ~drawn).sum() <= 0.5 * (changed & drawn).sum(), "little but edges is drawn beside the mask"
