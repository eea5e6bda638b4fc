"""The tracker run: memory parts and the presence head learn on frozen weights; detector and clicks stay as they are.

Its loss, after SAM 2 (arXiv 2408.00714, appendix on training) and SAM 3 (2511.16719, C.3): of the three masks only the
best one pays, the predicted IoU is L1, a further output says whether the object is there, and absent objects have no
mask loss. Unlike theirs presence weighs 1.5: it decides a loop over video more than masks do (a track that goes on
where nothing is makes false positives in every frame). A head that exists during training only reads off the
conditioned features whether a place belongs to the object, so that the memory is read at all; it fades out.
"""

import copy
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_agent.errors import InputError
from sam3_agent.model.loading import load_tracker
from sam3_agent.model.tracker import Tracker
from sam3_agent.model.tracking.parts import MemoryParts
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.scenes.video import ClipOptions
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.click_run import vision_of
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.losses import dice, focal
from sam3_agent.training.optimizer_step import descend, learning_rate, ranks_together
from sam3_agent.training.report import Report
from sam3_agent.training.steps import FIRST_TRAINING_SEED
from sam3_agent.training.track_clips import VISIBLE, View, draw_tracks
from sam3_agent.training.track_forward import Followed, Lesson, follow_clip

log = logging.getLogger(__name__)
EVALUATE_EVERY = 200
CROPPED = 0.82
"""Share of the steps on windows of half the side: memory attention costs a sixteenth there, and a place knows others
by their distance in patches, which a window leaves as it is."""
LENGTHS = ((0.1, 2, 4), (0.3, 3, 6), (0.55, 4, 9), (CROPPED, 6, 12), (1.0, 4, 9))
"""(share of the run, fewest, one more than the most) frames of a clip: first what a memory is, then how it lasts."""
LONGEST_FULL = 42
"""Objects x frames of a clip at most, so that long clips cost no more memory than short ones."""
FORCED = 0.8
"""Share of frames remembered by their true masks at the start; none from the middle of the run on."""
PRESENCE_SHARE = 0.5
"""Rate of the presence head, which was trained once, relative to the memory parts."""
LAYER_SCALE = 0.1
"""Start of the fuser's layer scale; at facebook/sam3's 1e-6 a short run never wakes it."""
MASK_LOGIT = 10.0


@dataclass(frozen=True, slots=True)
class TrackLearner:
    """The parts that are trained, and the frozen ViT under them."""

    backbone: nn.Module
    window_backbone: nn.Module
    """The same ViT, for windows of half the side."""
    tracker: VideoTracker
    head: nn.Linear
    """Reads off a place whether it belongs to the object; not shipped."""

    @property
    def presence(self) -> nn.Module:
        """The head that says whether the object is there: of the click half, but clicks do not read it."""
        return cast(Any, self.tracker.tracker.tracker_model.mask_decoder).pred_obj_score_head


