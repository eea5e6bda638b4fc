"""Association and lifetime against the recorded decisions of Meta's heuristics on scripted masks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.workspace.tracking.association import evidence_of_masks
from sam3_agent.workspace.tracking.lifetime import Decision, Lifetimes
from sam3_agent.workspace.tracking.profiles import SAM3, Profile

SURE = 10.0
"""Logit of every scripted track."""


@pytest.fixture(scope="module")
def oracle(shared_data: Path) -> Path:
    folder = shared_data / "video_oracle"
    if not folder.is_dir():
        pytest.skip("the recorded decisions (../shared/data/video_oracle) are not here")
    return folder


def profile_of_case(case: dict[str, Any]) -> Profile:
    start, most, least = case["keep_alive"]
    return replace(
        SAM3, keep_alive=(start, most, least), hide_unmatched=not case["suppress_unmatched_only_within_hotstart"]
    )


def masks_of(packed: NDArray[np.uint8], grid: int) -> NDArray[np.bool_]:
    """(K, grid, grid) masks of all frames, one after the other."""
    return np.unpackbits(packed)[: packed.size * 8].reshape(-1, grid, grid).astype(bool)


def replay(
    case: dict[str, Any], arrays: Any, grid: int, resume_at: int | None = None
) -> Iterator[tuple[Any, Decision, Lifetimes]]:
    """Every frame's recorded decisions with ours; the state goes through JSON at the frame number `resume_at`."""
    detections, tracks = (masks_of(arrays[f"{case['id']}/{kind}"], grid) for kind in ("det", "trk"))
    profile, n, m = profile_of_case(case), 0, 0
    lives = Lifetimes(profile, first_number=0)
    for place, frame in enumerate(case["frames"]):
        if place == resume_at:
            lives = Lifetimes.from_json(json.loads(json.dumps(lives.to_json())), profile)
        dets, trks = detections[n : n + len(frame["scores"])], tracks[m : m + len(frame["ids"])]
        n, m = n + len(dets), m + len(trks)
        evidence = evidence_of_masks(frame["t"], dets, frame["scores"], ["thing"] * len(dets), trks, [SURE] * len(trks))
        yield frame, lives.step(evidence, reverse=case["reverse"]), lives
    assert (n, m) == (len(detections), len(tracks))


def number(track_id: str) -> int:
    return int(track_id[1:])


def differences(frame: dict[str, Any], said: Decision, lives: Lifetimes) -> list[str]:
    alive = {str(number(i)): lives.life(i).keep_alive for i in lives.alive}
    ours: dict[str, Any] = {
        "new": [[number(i), d] for i, d in said.new],
        "removed": sorted(number(i) for i in said.removed),
        "unmatched": [number(i) for i in said.unmatched],
        "matched": {str(d): [number(i) for i in ids] for d, ids in said.matched.items()},
        "hidden": sorted(number(i) for i in said.hidden),
        "overlap_suppressed": sorted(number(i) for i in said.blanked),
        "recondition": {str(number(r.id)): r.detection for r in said.reprompts},
        "keep_alive": alive,
    }
    # The record goes on listing the counters of removed tracks; ours are gone with them.
    theirs = {**frame, "keep_alive": {i: v for i, v in frame["keep_alive"].items() if i in alive}}
    return [f"t={frame['t']} {key}: {ours[key]} is not {theirs[key]}" for key in ours if ours[key] != theirs[key]]


def test_every_decision_of_every_case_is_the_recorded_one(oracle: Path) -> None:
    document = json.loads((oracle / "cases.json").read_text())
    arrays = np.load(oracle / "cases.npz")
    found = [
        f"{case['id']} {sentence}"
        for case in document["cases"]
        for frame, said, lives in replay(case, arrays, document["grid"])
        for sentence in differences(frame, said, lives)
    ]
    assert document["cases"]
    assert found == []


def test_the_profile_has_the_settings_of_the_record(oracle: Path) -> None:
    settings = json.loads((oracle / "cases.json").read_text())["settings"]
    assert settings == {
        "score_threshold_detection": SAM3.detection_score,
        "det_nms_thresh": SAM3.nms,
        "assoc_iou_thresh": SAM3.match,
        "trk_assoc_iou_thresh": SAM3.keep,
        "new_det_thresh": SAM3.new_score,
        "hotstart_delay": SAM3.delay,
        "hotstart_unmatch_thresh": SAM3.unmatched_limit,
        "hotstart_dup_thresh": SAM3.duplicate_limit,
        "init_trk_keep_alive": SAM3.keep_alive[0],
        "max_trk_keep_alive": SAM3.keep_alive[1],
        "min_trk_keep_alive": SAM3.keep_alive[2],
        "suppress_overlapping_based_on_recent_occlusion_threshold": SAM3.occlusion_overlap,
        "recondition_every_nth_frame": SAM3.reprompt_every,
    }


def test_a_run_resumed_at_any_frame_decides_as_one_that_was_never_stopped(oracle: Path) -> None:
    document = json.loads((oracle / "cases.json").read_text())
    arrays = np.load(oracle / "cases.npz")
    case = document["cases"][0]
    whole = [said for _, said, _ in replay(case, arrays, document["grid"])]
    for stop in range(1, 60, 7):
        assert [said for _, said, _ in replay(case, arrays, document["grid"], stop)] == whole


def test_no_id_is_given_twice(oracle: Path) -> None:
    document = json.loads((oracle / "cases.json").read_text())
    arrays = np.load(oracle / "cases.npz")
    for case in document["cases"]:
        begun = [i for _, said, _ in replay(case, arrays, document["grid"]) for i, _ in said.new]
        assert len(set(begun)) == len(begun)
