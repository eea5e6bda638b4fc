"""The tracker run: clips, its loss, what stays frozen, and a whole (very short) run on random weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sam3_agent.errors import InputError
from sam3_agent.model.loading import load_tracker
from sam3_agent.model.tracker import Clicks
from sam3_agent.model.tracking.loading import load_video_tracker
from sam3_agent.training.checkpoint import read_state
from sam3_agent.training.click_run import train_clicks
from sam3_agent.training.config import CLICKS_SMOKE, TRACKER_SMOKE
from sam3_agent.training.export import PRESENCE, export_clicks, export_tracker, write_weights
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.tiny import new_model, tiny_config
from sam3_agent.training.tokenizer import build_tokenizer
from sam3_agent.training.track_clips import TrackBatch, View, draw_tracks
from sam3_agent.training.track_forward import Followed, Lesson, follow_clip
from sam3_agent.training.track_run import (
    follow_loss,
    quick_track_evaluation,
    start_track_learner,
    track_step,
    train_tracker,
)

torch.set_num_threads(1)
SIZE = 64
CPU = torch.device("cpu")
VIEW = View(SIZE, 32, SIZE)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported detector with a click half, both of which know nothing."""
    folder, run = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("clicks")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary_words())
    config = tiny_config(len(tokenizer), SIZE)
    write_weights(new_model(config), config, folder)
    tokenizer.save_pretrained(folder)
    train_clicks(CLICKS_SMOKE, run, folder)
    export_clicks(CLICKS_SMOKE, run, folder, folder)
    return folder


