"""Tracks tied together by detections alone, from detections to journal, measurements and back."""

from pathlib import Path

import numpy as np

from sam3_agent import masks
from sam3_agent.tracks import Track
from sam3_agent.workspace.tracking.association import mask_overlap
from sam3_agent.workspace.tracking.by_detection import DetectedMask, DetectionTracker, rle_overlap
from sam3_agent.workspace.tracking.journal import Header, JournalWriter
from sam3_agent.workspace.tracking.measure import Clock, measure_tracks
from sam3_agent.workspace.tracking.track import TrackStore
from tests.workspace.tracking.fixtures_tracks import SIZE, moving, rle_of

SLOW = moving((0, 5, 12, 17), (2, 0), range(30))
BACK = moving((80, 30, 92, 42), (-2, 0), range(30))


def tracked(path: Path, *, gap: range = range(0), cut_at: int = -1) -> tuple[Track, ...]:
    """Two things, one of them not detected in the frames of a gap."""
    tracker = DetectionTracker()
    with JournalWriter(path, Header("a.mp4", SIZE[1], SIZE[0], "paper", 10.0)) as journal:
        for index in range(30):
            found = [DetectedMask("cat", rle_of(SLOW[index]), 0.9)]
            if index not in gap:
                found.append(DetectedMask("dog", rle_of(BACK[index]), 0.8))
            journal.write(tracker.step(index, found, time=index / 10, cut=index == cut_at))
    return TrackStore(path).tracks()


def test_things_that_move_keep_their_ids(tmp_path: Path) -> None:
    cat, dog = tracked(tmp_path / "a.jsonl")
    assert [(t.id, t.concept, t.first, t.last, t.state) for t in (cat, dog)] == [
        ("t1", "cat", 0, 29, "confirmed"),
        ("t2", "dog", 0, 29, "confirmed"),
    ]
    assert [frame.rle for frame in cat.frames] == [rle_of(SLOW[i]) for i in range(30)]
    motions = measure_tracks((cat, dog), Clock(SIZE[1], SIZE[0], 30, 10.0), "speed")
    assert {m.track.id: m.direction for m in motions} == {"t1": "right", "t2": "left"}


def test_a_short_gap_is_bridged_and_a_long_one_is_another_track(tmp_path: Path) -> None:
    short = tracked(tmp_path / "a.jsonl", gap=range(17, 19))
    assert [t.id for t in short] == ["t1", "t2"]
    assert short[1].at(17) is None
    assert [t.id for t in tracked(tmp_path / "b.jsonl", gap=range(12, 22))] == ["t1", "t2", "t3"]


def test_a_cut_ends_every_track_and_ids_go_on(tmp_path: Path) -> None:
    found = tracked(tmp_path / "a.jsonl", cut_at=20)
    assert [(t.id, t.first, t.last) for t in found] == [("t1", 0, 19), ("t2", 0, 19), ("t3", 20, 29), ("t4", 20, 29)]


def test_a_flash_is_retracted() -> None:
    tracker = DetectionTracker()
    lines = [tracker.step(i, [DetectedMask("cat", rle_of((5, 5, 15, 15)), 0.9)] if i < 1 else []) for i in range(20)]
    assert [entry.id for entry in lines[0].entries] == ["t1"]
    assert tracker.lifetimes.alive == ()


def test_one_detection_is_given_to_one_track_only() -> None:
    tracker = DetectionTracker()
    tracker.step(
        0, [DetectedMask("cat", rle_of((0, 0, 20, 20)), 0.9), DetectedMask("cat", rle_of((16, 0, 36, 20)), 0.9)]
    )
    line = tracker.step(1, [DetectedMask("cat", rle_of((4, 0, 30, 20)), 0.9)])
    assert len(line.entries) == 1


def test_overlaps_of_runs_are_those_of_bitmaps() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((count, 20, 30)) < share for count, share in ((5, 0.3), (4, 0.1)))
    rles = [[masks.encode(mask) for mask in side] for side in (first, second)]
    for measure in ("iou", "iom"):
        assert np.array_equal(rle_overlap(rles[0], rles[1], measure), mask_overlap(first, second, measure))
