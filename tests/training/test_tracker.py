"""The tracker run: clips, its loss, what stays frozen, and a whole (very short) run on random weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.model.loading import load_tracker
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.tracker import Clicks, Part
from sam3_agent.model.tracking.loading import load_video_tracker
from sam3_agent.model.video_segmenter import TrackRequest
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.training.checkpoint import read_state, write_state
from sam3_agent.training.click_run import start_learner, train_clicks
from sam3_agent.training.config import CLICKS_SMOKE, TRACKER_SMOKE
from sam3_agent.training.export import PRESENCE, export_clicks, export_tracker, write_weights
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.resize import resize_weights
from sam3_agent.training.tiny import new_model, tiny_config
from sam3_agent.training.tokenizer import build_tokenizer
from sam3_agent.training.track_clips import MARGIN, ClipStore, TrackBatch, draw_lesson
from sam3_agent.training.track_forward import Followed, Lesson, features_of, follow_clip, looking_at
from sam3_agent.training.track_presence import (
    SCALES,
    Calibration,
    Judged,
    calibration_of,
    judge_clips,
    threshold_of,
)
from sam3_agent.training.track_run import (
    follow_loss,
    quick_track_evaluation,
    start_track_learner,
    track_step,
    train_tracker,
)

torch.set_num_threads(1)
pytestmark = pytest.mark.integration  # it trains
SIZE = 64
GRID = SIZE // 8
FRAMES = 6
CPU = torch.device("cpu")


def store_in(weights: Path, folder: Path) -> ClipStore:
    return ClipStore(start_track_learner(TRACKER_SMOKE, weights, None)[0].backbone, folder, FRAMES, 5, SIZE)


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


def test_a_clip_is_encoded_once_and_read_again(weights: Path, tmp_path: Path) -> None:
    store = store_in(weights, tmp_path)
    made = store.clip(2)
    assert [path.name for path in tmp_path.iterdir()] == ["2.pt"]
    read = store_in(weights, tmp_path).clip(2)
    assert torch.equal(made.grid, read.grid)
    assert torch.equal(made.cover, read.cover)
    assert made.grid.shape == (FRAMES, 192, GRID, GRID)
    assert made.cover.shape[2:] == (4 * GRID, 4 * GRID)


def test_clips_of_one_number_are_equal_in_every_store_and_others_differ(weights: Path, tmp_path: Path) -> None:
    one, other = (store_in(weights, tmp_path / name).clip(0) for name in "ab")
    assert torch.equal(one.grid, other.grid)
    assert not torch.equal(one.grid, store_in(weights, tmp_path / "c").clip(1).grid)


def lessons(store: ClipStore, side: int) -> list[TrackBatch]:
    drawn = (draw_lesson(store.clip(n), 4, 3, side, np.random.default_rng(n)) for n in range(6))
    return [batch for batch in drawn if batch is not None]


@pytest.mark.parametrize("side", [GRID // 2, GRID])
def test_the_objects_of_a_lesson_are_there_at_its_first_frame(weights: Path, tmp_path: Path, side: int) -> None:
    found = lessons(store_in(weights, tmp_path), side)
    assert found
    for batch in found:
        assert batch.there[0].all()
        assert 1 <= batch.cover.shape[1] <= 3
        assert batch.cover.shape[2:] == (4 * side, 4 * side)


def test_a_part_shows_what_the_whole_shows_there(weights: Path, tmp_path: Path) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    clip = store_in(weights, tmp_path).clip(0)
    grid = clip.grid[:1].float()
    whole = features_of(learner.tracker, grid, Part(0, 0, GRID, GRID))
    for part in (Part(0, 0, 4, GRID), Part(2, 3, 4, GRID), Part(4, 4, 4, GRID)):
        top, left = max(0, part.top - MARGIN), max(0, part.left - MARGIN)
        around = grid[:, :, top : part.top + 4 + MARGIN, left : part.left + 4 + MARGIN]
        shown = features_of(learner.tracker, around, part)
        for mine, theirs, scale in (
            (shown.coarse, whole.coarse, 1),
            (shown.finer, whole.finer, 2),
            (shown.finest, whole.finest, 4),
        ):
            rows = slice(part.top * scale, (part.top + 4) * scale)
            columns = slice(part.left * scale, (part.left + 4) * scale)
            torch.testing.assert_close(mine, theirs[..., rows, columns], atol=1e-5, rtol=1e-5)


def test_places_of_a_part_keep_their_encodings_and_the_tracker_is_told_back(weights: Path) -> None:
    tracker = start_track_learner(TRACKER_SMOKE, weights, None)[0].tracker
    whole = tracker.tracker.positions(1)
    with looking_at(tracker, Part(2, 3, 4, GRID)):
        assert torch.allclose(tracker.tracker.positions(1), whole[..., 2:6, 3:7], atol=1e-6)
        assert tracker.fine_size == (64, 64)
        assert tracker.tracker.image_size == SIZE // 2
    assert tracker.tracker.image_size == SIZE
    assert torch.equal(tracker.tracker.positions(1), whole)


def said(masks: torch.Tensor, score: float) -> Followed:
    count = len(masks)
    return Followed(1, masks, torch.zeros(count, 3), torch.full((count,), score))


def test_right_masks_and_presence_cost_less_than_wrong_ones_and_absence_has_no_mask_cost() -> None:
    cover = torch.zeros(1, 32, 32)
    cover[:, 4:12, 4:12] = 1
    right = torch.where(cover > 0.5, 8.0, -8.0)[:, None].expand(-1, 3, -1, -1)
    good, bad = follow_loss(said(right, 5.0), cover), follow_loss(said(-right, -5.0), cover)
    assert good["mask"] < 0.1 < 1 < bad["mask"]
    assert good["present"] < 0.1 < 1 < bad["present"]
    away = follow_loss(said(right, -5.0), torch.zeros_like(cover))
    assert "mask" not in away
    assert away["present"] < 0.1


@pytest.mark.parametrize("progress", [0.1, 0.95])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_step_gives_finite_terms_on_parts_and_on_whole_pictures(
    weights: Path, tmp_path: Path, progress: float, seed: int
) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    config = replace(TRACKER_SMOKE, stages=(replace(TRACKER_SMOKE.stages[0], steps=20),))
    step, rng = int(progress * 20), np.random.default_rng(seed)
    terms = track_step(learner, store_in(weights, tmp_path), config, step, rng)
    assert "present" in terms
    assert all(bool(torch.isfinite(value)) for value in terms.values())


@pytest.mark.parametrize("start", ["truth", "detector", "click"])
def test_every_memory_part_learns_and_nothing_else_but_the_presence_head(
    weights: Path, tmp_path: Path, start: str
) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    batch = lessons(store_in(weights, tmp_path), GRID)[0]
    empty = replace(batch, cover=torch.cat([batch.cover[:2], torch.zeros_like(batch.cover[2:])]))
    terms = []
    for clip in (batch, empty):  # one of them with absence, so that the vectors of absence learn
        lesson = Lesson(start, forced=1.0, again=2 if clip is batch else 0)
        with looking_at(learner.tracker, clip.part):
            for found in follow_clip(learner.tracker, clip, lesson, np.random.default_rng(0)):
                terms += follow_loss(found, clip.cover[found.frame]).values()
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
    for kind in ("learnt", "average"):
        assert all(torch.equal(value, other[kind][name]) for name, value in one[kind].items())


def test_a_finished_run_that_is_started_again_learns_nothing_more(weights: Path, finished: Path) -> None:
    before = read_state(finished)
    learner = train_tracker(TRACKER_SMOKE, finished, weights)
    assert before is not None
    assert all(torch.equal(v, before["learnt"][n]) for n, v in learner.learnt.items())


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
    assert torch.equal(video.parts.tracking_point, saved["average"]["parts.tracking_point"].half().float())


def test_the_quick_evaluation_says_how_masks_and_absence_fare(weights: Path) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    figures = quick_track_evaluation(learner.tracker, learner.backbone, clips=2, frames=3)
    assert figures["masks"].startswith("J 0.")
    assert "absence found" in figures["presence"]


def test_a_run_goes_on_after_an_evaluation(weights: Path, tmp_path: Path) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    quick_track_evaluation(learner.tracker, learner.backbone, clips=1, frames=3)
    terms = track_step(learner, store_in(weights, tmp_path), TRACKER_SMOKE, 2, np.random.default_rng(1))
    torch.stack(list(terms.values())).sum().backward()
    assert learner.tracker.parts.no_object_pointer.grad is not None


def judged(there: list[tuple[float, float]], away: list[float]) -> Judged:
    """(score, IoU) of objects that are there, scores of those that are not."""
    scores = np.array([*(score for score, _ in there), *away], dtype=np.float32)
    ious = np.array([*(iou for _, iou in there), *(np.nan for _ in away)], dtype=np.float32)
    return Judged(scores, ious)


def test_the_zero_finds_what_absences_it_can_for_its_price_in_masks() -> None:
    found = judged([(3.0, 0.9)] * 98 + [(1.0, 0.1), (1.5, 0.9)], [-1.0, 0.5, 1.2, 2.0])
    free, paid = threshold_of(found, cost=0.0), threshold_of(found, cost=0.01)
    assert 0.5 < free < 1.0
    assert 2.0 < paid < 3.0  # the mask of IoU .1 goes, and one of .9 of a hundred
    assert found.absent(free) == 0.5
    assert found.absent(paid) == 1.0
    assert found.j(free) - found.j(paid) == pytest.approx(0.01)
    assert calibration_of(judged([], [])) == Calibration()


def test_the_scale_is_as_steep_as_the_answers_are_right() -> None:
    right = calibration_of(judged([(3.0, 0.9)] * 50, [1.0] * 50))
    doubtful = calibration_of(judged([(3.0, 0.9)] * 45 + [(3.0, 0.9)] * 5, [1.0] * 40 + [3.0] * 10))
    assert right.zero == pytest.approx(2.0)
    assert doubtful.scale < right.scale <= SCALES[-1]


def test_clips_are_judged_by_objects_that_are_there_at_first(weights: Path) -> None:
    learner, _ = start_track_learner(TRACKER_SMOKE, weights, None)
    found = judge_clips(learner.tracker, learner.backbone, clips=1, frames=3)
    assert len(found.score) == len(found.iou) > 0
    assert len(found.score) % 2 == 0  # both frames after the first tell of every object


def test_export_gives_the_presence_head_the_calibration_of_its_run(
    weights: Path, finished: Path, exported: Path, tmp_path: Path
) -> None:
    saved = read_state(finished)
    assert saved is not None
    assert saved["calibration"] is None  # three steps are not worth it
    write_state(tmp_path, saved | {"calibration": {"zero": 1.5, "scale": 2.0}})
    export_tracker(TRACKER_SMOKE, tmp_path, weights, tmp_path / "weights")
    plain, moved = (load_file(folder / "model.safetensors") for folder in (exported, tmp_path / "weights"))
    bias, weight = f"{PRESENCE}proj_out.bias", f"{PRESENCE}proj_out.weight"
    assert torch.allclose(moved[bias].float(), 2 * (plain[bias].float() - 1.5), atol=5e-3)
    subnormal = 2.0**-23  # float16 rounds what is under 2^-14 to multiples of 2^-24
    assert torch.allclose(moved[weight].float(), 2 * plain[weight].float(), rtol=0, atol=subnormal)
    assert all(torch.equal(value, moved[name]) for name, value in plain.items() if name not in (bias, weight))


def test_resized_weights_go_on_with_all_three_halves(exported: Path, tmp_path: Path) -> None:
    larger = tmp_path / "larger"
    resize_weights(exported, SIZE + 32, larger)
    before, after = (load_file(folder / "model.safetensors") for folder in (exported, larger))
    table = "detector_model.vision_encoder.backbone.embeddings.position_embeddings"
    assert {name for name in after if not torch.equal(before[name], after[name])} == {table}
    assert after[table].shape[1] == (GRID + 4) ** 2
    whole = Sam3.load(larger, device="cpu")
    assert whole.info.input_side == SIZE + 32
    scene = generate_scene(3, SceneOptions(max_side=256))
    given = TrackRequest(mask=masks.encode(scene.objects[0].mask))
    assert whole.track(whole.encode(scene.image), 0, [given])[0].logits.shape == (4 * (GRID + 4),) * 2

    longer = replace(CLICKS_SMOKE, stages=(replace(CLICKS_SMOKE.stages[0], goes_on=True),))
    learner, _ = start_learner(longer, larger, None)
    trained = load_tracker(larger, CPU, torch.float32)
    assert trained is not None
    own = learner.tracker.state_dict()
    assert all(torch.equal(own[name], value) for name, value in trained.state_dict().items())
    assert learner.tracker.image_size == SIZE + 32

    more = replace(TRACKER_SMOKE, stages=(replace(TRACKER_SMOKE.stages[0], goes_on=True),))
    follower, _ = start_track_learner(more, larger, None)
    video = load_video_tracker(larger, trained, CPU, torch.float32)
    assert video is not None
    parts = follower.tracker.parts.state_dict()
    assert all(torch.equal(parts[name], value) for name, value in video.parts.state_dict().items())


def test_a_clicks_run_that_goes_on_keeps_memory_and_presence(exported: Path, tmp_path: Path) -> None:
    longer = replace(CLICKS_SMOKE, stages=(replace(CLICKS_SMOKE.stages[0], goes_on=True),))
    train_clicks(longer, tmp_path / "run", exported)
    export_clicks(longer, tmp_path / "run", exported, tmp_path / "weights")
    before, after = (load_file(folder / "model.safetensors") for folder in (exported, tmp_path / "weights"))
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("tracker_model.mask_decoder.") for name in changed)
    assert not [name for name in changed if name.startswith((PRESENCE, "tracker_model.memory", "detector_model."))]


def test_a_run_that_goes_on_needs_weights_that_have_the_half(weights: Path, tmp_path: Path) -> None:
    more = replace(TRACKER_SMOKE, stages=(replace(TRACKER_SMOKE.stages[0], goes_on=True),))
    with pytest.raises(InputError, match="no memory"):
        start_track_learner(more, weights, None)


@pytest.mark.parametrize("size", [0, 8, 100])
def test_a_size_that_no_input_has_is_refused(weights: Path, tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match="multiple of 16"):
        resize_weights(weights, size, tmp_path)
    with pytest.raises(InputError, match="another --out"):
        resize_weights(weights, SIZE, weights)
