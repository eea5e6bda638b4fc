"""The tracker run: memory parts and the presence head learn on frozen weights; detector and clicks stay as they are.

Its loss, after SAM 2 (arXiv 2408.00714, appendix on training) and SAM 3 (2511.16719, C.3): of the three masks only the
best one pays, the predicted IoU is L1, a further output says whether the object is there, and absent objects have no
mask loss. Unlike theirs presence weighs 1.5: it decides a loop over video more than masks do (a track that goes on
where nothing is makes false positives in every frame).
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_agent.errors import InputError
from sam3_agent.model.loading import load_tracker
from sam3_agent.model.tracker import Part, Tracker
from sam3_agent.model.tracking.loading import load_video_tracker
from sam3_agent.model.tracking.parts import MemoryParts
from sam3_agent.model.tracking.video_tracker import FINENESS, VideoTracker
from sam3_agent.scenes.video import ClipOptions, draw_clip
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.click_run import vision_of
from sam3_agent.training.config import TrainConfig
from sam3_agent.training.losses import dice, focal
from sam3_agent.training.memory_start import Examples, start_memory
from sam3_agent.training.optimizer_step import descend, learning_rate, mixed_precision, ranks_together
from sam3_agent.training.report import Report
from sam3_agent.training.track_clips import (
    LEAST_CELLS,
    VISIBLE,
    ClipStore,
    EncodedClip,
    TrackBatch,
    draw_lesson,
    encode_clip,
)
from sam3_agent.training.track_forward import Followed, Lesson, features_of, follow_clip, looking_at
from sam3_agent.training.track_presence import Calibration, calibration_of, judge_clips

log = logging.getLogger(__name__)
EVALUATE_EVERY = 200
CLIP_FRAMES = 16
FIRST_CLIPS = 8
"""Clips at the start, of which the start values of the memory are computed."""
STEPS_A_CLIP = 6
"""A new clip joins the store after so many steps; encoding one costs as much as two steps."""
CROPPED = 0.92
"""Share of the steps on parts of half the side: attention costs a sixteenth there, and places keep their encodings."""
LENGTHS = ((0.2, 3, 5), (0.5, 4, 8), (CROPPED, 6, 12), (1.0, 4, 9))
"""(share of the run, fewest, one more than the most) frames of a clip: the longer, the more drift is to be mended."""
LONGEST_FULL = 24
"""Objects x frames of a clip at most, so that long clips cost no more memory than short ones."""
FORCED = 0.3
"""Share of frames remembered by their true masks at the start; none from the middle of the run on."""
PRESENCE_SHARE = 2.0
"""Rate of the presence head relative to the memory parts: it has only ever seen objects, and says 8 logits to all."""
LAYER_SCALE = 0.1
"""Start of the fuser's layer scale; at facebook/sam3's 1e-6 a short run never wakes it."""
MASK_LOGIT = 10.0
MEMORY = 0.98
"""Of the running average of what is learnt, which is evaluated and exported, a step."""


@dataclass(frozen=True, slots=True)
class TrackLearner:
    """The parts that are trained, and the frozen ViT under them."""

    backbone: nn.Module
    tracker: VideoTracker
    average: dict[str, Tensor]
    """Running average of `learnt`, by the same names."""

    @property
    def presence(self) -> nn.Module:
        """The head that says whether the object is there: of the click half, but clicks do not read it."""
        return cast(Any, self.tracker.tracker.tracker_model.mask_decoder).pred_obj_score_head

    @property
    def learnt(self) -> dict[str, Tensor]:
        """All that is trained, by name."""
        parts = {f"parts.{name}": value for name, value in self.tracker.parts.state_dict().items()}
        return parts | {f"presence.{name}": value for name, value in self.presence.state_dict().items()}

    def load(self, values: dict[str, Tensor]) -> None:
        """Take over values of `learnt`."""
        for prefix, module in (("parts.", self.tracker.parts), ("presence.", self.presence)):
            module.load_state_dict({k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)})

    def averaged(self, step: int) -> None:
        """Move the average after a step; at first it is what there is."""
        memory = min(MEMORY, (step + 1) / (step + 10))
        for name, value in self.learnt.items():
            self.average[name].lerp_(value, 1 - memory)


def train_tracker(config: TrainConfig, folder: Path, weights: Path | None, rank: int = 0) -> TrackLearner:
    """Train, or go on from `checkpoint.pt` in the folder; rank 0 writes that and `log.jsonl`.

    At the end the presence head is calibrated, unless the run is too short to be evaluated. Encoded clips are kept in
    `clips-RANK` in the folder; a run makes those that are missing.

    Args:
        config: with one stage, of kind "tracker".
        folder: of the run.
        weights: an exported folder with a detector and a click half.
        rank: of this process.

    Raises:
        InputError: no weights, no click half, or the folder's checkpoint belongs to other weights.
        ModelUnavailable: the weights cannot be read.
    """
    if weights is None:
        raise InputError("a tracker run learns on trained weights; give their folder with --start-from")
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with ranks_together(config, folder, rank):
        return _run(config, folder, weights, rank)


def start_track_learner(config: TrainConfig, weights: Path, saved: dict[str, Any] | None) -> tuple[TrackLearner, str]:
    """A learner on these weights, fresh (with random memory), from theirs or as saved, and the backbone's fingerprint.

    Raises:
        InputError: the weights have no click half, or what was saved belongs to another backbone.
    """
    encoder, fingerprint = vision_of(weights)
    tracker = load_tracker(weights, torch.device("cpu"), torch.float32)
    if tracker is None:
        raise InputError(f"the weights in '{weights}' have no click half, on which a tracker builds")
    tracker.requires_grad_(False)
    cast(Any, torch).manual_seed(config.seed)
    video = VideoTracker(tracker, _start_parts(config, weights, tracker))
    learner = TrackLearner(cast(Any, encoder).backbone.to(config.device), video, {})
    if saved is not None:
        if saved["backbone"] != fingerprint:
            raise InputError(f"the run was begun on other weights than those in '{weights}'; give those or a new --out")
        learner.load(saved["learnt"])
    learner.presence.requires_grad_(True)
    video.to(config.device)
    start = learner.learnt if saved is None else saved["average"]
    learner.average.update({name: value.to(config.device, copy=True) for name, value in start.items()})
    return learner, fingerprint


def _start_parts(config: TrainConfig, weights: Path, tracker: Tracker) -> MemoryParts:
    if not config.stages[0].goes_on:
        return new_parts(tracker)
    trained = load_video_tracker(weights, tracker, torch.device("cpu"), torch.float32)
    if trained is None:
        raise InputError(f"the weights in '{weights}' have no memory to go on from; train `tracker` first")
    return trained.parts.train().requires_grad_(True)


def new_parts(tracker: Tracker) -> MemoryParts:
    """Fresh memory parts beside a click half; `memory_start` makes them follow."""
    parts = MemoryParts(tracker.config)
    with torch.no_grad():
        for vector in (
            parts.memory_temporal_positional_encoding,
            parts.no_object_pointer,
            parts.occlusion_spatial_embedding_parameter,
        ):
            vector.normal_(std=0.02)
        for layer in cast(Any, parts.memory_encoder.memory_fuser).layers:
            layer.scale.fill_(LAYER_SCALE)
            layer.pointwise_conv2.weight.mul_(LAYER_SCALE)
        # a given mask is first read as the click half reads one: logits of +-10, averaged over each cell
        parts.mask_downsample.weight.fill_(2 * MASK_LOGIT / parts.mask_downsample.weight.numel())
        cast(Tensor, parts.mask_downsample.bias).fill_(-MASK_LOGIT)
        parts.tracking_point.copy_(cast(Any, tracker.tracker_model.prompt_encoder).not_a_point_embed.weight)
    return parts


def examples_of(tracker: VideoTracker, clips: list[EncodedClip]) -> Examples:
    """Every object that is there on every fourth frame of some clips."""
    coarse: list[Tensor] = []
    shares: list[Tensor] = []
    side = clips[0].grid.shape[-1]
    for clip in clips:
        for frame in range(0, len(clip.grid), 4):
            cover = clip.cover[frame].float() / 255.0  # (N, 4g, 4g)
            cover = cover[(cover > VISIBLE).sum((1, 2)) >= LEAST_CELLS]
            whole = features_of(tracker, clip.grid[frame : frame + 1].float(), Part(0, 0, side, side)).coarse
            coarse += [whole[0]] * len(cover)
            shares += list(F.interpolate(cover[:, None], scale_factor=FINENESS // 4, mode="bilinear")[:, 0])
    return Examples(torch.stack(coarse), torch.stack(shares))


def _run(config: TrainConfig, folder: Path, weights: Path, rank: int) -> TrackLearner:
    saved = read_state(folder)
    if saved and json.loads(saved["config"]) != json.loads(json.dumps(config.to_json())):
        log.warning("'%s' was begun with another configuration; going on with this one", folder)
    learner, fingerprint = start_track_learner(config, weights, saved)
    size = learner.tracker.tracker.image_size
    store = ClipStore(learner.backbone, folder / f"clips-{rank}", CLIP_FRAMES, config.seed + 1000 * rank, size)
    if saved is None and not config.stages[0].goes_on:
        begin(learner, store, first_clips(config))
    stage = config.stages[0]
    optimizer = _optimizer(learner, config)
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
    report = Report(folder, stage, rank)
    calibrated = bool(saved and saved.get("calibration"))
    for step in range(int(saved["step"]) if saved else 0, stage.steps):
        rng = np.random.default_rng([config.seed, step, rank])
        terms = track_step(learner, store, config, step, rng)
        descend(terms.values(), optimizer, config, learning_rate(stage, step))
        learner.averaged(step)
        report.add(step, terms, learning_rate(stage, step))
        last = step + 1 == stage.steps
        if rank == 0 and (last or report.checkpoint_is_due()):
            write_state(folder, _state(learner, optimizer, step + 1, config, fingerprint))
        if rank == 0 and ((step + 1) % EVALUATE_EVERY == 0 or (last and stage.steps >= EVALUATE_EVERY)):
            report.evaluation(step, _of_average(learner, quick_track_evaluation))
    if rank == 0 and stage.steps >= EVALUATE_EVERY and not calibrated:
        found = _calibrated(learner, report, stage.steps)
        write_state(folder, _state(learner, optimizer, stage.steps, config, fingerprint, found))
    return learner


def first_clips(config: TrainConfig) -> int:
    """Clips of the first step."""
    return min(FIRST_CLIPS, config.stages[0].steps)


def begin(learner: TrackLearner, store: ClipStore, clips: int = FIRST_CLIPS) -> None:
    """Compute the start values of the memory from the first clips of a store."""
    device = next(learner.tracker.parameters()).device
    learner.tracker.to("cpu")
    start_memory(learner.tracker, examples_of(learner.tracker, [store.clip(number) for number in range(clips)]))
    learner.tracker.to(device)
    for name, value in learner.learnt.items():
        learner.average[name].copy_(value)


def track_step(
    learner: TrackLearner, store: ClipStore, config: TrainConfig, step: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Clips followed from their first frame; terms are means over frames and clips.

    Half of the clips start from masks like the detector's, a quarter from the true masks, a quarter from clicks. In a
    third of those of six frames or more the masks are given once more, as the detector does every 16 frames.
    """
    stage = config.stages[0]
    progress = step / stage.steps
    fewest, most = next((low, high) for share, low, high in LENGTHS if progress < share)
    length = int(rng.integers(fewest, most))
    objects = max(1, min(stage.prompts, LONGEST_FULL // length))
    frames: list[dict[str, Tensor]] = []
    for _ in range(stage.images):
        clips = first_clips(config) + step // STEPS_A_CLIP
        batch = _drawn(store, clips, length, objects, cropped=progress < CROPPED, rng=rng)
        lesson = _lesson(batch.there, progress, rng)
        with looking_at(learner.tracker, batch.part), mixed_precision(config.device):
            for found in follow_clip(learner.tracker, batch, lesson, rng):
                frames.append(follow_loss(found, batch.cover[found.frame].to(found.masks.device)))
    return mean_terms(frames)


def _drawn(
    store: ClipStore, clips: int, length: int, objects: int, *, cropped: bool, rng: np.random.Generator
) -> TrackBatch:
    while True:
        clip = store.clip(int(rng.integers(0, clips)))
        whole = clip.grid.shape[-1]
        batch = draw_lesson(clip, length, objects, whole // 2 if cropped else whole, rng)
        if batch is not None:
            return batch


def _lesson(there: Tensor, progress: float, rng: np.random.Generator) -> Lesson:
    start = str(rng.choice(["truth", "detector", "detector", "click"]))
    whole = [frame for frame in range(2, len(there) - 1) if bool(there[frame].all())]
    again = int(rng.choice(whole)) if len(there) >= 6 and whole and rng.random() < 1 / 3 else 0
    return Lesson(start, max(0.0, FORCED * (1 - 2 * progress)), again)


Figures = TypeVar("Figures")


def _of_average(learner: TrackLearner, read: Callable[[VideoTracker, nn.Module], Figures]) -> Figures:
    """A reading of the average; what is learnt stays as it is."""
    held = {name: value.clone() for name, value in learner.learnt.items()}
    learner.load(learner.average)
    try:
        return read(learner.tracker, learner.backbone)
    finally:
        learner.load(held)


def _calibrated(learner: TrackLearner, report: Report, steps: int) -> Calibration:
    judged = _of_average(learner, judge_clips)
    found = calibration_of(judged)
    said = [f"J {judged.j(each):.3f}, absence found {judged.absent(each):.3f}" for each in (0.0, found.zero)]
    figures = {"at 0": said[0], f"at {found.zero:.2f}": said[1], "scale": f"{found.scale:.2f}"}
    report.evaluation(steps - 1, figures | {"of": f"{len(judged.score)} object-frames"})
    return found


def _state(
    learner: TrackLearner,
    optimizer: torch.optim.AdamW,
    step: int,
    config: TrainConfig,
    fingerprint: str,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    return {
        "learnt": learner.learnt,
        "average": learner.average,
        "optimizer": optimizer.state_dict(),
        "step": step,
        "config": json.dumps(config.to_json()),
        "backbone": fingerprint,
        "calibration": asdict(calibration) if calibration else None,
    }


def _optimizer(learner: TrackLearner, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; vectors, norms and biases are not decayed."""
    memory = list(learner.tracker.parts.named_parameters())
    decayed = [value for name, value in memory if value.ndim >= 2 and _is_weight(name)]
    plain = [value for name, value in memory if not (value.ndim >= 2 and _is_weight(name))]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
            {"params": list(learner.presence.parameters()), "weight_decay": 0.0, "share": PRESENCE_SHARE},
        ],
        lr=1e-3,
        betas=(0.9, 0.98),
    )


def _is_weight(name: str) -> bool:
    return name.endswith("weight")


SEEDS = 1 << 20
"""First seed of the clips; below those that are trained on."""
HELD_OUT = ClipOptions(min_side=224, max_side=400, gaps=0.2)


@torch.inference_mode()
def quick_track_evaluation(
    tracker: VideoTracker, backbone: nn.Module, clips: int = 6, frames: int = 12, first: int = SEEDS
) -> dict[str, str]:
    """J of objects that are there, beside that of the first mask kept; how often presence and absence are right."""
    found: list[float] = []
    still: list[float] = []
    last: list[float] = []
    right: list[float] = []
    absent: list[float] = []
    for seed in range(first, first + clips):
        clip = encode_clip(backbone, draw_clip(seed, frames, options=HELD_OUT), tracker.tracker.image_size)
        side = clip.grid.shape[-1]
        batch = draw_lesson(clip, frames, 6, side, np.random.default_rng(seed))
        if batch is None:
            continue
        for said in follow_clip(tracker, batch, Lesson(), np.random.default_rng(0)):
            cover, there = batch.cover[said.frame], batch.there[said.frame]
            seen = said.score > 0
            j = mask_iou(torch.where(seen[:, None, None], said.best, -1.0)[:, None], cover)[:, 0]
            copied = mask_iou(batch.cover[0][:, None] - 0.5, cover)[:, 0]
            found += _list(j[there])
            still += _list(copied[there])
            last += _list(j[there]) if said.frame == frames - 1 else []
            right += _list(seen == there)
            absent += _list(~seen[~there])
    return {
        "masks": f"J {np.mean(found):.3f} (at the end {np.mean(last):.3f}, first mask kept {np.mean(still):.3f})"
        f" n {len(found)}",
        "presence": f"right {np.mean(right):.3f},"
        f" absence found {np.mean(absent) if absent else 1:.3f} of {len(absent)}",
    }


def _list(values: Tensor) -> list[float]:
    return cast(Any, values.float()).tolist()


EDGE = 0.3
DICE = 2.0
PRESENT = 1.5
QUALITY = 0.5
OF_ALL = 0.1
"""Share of the mean of the three masks; the rest is the best one's."""


def follow_loss(found: Followed, cover: Tensor) -> dict[str, Tensor]:
    """Terms of P objects on one frame against their (P, G, G) cover."""
    there = (cover > VISIBLE).flatten(1).any(1)
    score = found.score.float()
    terms = {"present": PRESENT * F.binary_cross_entropy_with_logits(score, there.float())}
    if there.any():
        masks, truth = found.masks[there].float(), cover[there]
        cost = _mask_cost(masks, truth)  # (P, 3)
        terms["mask"] = ((1 - OF_ALL) * cost.min(1).values + OF_ALL * cost.mean(1)).mean()
        actual = mask_iou(masks.detach(), truth)
        terms["quality"] = QUALITY * (found.quality[there].float() - actual).abs().mean()
    return terms


def _mask_cost(masks: Tensor, cover: Tensor) -> Tensor:
    """(P, K) focal by area + Dice of (P, K, G, G) logits."""
    truth = cover[:, None].expand_as(masks)
    area = cover.flatten(1).sum(1).clamp(min=16.0)[:, None]
    edge = focal(masks, truth, gamma=1.0).flatten(2).sum(2) / area
    return EDGE * edge + DICE * dice(masks.flatten(0, 1), truth.flatten(0, 1)).view(masks.shape[:2])


def mean_terms(frames: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over the frames that have it."""
    names = sorted({name for terms in frames for name in terms})
    return {name: torch.stack([terms[name] for terms in frames if name in terms]).mean() for name in names}
