"""The clicks run: simulated prompts, its loss, and a whole (very short) run on random weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from transformers import Sam3TrackerModel

from sam3_agent.errors import InputError
from sam3_agent.model.tracker import Clicks, Tracker
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.training.checkpoint import CHECKPOINT
from sam3_agent.training.click_batch import object_batch
from sam3_agent.training.click_forward import answer_clicks
from sam3_agent.training.click_loss import click_loss, mask_iou
from sam3_agent.training.click_prompts import correction, interior_point, random_point, several_clicks, shaken_box
from sam3_agent.training.click_run import train_clicks
from sam3_agent.training.config import CLICKS_SMOKE
from sam3_agent.training.export import export_clicks, write_weights
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.tiny import new_model, tiny_config
from sam3_agent.training.tiny_tracker import new_tracker, tiny_tracker_config
from sam3_agent.training.tokenizer import build_tokenizer

torch.set_num_threads(1)
SIZE = 64
HEAD = nn.Linear(128, 1)


def ring() -> NDArray[np.bool_]:
    rows, columns = np.mgrid[0:40, 0:60]
    distance = np.hypot(columns - 30, rows - 20)
    return (distance < 18) & (distance > 8)


def tracker() -> Tracker:
    torch.manual_seed(0)
    return new_tracker(tiny_tracker_config(tiny_config(600, SIZE).vision_config.backbone_config))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported detector that knows nothing."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary_words())
    config = tiny_config(len(tokenizer), SIZE)
    write_weights(new_model(config), config, folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def finished(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_clicks(CLICKS_SMOKE, folder, weights)
    return folder


def test_the_most_interior_point_lies_deep_inside_and_never_in_the_hole() -> None:
    x, y = interior_point(ring())
    assert ring()[int(y), int(x)]
    assert abs(np.hypot(x - 30.5, y - 20.5) - 13) < 1.5


def test_the_border_of_the_picture_counts_as_a_border_of_the_object() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[:, :9] = True
    assert interior_point(mask) == (4.5, 9.5) or interior_point(mask) == (4.5, 10.5)


def test_random_points_and_clicks_carry_the_label_of_where_they_lie() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = random_point(ring(), rng)
        assert ring()[int(y), int(x)]
        clicks = several_clicks(ring(), 4, rng)
        assert clicks[0][2] == 1
        assert all(ring()[int(y), int(x)] == bool(label) for x, y, label in clicks)


def test_a_correction_lies_on_a_fault_and_says_of_which_kind() -> None:
    rng = np.random.default_rng(0)
    truth, answered = np.zeros((2, 30, 30), dtype=bool)
    truth[5:15, 5:15] = True
    answered[8:18, 5:15] = True
    labels: set[int] = set()
    for _ in range(40):
        x, y, label = correction(truth, answered, rng)
        place = int(y), int(x)
        assert truth[place] != answered[place]
        assert truth[place] == bool(label)
        labels.add(label)
    assert labels == {0, 1}
    x, y, label = correction(truth, truth, rng)
    assert truth[int(y), int(x)]
    assert label == 1


def test_a_shaken_box_stays_a_box_in_the_picture_near_the_true_one() -> None:
    rng = np.random.default_rng(0)
    box = np.array([0.0, 2.0, 10.0, 3.0], dtype=np.float32)
    shaken = np.stack([shaken_box(box, 16, rng) for _ in range(100)])
    assert (shaken >= 0).all()
    assert (shaken <= 16).all()
    assert (shaken[:, 2:] > shaken[:, :2]).all()
    assert (shaken == box).all(1).any()
    assert (shaken != box).any(1).any()
    assert (np.abs(shaken[:, [0, 2]] - box[[0, 2]]) <= 2.5 + 1e-5).all()


def test_a_batch_holds_each_objects_own_picture_mask_and_box() -> None:
    scenes = [generate_scene(seed, SceneOptions(min_objects=3, max_side=300)) for seed in (1, 2)]
    batch = object_batch(scenes, [[0], [1, 2]], SIZE, 32)
    assert batch.index.tolist() == [0, 1, 1]
    assert batch.pixels.shape == (2, 3, SIZE, SIZE)
    assert batch.cell == 2
    for row, (scene, number) in enumerate([(scenes[0], 0), (scenes[1], 1), (scenes[1], 2)]):
        share = scene.objects[number].mask.mean()
        assert float(batch.cover[row].mean()) == pytest.approx(float(share), rel=0.02)
        rows, columns = np.nonzero(batch.cover[row].numpy() > 0)
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(batch.boxes[row] - tight).max() <= 1


def test_neck_and_decoder_share_one_convolution_that_says_what_their_two_say() -> None:
    model = tracker().eval()
    for parameter in model.requires_grad_(False).parameters():
        nn.init.normal_(parameter, std=0.05)  # biases too
    grid = torch.randn(2, 192, 8, 8, generator=torch.Generator().manual_seed(3))
    decoder = model.tracker_model.mask_decoder
    finest, finer, coarse = (layer(grid) for layer in model.tracker_neck.fpn_layers[:3])
    features = model.features(grid)
    for mine, theirs in (
        (features.finest, decoder.conv_s0(finest)),
        (features.finer, decoder.conv_s1(finer)),
        (features.coarse, coarse),
    ):
        assert torch.allclose(mine, theirs, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("with_box", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_the_pass_with_four_masks_equals_transformers_own(with_box: bool, with_mask: bool) -> None:
    model = tracker().eval()
    generator = torch.Generator().manual_seed(1)
    grid = torch.randn(2, 192, 8, 8, generator=generator)
    clicks = Clicks(
        torch.rand(2, 2, 2, generator=generator) * SIZE,
        torch.tensor([[1, 0], [1, 1]]),
        torch.tensor([[4.0, 5.0, 40.0, 50.0], [0.0, 0.0, 60.0, 20.0]]) if with_box else None,
        torch.randn(2, 1, 32, 32, generator=generator) if with_mask else None,
    )
    with torch.inference_mode():
        features = model.features(grid)
        mine = answer_clicks(model, features, clicks)
        masks, quality = model.decode(features, *model.embed(clicks), multimask=True)
        model.tracker_model.mask_decoder.dynamic_multimask_via_stability = False
        single, single_quality = model.decode(features, *model.embed(clicks), multimask=False)
    assert torch.allclose(mine.masks[:, 1:], masks, atol=1e-4)
    assert torch.allclose(mine.quality[:, 1:], quality, atol=1e-5)
    assert torch.allclose(mine.masks[:, :1], single, atol=1e-4)
    assert torch.allclose(mine.quality[:, :1], single_quality, atol=1e-5)


def test_the_loss_falls_when_answers_get_better_and_the_iou_is_the_masks_own() -> None:
    cover = torch.zeros(1, 16, 16)
    cover[0, 4:12, 4:12] = 1
    right = torch.where(cover > 0, 8.0, -8.0)[:, None].expand(-1, 4, -1, -1)
    shifted = right.roll(4, dims=3)
    answers = answer_clicks(tracker(), tracker().features(torch.randn(1, 192, 8, 8)), _one_click())
    good, bad = (replace(answers, masks=masks) for masks in (right, shifted))
    assert mask_iou(right, cover).tolist() == [[1.0] * 4]
    assert mask_iou(shifted, cover)[0, 0] == pytest.approx(1 / 3)
    for name in ("clear", "ambiguous"):
        assert click_loss(good, HEAD, cover)[name] < 0.1 < click_loss(bad, HEAD, cover)[name]


def test_of_the_ambiguous_answers_the_best_one_pays_most() -> None:
    cover = torch.zeros(1, 16, 16)
    cover[0, 4:12, 4:12] = 1
    masks = torch.zeros(1, 4, 16, 16, requires_grad=True)
    with torch.no_grad():
        masks[0, 2] = torch.where(cover[0] > 0, 1.0, -1.0)
    answers = answer_clicks(tracker(), tracker().features(torch.randn(1, 192, 8, 8)), _one_click())
    click_loss(replace(answers, masks=masks), HEAD, cover)["ambiguous"].backward()
    assert masks.grad is not None
    strength = masks.grad.abs().sum((0, 2, 3))
    assert strength[0] == 0
    assert strength[2] > 3 * max(strength[1], strength[3]) > 0


def test_the_head_learns_which_places_belong_to_the_object() -> None:
    cover = torch.zeros(1, 32, 32)
    cover[0, 8:16, 8:24] = 1
    answers = answer_clicks(tracker(), tracker().features(torch.randn(1, 192, 8, 8)), _one_click())
    inside = torch.zeros(1, 64, 128)
    inside[0, :, 0] = torch.nn.functional.adaptive_avg_pool2d(cover, 8).flatten() * 16 - 8
    reader = nn.Linear(128, 1)
    nn.init.zeros_(reader.weight)
    nn.init.zeros_(reader.bias)
    blind = click_loss(replace(answers, places=inside), reader, cover)["covered"]
    reader.weight.data[0, 0] = 1
    assert click_loss(replace(answers, places=inside), reader, cover)["covered"] < 0.01 < blind


@pytest.mark.integration
def test_a_run_trains_all_but_the_backbone_and_the_unused_level(finished: Path, weights: Path, tmp_path: Path) -> None:
    before = train_clicks(replace(CLICKS_SMOKE, stages=(replace(CLICKS_SMOKE.stages[0], steps=0),)), tmp_path, weights)
    trained = torch.load(finished / CHECKPOINT, weights_only=True)["tracker"]
    same = {n for n, v in before.tracker.state_dict().items() if torch.equal(v, trained[n])}
    # three steps need not have held a prompt of each kind, so some of the prompt encoder may have had no gradient
    assert not {n for n in same if "positional_embedding" not in n and "fpn_layers.3." not in n and "encoder" not in n}
    assert any("point_embed" in n for n in trained if n not in same)
    assert all(not v.any() for n, v in trained.items() if "fpn_layers.3." in n)


@pytest.mark.integration
def test_a_run_that_was_killed_ends_with_the_same_weights(weights: Path, tmp_path: Path) -> None:
    stage = CLICKS_SMOKE.stages[0]
    train_clicks(replace(CLICKS_SMOKE, stages=(replace(stage, steps=2, warm_up=1, flat=1.0),)), tmp_path, weights)
    whole = replace(CLICKS_SMOKE, stages=(replace(stage, flat=1.0),))
    train_clicks(whole, tmp_path, weights)
    again = tmp_path / "again"
    train_clicks(whole, again, weights)
    one, other = (torch.load(f / CHECKPOINT, weights_only=True)["tracker"] for f in (tmp_path, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.integration
def test_a_run_refuses_other_weights_than_it_began_on(finished: Path, weights: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    tokenizer = build_tokenizer(vocabulary_words())
    config = tiny_config(len(tokenizer), SIZE)
    write_weights(new_model(config), config, tmp_path)
    with pytest.raises(InputError, match="begun on other weights"):
        train_clicks(CLICKS_SMOKE, finished, tmp_path)
    with pytest.raises(InputError, match="--start-from"):
        train_clicks(CLICKS_SMOKE, finished, None)


@pytest.mark.integration
def test_an_export_adds_the_tracker_half_and_changes_nothing_of_the_detector(
    finished: Path, weights: Path, tmp_path: Path
) -> None:
    export_clicks(CLICKS_SMOKE, finished, weights, tmp_path)
    detector, whole = load_file(weights / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(value, whole[name]) for name, value in detector.items())
    added = sum(value.numel() for name, value in whole.items() if name not in detector)
    assert 1_000_000 < added < 2_000_000
    assert (tmp_path / "tokenizer.json").read_bytes() == (weights / "tokenizer.json").read_bytes()


@pytest.mark.integration
def test_transformers_tracker_class_loads_an_export_and_answers_as_the_run_does(
    finished: Path, weights: Path, tmp_path: Path
) -> None:
    export_clicks(CLICKS_SMOKE, finished, weights, tmp_path)
    model, report = Sam3TrackerModel.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    own = train_clicks(CLICKS_SMOKE, finished, weights)  # nothing is left to do: the trained halves
    pixels = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        hidden = own.backbone(pixels).last_hidden_state
        tracked = own.tracker.eval()
        features = tracked.features(hidden.transpose(1, 2).unflatten(2, (8, 8)))
        # transformers never adds the no-memory embedding; without it both must agree
        bare = replace(features, no_memory=torch.zeros_like(features.no_memory))
        masks, quality = tracked.decode(bare, *tracked.embed(_one_click()), multimask=True)
        theirs = model(pixel_values=pixels, input_points=torch.tensor([[[[20.0, 30.0]]]]))
    assert torch.allclose(theirs.pred_masks[0], masks, atol=2e-2)  # the file is float16
    assert torch.allclose(theirs.iou_scores[0], quality, atol=2e-3)


def _one_click() -> Clicks:
    return Clicks(torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1]]))
