"""Association and lifetime beside transformers' Sam3VideoModel, whose heuristics are Meta's, on scripted masks.

Only its planning of a frame is run, on masks that are made up here; no network takes part.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.workspace.tracking.association import evidence_of_masks
from sam3_agent.workspace.tracking.lifetime import Decision, Lifetimes
from sam3_agent.workspace.tracking.profiles import SAM3, Profile

GRID, FRAMES = 48, 50
METHODS = (
    "_associate_det_trk",
    "_process_hotstart",
    "_prepare_recondition_masks",
    "_get_objects_to_suppress_based_on_most_recently_occluded",
    "_suppress_overlapping_based_on_recent_occlusion",
    "run_tracker_update_planning_phase",
)


def planner_of(profile: Profile) -> Any:
    """The methods that plan a frame, bound to nothing but the thresholds of a profile."""
    modeling = pytest.importorskip(
        "transformers.models.sam3_video.modeling_sam3_video", reason="this transformers has no Sam3VideoModel"
    )
    start, most, least = profile.keep_alive
    host = SimpleNamespace(
        assoc_iou_thresh=profile.match,
        trk_assoc_iou_thresh=profile.keep,
        new_det_thresh=profile.new_score,
        high_conf_thresh=profile.reprompt_score,
        high_iou_thresh=profile.reprompt_overlap,
        hotstart_delay=profile.delay,
        hotstart_unmatch_thresh=profile.unmatched_limit,
        hotstart_dup_thresh=profile.duplicate_limit,
        init_trk_keep_alive=start,
        max_trk_keep_alive=most,
        min_trk_keep_alive=least,
        decrease_trk_keep_alive_for_empty_masklets=False,
        suppress_unmatched_only_within_hotstart=not profile.hide_unmatched,
        suppress_overlapping_based_on_recent_occlusion_threshold=profile.occlusion_overlap,
        recondition_every_nth_frame=profile.reprompt_every,
        recondition_on_trk_masks=True,
        max_num_objects=profile.most_tracks,
        _tracker_update_memories=lambda **_: None,
    )
    for name in METHODS:
        if not hasattr(modeling.Sam3VideoModel, name):
            pytest.skip(f"this transformers plans a frame otherwise: it has no {name}")
        setattr(host, name, MethodType(getattr(modeling.Sam3VideoModel, name), host))
    return host


def session_of() -> Any:
    made = SimpleNamespace(
        obj_ids=[],
        obj_id_to_score={},
        obj_id_to_tracker_score_frame_wise=defaultdict(dict),
        obj_id_to_last_occluded={},
        max_obj_id=-1,
        obj_first_frame_idx={},
        unmatched_frame_inds=defaultdict(list),
        trk_keep_alive=defaultdict(int),
        overlap_pair_to_frame_inds=defaultdict(list),
        removed_obj_ids=set(),
        suppressed_obj_ids=defaultdict(set),
        obj_id_to_prompt_id={},
    )
    made.obj_id_to_idx = lambda object_id: made.obj_ids.index(object_id)
    return made


def disk(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:GRID, :GRID]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


@dataclass
class Script:
    """Things that move, are detected now and then, twice at times, and a tracker that errs."""

    rng: random.Random
    things: list[tuple[float, float, float, float, float]]
    places: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """Track -> where the tracker believes it is."""

    def detections(self, time: int) -> tuple[NDArray[np.bool_], list[float]]:
        found: list[NDArray[np.bool_]] = []
        for x, y, radius, dx, dy in self.things:
            for _ in range(self.rng.choice([0, 1, 1, 1, 2])):
                off = self.rng.uniform(-2, 2)
                found.append(disk(x + dx * time + off, y + dy * time + off, radius))
        kept = [mask for mask in found if mask.any()]
        return np.array(kept, dtype=bool).reshape(-1, GRID, GRID), [self.rng.uniform(0.5, 1) for _ in kept]

    def tracks(self, ids: list[int]) -> tuple[NDArray[np.bool_], list[float]]:
        found: list[NDArray[np.bool_]] = []
        for object_id in ids:
            x, y, radius = self.places[object_id]
            chance = self.rng.random()
            if chance < 0.1:
                found.append(np.zeros((GRID, GRID), dtype=bool))
            elif chance < 0.3:
                found.append(disk(*self.places[self.rng.choice(ids)]))  # it has jumped to another one
            else:
                moved = (x + self.rng.uniform(-1, 1), y + self.rng.uniform(-1, 1))
                self.places[object_id] = (*moved, max(1.5, radius + self.rng.uniform(-0.5, 0.5)))
                found.append(disk(*self.places[object_id]))
        presence = [self.rng.choice([10.0, 10.0, 0.9, 0.5, -3.0]) for _ in ids]
        return np.array(found, dtype=bool).reshape(-1, GRID, GRID), presence


def theirs(plan: dict[str, Any], extra: dict[str, Any], frame: int, blanked: list[int], alive: list[int]) -> list[Any]:
    return [
        list(zip(plan["new_det_obj_ids"], plan["new_det_out_inds"], strict=True)),
        sorted(plan["obj_ids_newly_removed"]),
        plan["unmatched_trk_obj_ids"],
        plan["det_to_matched_trk_obj_ids"],
        sorted(extra["suppressed_obj_ids"][frame]),
        blanked,
        {i: plan["trk_id_to_max_iou_high_conf_det"][i] for i in plan["reconditioned_obj_ids"]},
        {i: extra["trk_keep_alive"][i] for i in alive},
    ]


def ours(said: Decision, lives: Lifetimes) -> list[Any]:
    def number(track_id: str) -> int:
        return int(track_id[1:])

    return [
        [(number(i), d) for i, d in said.new],
        sorted(number(i) for i in said.removed),
        [number(i) for i in said.unmatched],
        {d: [number(i) for i in ids] for d, ids in said.matched.items()},
        sorted(number(i) for i in said.hidden),
        [number(i) for i in said.blanked],
        {number(r.id): r.detection for r in said.reprompts},
        {number(i): lives.life(i).keep_alive for i in lives.alive},
    ]


def differing_frames(seed: int, profile: Profile, *, reverse: bool) -> list[int]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    host, session, lives = planner_of(profile), session_of(), Lifetimes(profile, first_number=0)
    rng = random.Random(seed)
    spots = [tuple(rng.uniform(5, 43) for _ in range(2)) for _ in range(rng.randint(1, 6))]
    things = [(x, y, rng.uniform(2, 9), rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)) for x, y in spots]
    script, found = Script(rng, things), list[int]()
    for time in range(FRAMES):
        frame = FRAMES - 1 - time if reverse else time
        (dets, scores), (trks, presence) = script.detections(time), script.tracks(session.obj_ids)
        logits = [torch.where(torch.from_numpy(masks), 10.0, -10.0) for masks in (dets, trks)]
        plan, made = host.run_tracker_update_planning_phase(
            session,
            frame,
            reverse,
            {"mask": logits[0], "scores": torch.tensor(scores, dtype=torch.float32)},
            logits[1],
            torch.tensor(presence, dtype=torch.float32),
            dict.fromkeys(range(len(dets)), 0),
        )
        blanked = [i for i, a, b in zip(session.obj_ids, trks, logits[1], strict=True) if a.any() and not (b > 0).any()]
        said = lives.step(
            evidence_of_masks(frame, dets, scores, ["thing"] * len(dets), trks, presence), reverse=reverse
        )
        if ours(said, lives) != theirs(plan, made["extra_metadata"], frame, blanked, made["obj_ids"]):
            found.append(frame)
        for object_id, detection in zip(plan["new_det_obj_ids"], plan["new_det_out_inds"], strict=True):
            ys, xs = np.nonzero(dets[detection])
            script.places[object_id] = (xs.mean(), ys.mean(), max(1.5, (len(xs) / np.pi) ** 0.5))
        for key in ("obj_ids", "obj_id_to_score", "obj_id_to_last_occluded", "max_obj_id"):
            setattr(session, key, made[key])
        for key, value in made["extra_metadata"].items():
            setattr(session, key, value)
    return found


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("keep_alive", [(30, 30, -1), (0, 8, -4)])
def test_every_decision_is_that_of_transformers(keep_alive: tuple[int, int, int], reverse: bool) -> None:
    profile = replace(SAM3, keep_alive=keep_alive, hide_unmatched=keep_alive[0] == 0)
    assert {seed: differing_frames(seed, profile, reverse=reverse) for seed in range(4)} == {i: [] for i in range(4)}
