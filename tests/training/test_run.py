"""Whole (very short) training runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam3Model

from sam3_agent.errors import InputError
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.training.checkpoint import CHECKPOINT, read_checkpoint
from sam3_agent.training.config import CROWDED, DETECTING, SMOKE, VARIED, WORN, Stage, TrainConfig
from sam3_agent.training.evaluate import Judged, best_bias
from sam3_agent.training.export import export_parts, export_run, input_size
from sam3_agent.training.forward import Exemplars, PooledExamples, answer, draw_masks, encode_images, ground
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.resize import resize_weights
from sam3_agent.training.run import learning_rate, train
from sam3_agent.training.tiny import new_model, resize_model, tiny_config
from sam3_agent.training.tokenizer import build_tokenizer
from sam3_agent.types import ConceptPrompt

BIAS = "detector_model.detr_decoder.presence_head.layer3.bias"
"""Calibrated anew at each input size."""
SHORT = replace(
    SMOKE,
    stages=(
        Stage("dense", "dense", 64, steps=2, images=2, warm_up=1),
        Stage("prompts", "prompts", 64, steps=2, images=2, prompts=3, warm_up=1),
    ),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(SHORT, folder)
    return folder


@pytest.mark.integration
def test_a_run_that_was_stopped_between_stages_ends_with_the_same_weights(finished: Path, tmp_path: Path) -> None:
    first: TrainConfig = replace(SHORT, stages=SHORT.stages[:1])
    train(first, tmp_path)
    interrupted = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert interrupted["step"] == 2
    train(SHORT, tmp_path)
    whole = torch.load(finished / CHECKPOINT, weights_only=True)["model"]
    resumed = torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.integration
def test_an_exported_run_is_loaded_by_the_code_that_loads_the_real_weights(finished: Path, tmp_path: Path) -> None:
    export_run(finished, tmp_path)
    segmenter = Sam3.load(tmp_path, device="cpu")
    scene = generate_scene(3, SceneOptions(max_side=256))
    found = segmenter.detect(segmenter.encode(scene.image), [ConceptPrompt("red circle"), ConceptPrompt("a spaceship")])
    assert len(found) == 2
    assert all(0 <= d.presence <= 1 for d in found)


@pytest.mark.integration
def test_a_run_of_some_parts_changes_those_alone_and_leaves_every_other_tensor_to_the_bit(
    finished: Path, tmp_path: Path
) -> None:
    weights, run, ended = tmp_path / "weights", tmp_path / "run", tmp_path / "ended"
    export_run(finished, weights)
    before = load_file(weights / "model.safetensors")
    save_file(before | {"tracker_model.x": torch.rand(3)}, weights / "model.safetensors")
    before = load_file(weights / "model.safetensors")
    short = replace(CROWDED, stages=(replace(CROWDED.stages[0], image_size=64, steps=2, images=2, prompts=3),))
    train(short, run, weights=weights)
    export_parts(short, run, weights, ended)
    after = load_file(ended / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert set(after) == set(before)
    assert changed
    assert all(name.startswith(tuple(f"detector_model.{part}" for part in DETECTING)) for name in changed)
    resize_weights(weights, 96, tmp_path / "larger")  # where the run never was
    export_parts(short, run, tmp_path / "larger", tmp_path / "larger")
    larger = load_file(tmp_path / "larger" / "model.safetensors")
    table = "detector_model.vision_encoder.backbone.embeddings.position_embeddings"
    assert larger[table].shape != before[table].shape
    same = [name for name in after if name not in (table, BIAS)]
    assert all(torch.equal(larger[name], after[name]) for name in same)
    save_file(before | {"detector_model.text_projection.bias": torch.ones(128)}, weights / "model.safetensors")
    with pytest.raises(InputError, match="did not start from"):
        export_parts(short, run, weights, ended)


@pytest.mark.integration
def test_a_run_of_the_whole_detector_leaves_the_tracker_half_to_the_bit(finished: Path, tmp_path: Path) -> None:
    weights, run = tmp_path / "weights", tmp_path / "run"
    export_run(finished, weights)
    before = load_file(weights / "model.safetensors") | {"tracker_model.x": torch.rand(3)}
    save_file(before, weights / "model.safetensors")
    stage = replace(VARIED.stages[0], steps=2, warm_up=1, images=2, prompts=3, least_objects=1, stills=0.0)
    short = replace(VARIED, ranks=1, stages=(stage,))
    train(short, run, weights=weights)
    saved = read_checkpoint(run)
    assert saved is not None
    export_parts(short, run, weights, tmp_path / "ended")
    after = load_file(tmp_path / "ended" / "model.safetensors")
    assert torch.equal(after.pop("tracker_model.x"), before["tracker_model.x"])
    taught = {f"detector_model.{name}": value.half() for name, value in saved.model.items()}
    assert all(torch.equal(value, taught[name]) for name, value in after.items() if name != BIAS)
    assert any(not torch.equal(after[name], before[name]) for name in after if "vision_encoder.backbone" in name)
    resize_weights(weights, 96, tmp_path / "larger")
    with pytest.raises(InputError, match="has taught the backbone"):
        export_parts(short, run, tmp_path / "larger", tmp_path / "larger")


@pytest.mark.integration
def test_a_stage_without_a_size_learns_at_that_of_the_weights(finished: Path, tmp_path: Path) -> None:
    export_run(finished, tmp_path / "weights")
    short = replace(WORN, stages=(replace(WORN.stages[0], steps=1, images=2, prompts=3),))
    train(short, tmp_path / "run", weights=tmp_path / "weights")
    saved = read_checkpoint(tmp_path / "run")
    assert saved is not None
    assert saved.config["stages"][0]["image_size"] == input_size(tmp_path / "weights") == 64
    train(short, tmp_path / "run")  # goes on where it ended: the checkpoint knows its size
    with pytest.raises(InputError, match="--start-from"):
        train(short, tmp_path / "other")
    with pytest.raises(InputError, match="no exported weights"):
        train(short, tmp_path / "other", weights=tmp_path / "run")


def test_the_training_pass_equals_transformers_own() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary_words())
    model = new_model(tiny_config(len(tokenizer), 64)).eval()
    pixels = torch.randn(1, 3, 64, 64)
    tokens = tokenizer(["red circle", "cup"], padding=True, return_tensors="pt")
    boxes = torch.tensor([[[-10.0] * 4], [[0.5, 0.5, 0.3, 0.2]]])
    labels = torch.tensor([[-10], [1]])
    with torch.inference_mode():
        vision = encode_images(model, pixels)
        each = torch.zeros(len(boxes), dtype=torch.long)
        exemplars = Exemplars(vision, each, boxes, labels)
        grounding = ground(model, vision.select(each), each, tokens["input_ids"], tokens["attention_mask"], exemplars)
        mine = answer(model, grounding)
        masks, _ = draw_masks(model, vision.select(each), grounding, mine, torch.tensor([0, 1]))
        theirs = model(
            pixel_values=pixels.expand(2, -1, -1, -1), **tokens, input_boxes=boxes, input_boxes_labels=labels
        )
    assert torch.allclose(mine.logits[-1], theirs.pred_logits, atol=1e-4)
    assert torch.allclose(mine.presence[-1], theirs.presence_logits[:, 0], atol=1e-4)
    assert torch.allclose(masks, theirs.pred_masks, atol=1e-3)


def test_pooled_examples_ask_with_the_mean_of_what_each_says_alone() -> None:
    torch.manual_seed(0)
    model = new_model(tiny_config(600, 64)).eval()
    boxes = torch.tensor([[0.5, 0.5, 0.3, 0.2], [0.3, 0.4, 0.2, 0.2], [0.6, 0.7, 0.3, 0.3]])
    ids, mask = torch.tensor([[598, 5, 599]] * 2), torch.ones(2, 3, dtype=torch.bool)
    asked, nothing = torch.tensor([0, 0]), torch.full((2, 3), -10)

    def tokens(places: list[int], pooled: PooledExamples | None) -> torch.Tensor:
        source = torch.tensor([1, 1])
        slots, labels = torch.full((2, 3, 4), -10.0), nothing.clone()
        slots[:, 0], labels[:, 0] = boxes[places], 1
        exemplars = Exemplars(vision, source, slots, labels, pooled)
        return ground(model, vision.select(asked), asked, ids, mask, exemplars).prompt[:, 3:5]

    with torch.inference_mode():
        vision = encode_images(model, torch.randn(2, 3, 64, 64))
        alone = [tokens([place, place], None)[0, 0] for place in range(3)]
        plain = tokens([0, 0], None)
        pooled = tokens([0, 0], PooledExamples(torch.tensor([1, 1, 1]), torch.tensor([1, 1, 1]), boxes))
        two = tokens([0, 0], PooledExamples(torch.tensor([1, 0, 1]), torch.tensor([1, 1, 1]), boxes))
    assert torch.equal(pooled[0], plain[0])
    assert torch.allclose(pooled[1, 0], torch.stack(alone).mean(0), atol=1e-5)
    assert torch.equal(pooled[1, 1], plain[1, 1])  # what the asked image says of itself
    assert torch.allclose(two[0, 0], alone[1], atol=1e-5)
    assert torch.allclose(two[1, 0], (alone[0] + alone[2]) / 2, atol=1e-5)


def test_resizing_keeps_every_weight_but_the_position_table() -> None:
    model = new_model(tiny_config(600, 64))
    bigger = resize_model(model, 80)
    assert isinstance(bigger, Sam3Model)
    changed = {
        name
        for name, value in model.state_dict().items()
        if value.shape != bigger.state_dict()[name].shape or not torch.equal(value, bigger.state_dict()[name])
    }
    assert {name for name in changed if "position_ids" not in name} == {
        "vision_encoder.backbone.embeddings.position_embeddings"
    }


def test_the_learning_rate_warms_up_stays_and_falls_to_its_end() -> None:
    stage = Stage("x", "prompts", 64, steps=1000, images=1, peak_rate=1.0, end_rate=0.1, flat=0.3, warm_up=100)
    rates = [learning_rate(stage, step) for step in (0, 50, 100, 299, 650, 999)]
    assert rates[0] < rates[1] < 1.0
    assert rates[2] == rates[3] == 1.0
    assert 0.1 < rates[4] < 1.0
    assert rates[5] == pytest.approx(0.1, abs=0.001)


def test_the_presence_bias_lies_between_what_is_missed_and_what_is_made_up() -> None:
    one, none = np.full((1, 1), 0.9), np.zeros((1, 0))
    there = [Judged(logit, np.array([0.95]), one) for logit in (-1.6, -1.0, 0.5, 4.0)]
    absent = [Judged(logit, np.array([0.95]), none) for logit in (-7.0, -4.0, -3.6, -3.0)]
    bias = best_bias([*there, *absent])
    assert 1.6 < bias < 3.0
    assert best_bias([*there, *absent], biases=(-2.0, 0.0, 2.0)) == 2.0
