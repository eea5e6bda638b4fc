"""The fast path says what the plain network says: here with the double of CUDA graphs, in float32 on a CPU."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model import sam3_forward
from sam3_agent.model.cuda.fast_path import MOST_POINTS, FastPath
from sam3_agent.model.cuda.graphs import CudaRecorder, Graphs, eager_recorder
from sam3_agent.model.cuda.mask_counts import in_torch
from sam3_agent.model.cuda.start import (
    TOLERANCE,
    difference,
    fast_path_of,
    keep_code,
    mask_coder,
    recorded,
    start_fast_path,
)
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.types import ClickPrompt, ConceptPrompt, Detection, DetectOptions, Exemplar, ModelInfo
from tests.model.conftest import small_model, small_tracker

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
COMPILED = pytest.mark.filterwarnings("default")
"""Warnings of torch's and Triton's compilers about a card, which are not for us to mend."""
LIKE = ConceptPrompt("cat", (Exemplar((20.0, 30.0, 90.0, 80.0)), Exemplar((5.0, 5.0, 40.0, 30.0), positive=False)))
MANY = ConceptPrompt(None, tuple(Exemplar((x, 10.0, x + 20.0, 60.0)) for x in range(0, 100, 10)))


def quick(segmenter: Sam3) -> FastPath:
    """Have an segmenter go by the fast path, with the double of CUDA graphs."""
    fast = fast_path_of(segmenter._model, segmenter._tracker, Graphs(eager_recorder()), in_torch)
    segmenter._runner.use(fast)
    return fast


@pytest.fixture(scope="module")
def quick_segmenter(tokenizer: CLIPTokenizer) -> Sam3:
    segmenter = Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"), small_tracker())
    quick(segmenter)
    return segmenter


def prepared_alike(segmenter: Sam3, fast: Sam3, image: NDArray[np.uint8]) -> tuple[Any, Any]:
    """Features of both eyes from the same pixels."""
    plan = segmenter.plan_encode(image)
    (plain,) = plan.run()
    (quickly,) = fast._encoding.answers(plan.items)
    return plain, quickly


def assert_same(found: Detection, wanted: Detection, off: float = 1e-5) -> None:
    assert found.presence == pytest.approx(wanted.presence, abs=off)
    for mine, other in ((found.kept, wanted.kept), (found.near_misses, wanted.near_misses)):
        assert len(mine) == len(other)
        for a, b in zip(mine, other, strict=True):
            assert a.object_score == pytest.approx(b.object_score, abs=off)
            assert a.box == pytest.approx(b.box, abs=100 * off)
            assert_same_mask(a.rle, b.rle)


def assert_same_mask(found: Rle, wanted: Rle) -> None:
    """IoU of at least 0.999, or two pixels apart: a thousandth of a small mask is less than one."""
    differing = int((masks.decode(found) != masks.decode(wanted)).sum())
    assert differing <= 2 or masks.iou([found], [wanted])[0, 0] >= 0.999


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17])
def test_phrases_get_the_same_answers_however_many_they_are(
    clicking_segmenter: Sam3, quick_segmenter: Sam3, picture: NDArray[np.uint8], count: int
) -> None:
    plain, quickly = prepared_alike(clicking_segmenter, quick_segmenter, picture)
    prompts = [ConceptPrompt(f"cat {number}") for number in range(count)]
    wanted = clicking_segmenter.detect(plain, prompts, DetectOptions(threshold=0.05))
    found = quick_segmenter.detect(quickly, prompts, DetectOptions(threshold=0.05))
    assert sum(len(each.kept) for each in wanted)
    for pair in zip(found, wanted, strict=True):
        assert_same(*pair)


def test_exemplars_beside_phrases_get_the_same_answers(
    clicking_segmenter: Sam3, quick_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    plain, quickly = prepared_alike(clicking_segmenter, quick_segmenter, picture)
    for prompts in ([LIKE], [ConceptPrompt("cat"), LIKE, MANY]):
        wanted = clicking_segmenter.detect(plain, prompts, DetectOptions(threshold=0.05))
        for pair in zip(quick_segmenter.detect(quickly, prompts, DetectOptions(threshold=0.05)), wanted, strict=True):
            assert_same(*pair)


def test_more_boxes_than_there_are_graphs_for_go_through_the_modules(
    clicking_segmenter: Sam3, quick_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    plain, quickly = prepared_alike(clicking_segmenter, quick_segmenter, picture)
    crowd = ConceptPrompt(None, tuple(Exemplar((float(x), 0.0, x + 9.0, 30.0)) for x in range(120)))
    (wanted,) = clicking_segmenter.detect(plain, [crowd], DetectOptions(threshold=0.05))
    (found,) = quick_segmenter.detect(quickly, [crowd], DetectOptions(threshold=0.05))
    assert_same(found, wanted)


def test_prompts_on_different_images_meet_in_one_batch(
    clicking_segmenter: Sam3, quick_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    images = [picture, picture[::-1].copy(), picture[:, :80].copy()]
    pairs = [prepared_alike(clicking_segmenter, quick_segmenter, image) for image in images]
    wanted = [
        clicking_segmenter.detect(plain, [ConceptPrompt("cat")], DetectOptions(threshold=0.05))[0] for plain, _ in pairs
    ]
    plans = [
        quick_segmenter.plan_detect(quickly, [ConceptPrompt("cat")], DetectOptions(threshold=0.05))
        for _, quickly in pairs
    ]
    drawn = quick_segmenter._runner.draw([plan.items[0] for plan in plans])
    for each, other in zip(drawn, wanted, strict=True):
        assert_same(each.detection(), other)


def test_read_exemplars_and_clicks_say_the_same(
    clicking_segmenter: Sam3, quick_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    plain, quickly = prepared_alike(clicking_segmenter, quick_segmenter, picture)
    wanted = clicking_segmenter.read_exemplars(plain, LIKE.exemplars)
    assert np.allclose(quick_segmenter.read_exemplars(quickly, LIKE.exemplars).array, wanted.array, atol=1e-5)
    first = clicking_segmenter.segment_at(plain, ClickPrompt(((60.0, 40.0),), (True,)))
    for prompt in (
        ClickPrompt(((60.0, 40.0),), (True,)),
        ClickPrompt(((60.0, 40.0), (10.0, 10.0)), (True, False)),
        ClickPrompt((), (), box=(20.0, 30.0, 90.0, 80.0)),
        ClickPrompt(((60.0, 40.0),), (True,), mask=first[0].rle),
        ClickPrompt(tuple((20.0 * n, 40.0) for n in range(1, MOST_POINTS + 2)), (True,) * (MOST_POINTS + 1)),
    ):
        found, other = quick_segmenter.segment_at(quickly, prompt), clicking_segmenter.segment_at(plain, prompt)
        assert [a.rle for a in found] == [b.rle for b in other]
    clicked = [key[2] for key in _fast(quick_segmenter).graphs.keys if isinstance(key, tuple) and key[0] == "click"]
    assert max(clicked) <= MOST_POINTS


def _fast(segmenter: Sam3) -> FastPath:
    fast = segmenter._runner._fast
    assert fast is not None
    return fast


def test_a_forgotten_image_does_not_change_under_what_came_after(
    quick_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    first = quick_segmenter.encode(picture)
    before = [level.clone() for level in first.levels]
    (alone,) = quick_segmenter.detect(first, [ConceptPrompt("cat")], DetectOptions(threshold=0.05))
    quick_segmenter.encode(picture[::-1].copy())
    assert all(torch.equal(level, kept) for level, kept in zip(first.levels, before, strict=True))
    assert quick_segmenter.detect(first, [ConceptPrompt("cat")], DetectOptions(threshold=0.05)) == [alone]


def test_everything_is_recorded_at_the_start_and_usual_calls_add_nothing(
    tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]
) -> None:
    segmenter = Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"), small_tracker())
    fast = quick(segmenter)
    with torch.inference_mode():
        fast.record_all()
    known = set(fast.graphs.keys)
    assert len(known) > 10
    seen = segmenter.encode(picture)
    segmenter.detect(
        seen, [ConceptPrompt("cat"), ConceptPrompt("dog"), ConceptPrompt("cup")], DetectOptions(threshold=0.05)
    )
    segmenter.detect(seen, [LIKE], DetectOptions(threshold=0.05))
    segmenter.segment_at(seen, ClickPrompt(((60.0, 40.0),), (True,)))
    assert set(fast.graphs.keys) == known
    assert segmenter.statistics()["fast"] is True


@pytest.mark.integration
def test_layers_compile_without_a_break_and_say_the_same() -> None:
    model = small_model()
    sam3_forward.prepare(model)
    # Of whole layers: a break in the graph would be an error.
    fast = recorded(model, None, eager_recorder(), in_torch, compiled=True, backend="eager")
    assert difference(fast, model) < 1e-5
    with torch.inference_mode():
        coarse = fast.encode(torch.randn(1, 3, 96, 96)).levels[-1]
        for rows in (2, 4):  # compiled once for all that are more than one
            several, tokens = coarse.expand(rows, -1, -1, -1), torch.randn(rows, 33, 32)
            mask = torch.rand(rows, 33) > 0.2
            mine, plain = fast.ground(several, tokens, mask), sam3_forward.ground(model, several, tokens, mask)
            assert mine is not None
            assert torch.allclose(mine.boxes, plain.boxes, atol=1e-5)


def test_another_network_is_found_out() -> None:
    model = small_model()
    sam3_forward.prepare(model)
    fast = recorded(model, None, eager_recorder(), in_torch, compiled=False)
    with torch.no_grad():
        for layer in model.vision_encoder.backbone.layers:
            layer.mlp.fc2.weight.data = -30 * layer.mlp.fc2.weight
    assert difference(fast, model) > TOLERANCE


def test_fused_weights_leave_the_model_what_it_was() -> None:
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast_path_of(model, None, Graphs(eager_recorder()), in_torch)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_cpu_has_no_fast_path_to_start(segmenter: Sam3) -> None:
    assert segmenter.warm_up() > 0
    assert segmenter.statistics()["fast"] is False
    assert mask_coder(torch.device("cpu")) is in_torch


@pytest.mark.skipif(torch.cuda.is_available(), reason="what works nowhere is tried here, and a GPU may do it")
def test_what_neither_compiles_nor_captures_is_told_in_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    model = small_model()
    sam3_forward.prepare(model)
    assert start_fast_path(model, None) is None
    (line,) = caplog.messages
    assert line.startswith("compiling and capturing the network failed on cpu (")
    assert "; capturing the network failed on cpu (" in line
    assert line.endswith("; the network runs as it is")


def test_compiled_code_is_kept_where_the_environment_says_or_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    keep_code()
    assert _cache() == "elsewhere"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keep_code()
    assert _cache() == str(tmp_path / "sam3-agent" / "compiled")
    (tmp_path / "file").touch()
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_code()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def _cache() -> str:
    return os.environ["TORCHINDUCTOR_CACHE_DIR"]


@pytest.fixture(scope="module")
def tiny_pair() -> tuple[Sam3, Sam3]:
    """The embedded weights in float32, plain and by the fast path: captured and compiled where there is a GPU."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain, fast = (Sam3.load("tiny", device=device, dtype="float32") for _ in range(2))
    if device == "cuda":
        fast._runner.speed_up()
    else:
        quick(fast)
    return plain, fast