@pytest.fixture(scope="module")
def finished(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_tracker(TRACKER_SMOKE, folder, weights)
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_tracker(TRACKER_SMOKE, finished, weights, folder)
    return folder


def test_a_clip_is_the_same_for_the_same_seed_and_its_objects_are_there_at_first() -> None:
    one, other = (draw_tracks((1 << 40) + 3, 4, 3, VIEW) for _ in range(2))
    assert torch.equal(one.pixels, other.pixels)
    assert torch.equal(one.cover, other.cover)
    assert one.pixels.shape == (4, 3, SIZE, SIZE)
    assert one.cover.shape[0] == 4
    assert 1 <= one.cover.shape[1] <= 3
    assert one.there[0].all()


def test_a_window_shows_the_same_place_of_the_picture_and_of_the_masks() -> None:
    whole = draw_tracks((1 << 40) + 3, 3, 9, VIEW)
    part = draw_tracks((1 << 40) + 3, 3, 9, replace(VIEW, window=SIZE // 2))
    assert part.pixels.shape == (3, 3, SIZE // 2, SIZE // 2)
    places = [
        (top, left)
        for top in range(0, SIZE // 2 + 1, 8)
        for left in range(0, SIZE // 2 + 1, 8)
        if torch.equal(whole.pixels[..., top : top + SIZE // 2, left : left + SIZE // 2], part.pixels)
    ]
    assert len(places) == 1
    top, left = (place // 2 for place in places[0])
    shown = whole.cover[:, :, top : top + 16, left : left + 16]
    assert all(any(torch.equal(mine, theirs) for theirs in shown.unbind(1)) for mine in part.cover.unbind(1))


def said(masks: torch.Tensor, score: float) -> Followed:
    count = len(masks)
    return Followed(1, masks, torch.zeros(count, 3), torch.full((count,), score), torch.zeros(count, 64, 4))


def test_right_masks_and_presence_cost_less_than_wrong_ones_and_absence_has_no_mask_cost() -> None:
    head = nn.Linear(4, 1)
    cover = torch.zeros(1, 32, 32)
    cover[:, 4:12, 4:12] = 1
    right = torch.where(cover > 0.5, 8.0, -8.0)[:, None].expand(-1, 3, -1, -1)
    good, bad = follow_loss(said(right, 5.0), head, cover, 1.0), follow_loss(said(-right, -5.0), head, cover, 1.0)
    assert good["mask"] < 0.1 < 1 < bad["mask"]
    assert good["present"] < 0.1 < 1 < bad["present"]
    away = follow_loss(said(right, -5.0), head, torch.zeros_like(cover), 1.0)
    assert "mask" not in away
    assert away["present"] < 0.1


@pytest.mark.parametrize("progress", [0.1, 0.95])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_step_gives_finite_terms_in_windows_and_in_whole_pictures(weights: Path, progress: float, seed: int) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    terms = track_step(learner, TRACKER_SMOKE, TRACKER_SMOKE.stages[0], progress, np.random.default_rng(seed))
    assert {"present", "covered"} <= terms.keys()
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    assert learner.tracker.tracker.image_size == SIZE  # told back after a window


@pytest.mark.parametrize("start", ["truth", "detector", "click"])
def test_every_memory_part_learns_and_nothing_else_but_the_presence_head(weights: Path, start: str) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    batch = draw_tracks((1 << 40) + 3, 4, 3, VIEW)
    empty = TrackBatch(batch.pixels, torch.cat([batch.cover[:2], torch.zeros_like(batch.cover[2:])]))
    terms = []
    for clip in (batch, empty):  # one of them with absence, so that the vectors of absence learn
        lesson = Lesson(start, forced=1.0, again=2 if clip is batch else 0)
        followed = follow_clip(learner.tracker, learner.backbone, clip, lesson, np.random.default_rng(0))
        for found in followed:
            terms += follow_loss(found, learner.head, clip.cover[found.frame], 1.0).values()
    torch.stack(terms).sum().backward()
    unread = {"mask_downsample.weight", "mask_downsample.bias"} if start == "click" else set[str]()
    for name, parameter in learner.tracker.parts.named_parameters():
        assert name in unread or (parameter.grad is not None and bool(parameter.grad.any())), name
    frozen = {name for name, p in learner.tracker.tracker.named_parameters() if not p.requires_grad}
    learned = {name for name, p in learner.tracker.tracker.named_parameters() if p.requires_grad}
    assert learned
    assert all("pred_obj_score_head" in name for name in learned)
    assert not any("pred_obj_score_head" in name for name in frozen)


def test_the_same_seed_gives_the_same_weights(weights: Path, finished: Path, tmp_path: Path) -> None:
    train_tracker(TRACKER_SMOKE, tmp_path, weights)
    one, other = read_state(finished), read_state(tmp_path)
    assert one is not None
    assert other is not None
    assert all(torch.equal(value, other["parts"][name]) for name, value in one["parts"].items())
    assert all(torch.equal(value, other["presence"][name]) for name, value in one["presence"].items())


def test_a_finished_run_that_is_started_again_learns_nothing_more(weights: Path, finished: Path) -> None:
    before = read_state(finished)
    learner = train_tracker(TRACKER_SMOKE, finished, weights)
    assert before is not None
    assert all(torch.equal(v, before["parts"][n]) for n, v in learner.tracker.parts.state_dict().items())


def test_a_run_needs_weights_with_a_click_half(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--start-from"):
        train_tracker(TRACKER_SMOKE, tmp_path, None)
    tokenizer = build_tokenizer(vocabulary_words())
    config = tiny_config(len(tokenizer), SIZE)
    write_weights(new_model(config), config, tmp_path)
    with pytest.raises(InputError, match="no click half"):
        train_tracker(TRACKER_SMOKE, tmp_path / "run", tmp_path)


def test_a_run_goes_on_on_its_own_weights_only(weights: Path, finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    tokenizer = build_tokenizer(vocabulary_words())
    config = tiny_config(len(tokenizer), SIZE)
    write_weights(new_model(config), config, tmp_path)
    train_clicks(CLICKS_SMOKE, tmp_path / "clicks", tmp_path)
    export_clicks(CLICKS_SMOKE, tmp_path / "clicks", tmp_path, tmp_path)
    with pytest.raises(InputError, match="other weights"):
        export_tracker(TRACKER_SMOKE, finished, tmp_path, tmp_path / "out")


def test_export_adds_the_memory_and_leaves_every_other_tensor_to_the_bit(weights: Path, exported: Path) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (weights, exported))
    for name, value in before.items():
        assert torch.equal(value, after[name]) or name.startswith(PRESENCE), name
    assert all(name.startswith("tracker_model.") for name in after.keys() - before.keys())
    assert {path.name for path in exported.iterdir()} >= {"config.json", "tokenizer.json", "model.safetensors"}


def test_clicks_are_the_same_to_the_bit_after_a_tracker_run(weights: Path, exported: Path) -> None:
    torch.manual_seed(2)
    grid = torch.randn(1, 192, 8, 8)
    clicks = Clicks(torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1]]))
    answers = []
    for folder in (weights, exported):
        tracker = load_tracker(folder, CPU, torch.float32)
        assert tracker is not None
        with torch.inference_mode():
            answers.append(tracker.decode(tracker.features(grid), *tracker.embed(clicks), multimask=True))
    for one, other in zip(*answers, strict=True):
        assert torch.equal(one, other)


def test_an_exported_tracker_is_loaded_with_its_own_padding_point(exported: Path, finished: Path) -> None:
    video = load_video_tracker(exported, load_tracker(exported, CPU, torch.float32), CPU, torch.float32)
    saved = read_state(finished)
    assert video is not None
    assert saved is not None
    assert torch.equal(video.parts.tracking_point, saved["parts"]["tracking_point"].half().float())


def test_the_quick_evaluation_says_how_masks_and_absence_fare(weights: Path) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    figures = quick_track_evaluation(learner.tracker, learner.backbone, clips=2, frames=3)
    assert figures["masks"].startswith("J 0.")
    assert "absence found" in figures["presence"]


def test_a_run_goes_on_after_an_evaluation(weights: Path) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    quick_track_evaluation(learner.tracker, learner.backbone, clips=1, frames=3)
    terms = track_step(learner, TRACKER_SMOKE, TRACKER_SMOKE.stages[0], 0.99, np.random.default_rng(1))
    torch.stack(list(terms.values())).sum().backward()
    assert learner.tracker.parts.no_object_pointer.grad is not None
