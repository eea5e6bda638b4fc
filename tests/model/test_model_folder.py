"""Model folders of strangers: nothing in one is run, fetched, or opened outside of it."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.loading import TINY_FOLDER, load_tokenizer
from sam3_agent.model.model_folder import INDEX, read_config
from sam3_agent.model.sam3 import Sam3


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of a sound checkpoint to change."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelUnavailable) as refused:
        Sam3.load(folder, device="cpu")
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(folder) in message
    return message


def change(folder: Path, *path: str, **values: Any) -> None:
    """Set values of config.json, at a path of keys below the detector."""
    file = folder / "config.json"
    document = json.loads(file.read_text())
    place = document["detector_config"]
    for key in path:
        place = place[key]
    place.update(values)
    file.write_text(json.dumps(document))


class Written:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def test_a_pickle_in_place_of_the_weights_is_not_read(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pt", "model.pkl"):
        (folder / name).write_bytes(pickle.dumps(Written(tmp_path / "written")))
    assert "pickles are not read" in refusal(folder)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("place", [(), ("vision_config",), ("vision_config", "backbone_config")])
def test_attention_of_other_projects_is_not_followed_and_said(
    folder: Path, key: str, place: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    change(folder, *place, **{key: "stranger/kernel"})
    model = Sam3.load(folder, device="cpu")
    assert key in caplog.text
    assert "not followed" in caplog.text
    assert "stranger" not in json.dumps(model._model.config.to_dict())


@pytest.mark.parametrize("key", ["auto_map", "custom_pipelines", "kernel_config", "use_kernels", "_private"])
def test_code_that_a_config_names_is_left_out(folder: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, **{key: {"AutoModel": "stranger/repo--file.Class"}})
    assert "stranger" not in json.dumps(read_config(folder))
    assert key in caplog.text


def test_a_sound_config_is_read_without_a_word(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, _name_or_path="facebook/sam3")
    Sam3.load(folder, device="cpu")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("place", "values", "said"),
    [
        ((), {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantized weights are not read"),
        (("vision_config",), {"quantization_config": {"a": 1}}, "quantized weights are not read"),
        (("vision_config", "backbone_config"), {"model_type": "timm_wrapper"}, "no part of a SAM 3"),
        (("text_config",), {"hidden_size": 10**9}, "at most 1000000 expected"),
        (("text_config",), {"hidden_size": float("inf")}, "at most 1000000 expected"),
        (("text_config",), {"hidden_size": float("nan")}, "at most 1000000 expected"),
        (("text_config",), {"num_hidden_layers": 10**5}, "at most 256 expected"),
        (("text_config",), {"vocab_size": 900_000, "hidden_size": 900_000}, "million"),
        (("text_config",), {"max_position_embeddings": 900_000}, "do not fit"),
        (("vision_config", "backbone_config"), {"image_size": 900_000}, "do not fit"),
        (("vision_config", "backbone_config"), {"patch_size": 0}, "cannot be read"),
        (("text_config",), {"hidden_act": "stranger"}, "cannot be read"),
        (("text_config",), {"num_attention_heads": 0}, "cannot be read"),
        ((), {"more": {str(number): number for number in range(20_000)}}, "more than 10000 entries"),
        ((), {"more": json.loads("[" * 50 + "]" * 50)}, "more than 16 deep"),
    ],
)
def test_a_config_that_asks_for_what_no_model_needs_is_refused(
    folder: Path, place: tuple[str, ...], values: dict[str, Any], said: str
) -> None:
    change(folder, *place, **values)
    assert said in refusal(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' * 100_000, "[1]", '"sam3"', "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_config_that_is_no_object_or_too_deep_is_refused(folder: Path, text: str | bytes) -> None:
    (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "config.json" in refusal(folder)


def sharded(folder: Path, **renamed: str) -> None:
    """Put the weights into two shards with an index, some of whose entries are `renamed`."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {name: f"model-0000{1 + (name > names[len(names) // 2])}-of-00002.safetensors" for name in names}
    for shard in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == shard}, folder / shard)
    places[names[0]] = renamed.get("first", places[names[0]])
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_shards_of_the_folder_are_read(folder: Path) -> None:
    sharded(folder)
    assert Sam3.load(folder, device="cpu").info.queries == 12


@pytest.mark.parametrize(
    "name",
    [
        "../model/model.safetensors",
        "/etc/passwd",
        "..",
        "",
        "model-9.safetensors",
        "pytorch_model.bin",
        "a\\b",
        7,
        None,
    ],
)
def test_an_index_that_names_other_files_is_refused(folder: Path, name: Any) -> None:
    sharded(folder, first=name)
    (folder / "pytorch_model.bin").write_bytes(b"x")
    assert "no model*.safetensors file of this folder" in refusal(folder)


@pytest.mark.parametrize("text", ["{}", "[]", '{"weight_map": []}', '{"weight_map": {}}', "[" * 100_000, "x"])
def test_an_index_that_is_none_is_refused(folder: Path, text: str) -> None:
    sharded(folder)
    (folder / INDEX).write_text(text)
    assert "index.json" in refusal(folder)


def test_pipes_in_place_of_files_keep_nobody_waiting(folder: Path) -> None:
    for name in ("tokenizer_config.json", "model-extra.safetensors", "config.json"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        assert refusal(folder)


def test_an_adapter_is_no_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "stranger/model"}')
    assert "is an adapter" in refusal(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "7", "", '{"a": "\\ud800"}', '{"a": 1' + "0" * 5000 + "}"])
def test_a_damaged_file_of_the_tokenizer_is_told(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    assert name in refusal(folder)


def test_a_tokenizer_of_another_model_is_told(folder: Path) -> None:
    for path in TINY_FOLDER.glob("tokenizer*"):
        shutil.copy(path, folder)
    assert "its tokens go to 726, the model knows 516" in refusal(folder)


@pytest.mark.parametrize("number", [-1, 1.5, "7", None, 2**63])
def test_a_vocabulary_of_nonsense_is_told(folder: Path, number: object) -> None:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["vocab"][next(iter(document["model"]["vocab"]))] = number
    path.write_text(json.dumps(document))
    assert "tokenizer" in refusal(folder)


@pytest.mark.parametrize("option", ["model_max_length", "padding_side", "added_tokens_decoder", "unk_token"])
@pytest.mark.parametrize("value", ["far", -3, [1], {"1": 2}])
def test_options_of_a_tokenizer_of_a_wrong_kind_are_told_or_of_no_effect(
    folder: Path, option: str, value: object
) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {option: value}))
    said = ""
    try:
        found = len(load_tokenizer(folder)("cat")["input_ids"])
    except ModelUnavailable as error:
        found, said = 0, str(error)
    assert found == 3 or "tokenizer" in said