@COMPILED
def test_the_embedded_weights_find_the_same_objects(tiny_pair: tuple[Sam3, Sam3]) -> None:
    plain, fast = tiny_pair
    kept = 0
    for seed in (11, 12, 13):
        scene = generate_scene(seed, SceneOptions(max_side=400))
        seen, quickly = prepared_alike(plain, fast, scene.image)
        prompts = [ConceptPrompt(phrase) for phrase in sorted({each.noun for each in scene.objects})]
        wanted = plain.detect(seen, prompts, DetectOptions(threshold=0.5))
        for pair in zip(fast.detect(quickly, prompts, DetectOptions(threshold=0.5)), wanted, strict=True):
            assert_same(*pair, off=1e-3)
        kept += sum(len(each.kept) for each in wanted)
    assert kept >= 5


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, GPU])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_captured_graphs_equal_the_functions_to_the_bit(device: str, dtype: torch.dtype) -> None:
    """On a CPU the double of the graphs is what is captured, which shows that the test itself works."""
    model = small_model().to(device, dtype)
    sam3_forward.prepare(model)
    record = CudaRecorder(torch.device(device)) if device == "cuda" else eager_recorder()
    captured = recorded(model, None, record, in_torch, compiled=False)
    eager = fast_path_of(model, None, Graphs(eager_recorder()), in_torch)
    assert captured.graphs.failed == ()
    with torch.inference_mode():
        pixels = torch.randn(1, 3, 96, 96, device=device, dtype=dtype)
        seen, plain = captured.encode(pixels), eager.encode(pixels)
        assert all(torch.equal(*pair) for pair in zip(seen.levels, plain.levels, strict=True))
        for rows in (1, 3):
            coarse = seen.levels[-1].expand(rows, -1, -1, -1)
            tokens = torch.randn(rows, 33, 32, device=device, dtype=dtype)
            mask = torch.rand(rows, 33, device=device) > 0.2
            mine, other = captured.ground(coarse, tokens, mask), eager.ground(coarse, tokens, mask)
            assert mine is not None
            assert other is not None
            for name in ("logits", "presence", "boxes", "queries", "memory"):
                assert getattr(mine, name).isfinite().all(), name
                assert torch.equal(getattr(mine, name), getattr(other, name)), name
            drawn, again = (path.masks(seen.levels, mine, 0, [1, 4, 7]) for path in (captured, eager))
            assert drawn is not None
            assert again is not None
            assert torch.equal(drawn, again)


