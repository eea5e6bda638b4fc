"""Loading by name or folder, and every way it can fail: one clear line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, Sam3Model

from sam3_agent.errors import ModelUnavailable, ToolError
from sam3_agent.model import loading
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ClickPrompt, ConceptPrompt, DetectOptions, ModelInfo
from tests.model.conftest import small_model, small_tracker


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint to break."""
    return Path(shutil.copytree(checkpoint, tmp_path / "broken"))


def refuse(folder: Path | str, **options: str) -> str:
    with pytest.raises(ModelUnavailable) as refusal:
        Sam3.load(folder, **options)
    message = str(refusal.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def rewrite(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def test_a_checkpoint_in_the_layout_of_the_real_one_loads_and_answers(
    checkpoint: Path, picture: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    segmenter = Sam3.load(checkpoint, device="cpu")
    assert segmenter.info == ModelInfo(str(checkpoint), "cpu", "float32", input_side=96, queries=12, patch=8)
    wanted = {key: value.half().float() for key, value in small_model().state_dict().items()}
    assert all(torch.equal(value, wanted[key]) for key, value in segmenter._model.state_dict().items())
    (found,) = segmenter.detect(segmenter.encode(picture), [ConceptPrompt("cat")], DetectOptions(threshold=0.1))
    assert found.kept
    assert capfd.readouterr() == ("", "")


def test_a_bare_model_as_transformers_saves_it_loads_the_same(
    checkpoint: Path, tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    small_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    bare, video = (Sam3.load(folder, device="cpu", dtype="bfloat16") for folder in (tmp_path, checkpoint))
    first, second = bare._model.state_dict(), video._model.state_dict()
    assert bare.info.dtype == "bfloat16"
    assert all(torch.allclose(first[key].float(), second[key].float(), rtol=0.01, atol=1e-6) for key in first)


def test_the_layer_norm_eps_of_a_checkpoint_is_not_trusted(checkpoint: Path) -> None:
    raw = json.loads((checkpoint / "config.json").read_text())
    assert raw["detector_config"]["vision_config"]["backbone_config"]["layer_norm_eps"] == 1e-6
    segmenter = Sam3.load(checkpoint, device="cpu")
    assert segmenter._model.vision_encoder.backbone.layers[0].layer_norm1.eps == 1e-5


def test_weights_and_tokenizer_travel_as_transformers_tokenizer(checkpoint: Path) -> None:
    assert loading.load_tokenizer(checkpoint)("cat")["input_ids"] == [514, 513, 515]


def test_a_wrong_path_is_named() -> None:
    assert "no model at 'no/such/folder'" in refuse("no/such/folder")


def test_a_file_is_not_a_folder(checkpoint: Path) -> None:
    assert "is a file" in refuse(checkpoint / "model.safetensors")


def test_a_folder_without_a_config_is_no_checkpoint(tmp_path: Path) -> None:
    assert "holds no config.json" in refuse(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"model_type": "sam3_video"}', '{"model_type": "sam3", "vision_config": 3}']
)
def test_an_unreadable_config_is_told(broken: Path, text: str) -> None:
    (broken / "config.json").write_text(text)
    assert "config.json in" in refuse(broken)


def test_another_kind_of_model_is_told(broken: Path) -> None:
    rewrite(broken, {"model_type": "clip"})
    assert "a model of type 'clip', not a SAM 3" in refuse(broken)


def test_missing_weights_are_told(broken: Path) -> None:
    (broken / "model.safetensors").unlink()
    assert "holds no model.safetensors" in refuse(broken)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"])
def test_damaged_weights_are_told(broken: Path, content: bytes) -> None:
    (broken / "model.safetensors").write_bytes(content)
    assert "cannot be read" in refuse(broken)


def test_a_missing_tensor_is_never_replaced_by_a_random_one(broken: Path) -> None:
    tensors = load_file(broken / "model.safetensors")
    del tensors["detector_model.detr_decoder.presence_token.weight"]
    save_file(tensors, broken / "model.safetensors")
    message = refuse(broken)
    assert "1 tensors of the detector are missing" in message
    assert "detr_decoder.presence_token.weight" in message


def test_a_tensor_of_another_shape_is_told(broken: Path) -> None:
    tensors = load_file(broken / "model.safetensors")
    tensors["detector_model.detr_decoder.presence_token.weight"] = torch.zeros(1, 8)
    save_file(tensors, broken / "model.safetensors")
    assert "presence_token" in refuse(broken)


def test_a_missing_tokenizer_is_told(broken: Path) -> None:
    (broken / "tokenizer.json").unlink()
    assert "holds no tokenizer.json" in refuse(broken)


def test_a_damaged_tokenizer_is_told(broken: Path) -> None:
    (broken / "tokenizer.json").write_text("{")
    assert "tokenizer" in refuse(broken)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "cuda:x"])
def test_a_device_that_is_not_there_is_told(checkpoint: Path, device: str) -> None:
    assert f"device '{device}'" in refuse(checkpoint, device=device)


def test_an_unknown_dtype_is_told(checkpoint: Path) -> None:
    assert "give auto, bfloat16 or float32" in refuse(checkpoint, dtype="int8")


def test_auto_takes_float32_on_the_cpu_and_bfloat16_on_cuda() -> None:
    assert loading.pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert loading.pick_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_importing_the_room_does_not_import_torch() -> None:
    code = "import sys, sam3_agent.model, sam3_agent.model.segmenter; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0


def test_both_halves_are_loaded_from_one_checkpoint_without_what_only_video_needs(
    checkpoint: Path, picture: NDArray[np.uint8]
) -> None:
    segmenter = Sam3.load(checkpoint, device="cpu")
    assert segmenter._tracker is not None
    wanted = {key: value.half().float() for key, value in small_tracker().state_dict().items()}
    loaded = segmenter._tracker.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in loaded.items())
    assert {key for key in wanted if key not in loaded} == {key for key in wanted if "fpn_layers.3." in key}
    assert not any(parameter.is_meta for parameter in segmenter._tracker.parameters())
    assert len(segmenter.segment_at(segmenter.encode(picture), ClickPrompt(((50.0, 50.0),)))) == 3