def train_tracker(config: TrainConfig, folder: Path, weights: Path | None, rank: int = 0) -> TrackLearner:
    """Train, or go on from `checkpoint.pt` in the folder; rank 0 writes that and `log.jsonl`.

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
    """A learner on these weights, fresh or as saved, and the backbone's fingerprint.

    Raises:
        InputError: the weights have no click half, or what was saved belongs to another backbone.
    """
    encoder, fingerprint = vision_of(weights)
    tracker = load_tracker(weights, torch.device("cpu"), torch.float32)
    if tracker is None:
        raise InputError(f"the weights in '{weights}' have no click half, on which a tracker builds")
    tracker.requires_grad_(False)
    cast(Any, torch).manual_seed(config.seed)
    video = VideoTracker(tracker, new_parts(tracker))
    head = nn.Linear(int(cast(Any, tracker.config).vision_config.fpn_hidden_size), 1)
    nn.init.constant_(head.bias, -2.0)
    backbone = cast(Any, encoder).backbone.to(config.device)
    learner = TrackLearner(backbone, _for_windows(backbone).to(config.device), video, head)
    if saved is not None:
        if saved["backbone"] != fingerprint:
            raise InputError(f"the run was begun on other weights than those in '{weights}'; give those or a new --out")
        video.parts.load_state_dict(saved["parts"])
        learner.presence.load_state_dict(saved["presence"])
        head.load_state_dict(saved["head"])
    learner.presence.requires_grad_(True)
    video.to(config.device)
    head.to(config.device)
    return learner, fingerprint


def _for_windows(backbone: nn.Module) -> nn.Module:
    """A copy that takes half the side; the tables of positions are computed anew."""
    config = copy.deepcopy(cast(Any, backbone).config)
    config.image_size = config.image_size // 2
    smaller = type(backbone)(config)
    smaller.load_state_dict(backbone.state_dict())
    return smaller.eval().requires_grad_(False)


@contextmanager
def _window(tracker: Tracker, *, cropped: bool) -> Generator[View]:
    """Set the view of clips; the prompt encoder is told the size of its square for as long."""
    encoder = cast(Any, tracker.tracker_model.prompt_encoder)
    size, grid, masks = encoder.input_image_size, encoder.image_embedding_size, encoder.mask_input_size
    if not cropped:
        yield View(size, masks[0], size)
        return
    encoder.input_image_size = size // 2
    encoder.image_embedding_size, encoder.mask_input_size = (
        tuple(side // 2 for side in sides) for sides in (grid, masks)
    )
    try:
        yield View(size, masks[0], size // 2)
    finally:
        encoder.input_image_size, encoder.image_embedding_size, encoder.mask_input_size = size, grid, masks


def new_parts(tracker: Tracker) -> MemoryParts:
    """Fresh memory parts beside a click half, with start values that let them learn in few steps."""
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
        # a given mask is first read as the click half reads one: logits of +-10, averaged over each cell
        parts.mask_downsample.weight.fill_(2 * MASK_LOGIT / parts.mask_downsample.weight.numel())
        cast(Tensor, parts.mask_downsample.bias).fill_(-MASK_LOGIT)
        parts.tracking_point.copy_(cast(Any, tracker.tracker_model.prompt_encoder).not_a_point_embed.weight)
    return parts


def _run(config: TrainConfig, folder: Path, weights: Path, rank: int) -> TrackLearner:
    saved = read_state(folder)
    if saved and json.loads(saved["config"]) != json.loads(json.dumps(config.to_json())):
        log.warning("'%s' was begun with another configuration; going on with this one", folder)
    learner, fingerprint = start_track_learner(config, weights, saved)
    stage = config.stages[0]
    optimizer = _optimizer(learner, config)
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
    report = Report(folder, stage, rank)
    for step in range(int(saved["step"]) if saved else 0, stage.steps):
        rng = np.random.default_rng([config.seed, step, rank])
        terms = track_step(learner, config, stage, step / stage.steps, rng)
        descend(terms.values(), optimizer, config, learning_rate(stage, step))
        report.add(step, terms, learning_rate(stage, step))
        last = step + 1 == stage.steps
        if rank == 0 and (last or report.checkpoint_is_due()):
            write_state(folder, _state(learner, optimizer, step + 1, config, fingerprint))
        if rank == 0 and ((step + 1) % EVALUATE_EVERY == 0 or (last and stage.steps >= EVALUATE_EVERY)):
            report.evaluation(step, quick_track_evaluation(learner.tracker, learner.backbone))
    return learner


def track_step(
    learner: TrackLearner, config: TrainConfig, stage: Stage, progress: float, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Fresh clips followed from their first frame; terms are means over frames and clips.

    Half of the clips start from the true masks, a quarter from masks like the detector's, a quarter from clicks. In a
    third of those of six frames or more the masks are given once more, as the detector does every 16 frames.
    """
    fewest, most = next((low, high) for share, low, high in LENGTHS if progress < share)
    length = int(rng.integers(fewest, most))
    objects = max(1, min(stage.prompts, LONGEST_FULL // length))
    frames: list[dict[str, Tensor]] = []
    cropped = progress < CROPPED
    backbone = learner.window_backbone if cropped else learner.backbone
    with _window(learner.tracker.tracker, cropped=cropped) as view:
        for _ in range(stage.images):
            batch = draw_tracks(int(rng.integers(FIRST_TRAINING_SEED, 1 << 62)), length, objects, view)
            lesson = _lesson(batch.there, progress, rng)
            with torch.autocast(config.device, torch.bfloat16, enabled=config.device == "cuda"):
                for found in follow_clip(learner.tracker, backbone, batch, lesson, rng):
                    cover = batch.cover[found.frame].to(found.masks.device)
                    frames.append(follow_loss(found, learner.head, cover, 1.0 - progress))
    return mean_terms(frames)


def _lesson(there: Tensor, progress: float, rng: np.random.Generator) -> Lesson:
    start = str(rng.choice(["truth", "truth", "detector", "click"]))
    whole = [frame for frame in range(2, len(there) - 1) if bool(there[frame].all())]
    again = int(rng.choice(whole)) if len(there) >= 6 and whole and rng.random() < 1 / 3 else 0
    return Lesson(start, max(0.0, FORCED * (1 - 2 * progress)), again)


def _state(
    learner: TrackLearner, optimizer: torch.optim.AdamW, step: int, config: TrainConfig, fingerprint: str
) -> dict[str, Any]:
    return {
        "parts": learner.tracker.parts.state_dict(),
        "presence": learner.presence.state_dict(),
        "head": learner.head.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "config": json.dumps(config.to_json()),
        "backbone": fingerprint,
    }


def _optimizer(learner: TrackLearner, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; vectors, norms and biases are not decayed."""
    memory = [*learner.tracker.parts.named_parameters(), *learner.head.named_parameters()]
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
    tracker: VideoTracker, backbone: nn.Module, clips: int = 10, frames: int = 8, first: int = SEEDS
) -> dict[str, str]:
    """J of objects that are there, beside that of the first mask kept; how often presence and absence are right."""
    found: list[float] = []
    still: list[float] = []
    last: list[float] = []
    right: list[float] = []
    absent: list[float] = []
    size = tracker.tracker.image_size
    view = View(size, tracker.tracker.mask_size[0], size)
    for seed in range(first, first + clips):
        batch = draw_tracks(seed, frames, 6, view, HELD_OUT)
        for said in follow_clip(tracker, backbone, batch, Lesson(), np.random.default_rng(0)):
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


def follow_loss(found: Followed, head: nn.Linear, cover: Tensor, covered: float) -> dict[str, Tensor]:
    """Terms of P objects on one frame against their (P, G, G) cover; `covered` weighs the training head."""
    there = (cover > VISIBLE).flatten(1).any(1)
    score = found.score.float()
    terms = {
        "present": PRESENT * F.binary_cross_entropy_with_logits(score, there.float()),
        "covered": covered * _covered(head(found.places).squeeze(-1), cover),
    }
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


def _covered(logits: Tensor, cover: Tensor) -> Tensor:
    """Focal loss by area of (P, g * g) logits."""
    side = round(logits.shape[1] ** 0.5)
    share = F.adaptive_avg_pool2d(cover[:, None], side).flatten(1)
    return (focal(logits, share).sum(1) / share.sum(1).clamp(min=4.0)).mean()


def mean_terms(frames: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over the frames that have it."""
    names = sorted({name for terms in frames for name in terms})
    return {name: torch.stack([terms[name] for terms in frames if name in terms]).mean() for name in names}