@pytest.mark.gpu
@GPU
@COMPILED
@pytest.mark.parametrize(("dtype", "most"), [("float32", 5e-3), ("bfloat16", 0.1)])
def test_compiled_and_captured_layers_stay_near_the_plain_network(
    dtype: str, most: float, caplog: pytest.LogCaptureFixture
) -> None:
    segmenter = Sam3.load("tiny", device="cuda", dtype=dtype)
    with caplog.at_level(logging.INFO, logger="sam3_agent"):
        segmenter.warm_up()
    assert "compiled and captured" in caplog.text
    runner = segmenter._runner
    assert runner._fast is not None
    assert runner._fast.graphs.failed == ()
    assert difference(runner._fast, segmenter._model) < most


@pytest.mark.gpu
@GPU
@COMPILED
def test_two_replicas_on_two_devices_give_one_answer(picture: NDArray[np.uint8]) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA GPU here, and this needs two")
    found: list[Detection] = []
    for device in ("cuda:0", "cuda:1"):
        segmenter = Sam3.load("tiny", device=device, dtype="float32")
        segmenter.warm_up()
        found += segmenter.detect(segmenter.encode(picture), [ConceptPrompt("circle")], DetectOptions(threshold=0.3))
    assert_same(found[1], found[0], off=1e-3)