def test_in_bfloat16_the_position_tables_of_clicks_stay_float32(checkpoint: Path) -> None:
    segmenter = Sam3.load(checkpoint, device="cpu", dtype="bfloat16")
    assert segmenter._tracker is not None
    kinds = {"positional_embedding" in key: value.dtype for key, value in segmenter._tracker.state_dict().items()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}


def test_a_checkpoint_without_a_tracker_half_serves_all_but_clicks(broken: Path, picture: NDArray[np.uint8]) -> None:
    tensors = load_file(broken / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k.startswith("detector_model.")}, broken / "model.safetensors")
    segmenter = Sam3.load(broken, device="cpu")
    assert segmenter.detect(segmenter.encode(picture), [ConceptPrompt("cat")], DetectOptions(threshold=0.1))[0].kept
    with pytest.raises(ToolError, match="no tracker half"):
        segmenter.segment_at(segmenter.encode(picture), ClickPrompt(((50.0, 50.0),)))


@pytest.mark.parametrize("name", ["tracker_model.no_memory_embedding", "tracker_neck.fpn_layers.2.proj2.weight"])
def test_a_missing_or_misshapen_tensor_of_the_tracker_half_is_never_replaced_by_a_random_one(
    broken: Path, name: str
) -> None:
    tensors = load_file(broken / "model.safetensors")
    whole = dict(tensors)
    del tensors[name]
    save_file(tensors, broken / "model.safetensors")
    message = refuse(broken)
    assert "1 tensors of the tracker half are missing" in message
    assert name in message
    save_file({**whole, name: torch.zeros(3)}, broken / "model.safetensors")
    assert name in refuse(broken)


def test_a_tracker_configuration_of_another_size_is_told(broken: Path) -> None:
    raw = json.loads((broken / "config.json").read_text())
    raw["tracker_config"]["mask_decoder_config"]["hidden_size"] = 64
    (broken / "config.json").write_text(json.dumps(raw))
    assert "tensors of the tracker half" in refuse(broken)
    raw["tracker_config"]["mask_decoder_config"] = 3
    (broken / "config.json").write_text(json.dumps(raw))
    assert "config.json in" in refuse(broken)


def test_the_tiny_model_is_built_as_transformers_would_load_it() -> None:
    ours = loading.load_model(loading.TINY_FOLDER, torch.device("cpu"), torch.float32)
    theirs = Sam3Model.from_pretrained(loading.TINY_FOLDER, config=ours.config, local_files_only=True)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    buffers = dict(theirs.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in ours.named_buffers())
    assert all(value.dtype == buffers[name].dtype for name, value in ours.named_buffers())
    assert not ours.training


def test_the_memory_of_gpus_can_be_asked_for_while_torch_is_being_imported() -> None:
    program = (
        "import sys, types; sys.modules['torch'] = types.ModuleType('torch')\n"
        "from sam3_agent.model.oom import gpu_memory; assert gpu_memory() == {}"
    )
    here = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
