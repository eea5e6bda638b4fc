"""Meta's own sam3.pt, without Meta's: the parity oracle's weights in Meta's names give the same tensors and answers."""

import gzip
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model import clip_tokenizer
from sam3_agent.model.loading import load_tokenizer, locate
from sam3_agent.model.official_checkpoint import new_name, read_tensors, rename
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ConceptPrompt
from tests.model.conftest import PARITY
from tests.model.fixtures_official import in_official_layout

NAMES = """
detector.backbone.vision_backbone.trunk.blocks.3.attn.qkv.weight
    detector_model.vision_encoder.backbone.layers.3.attention.qkv.weight
backbone.vision_backbone.convs.0.dconv_2x2_1.bias
    detector_model.vision_encoder.neck.fpn_layers.0.scale_layers.2.bias
detector.backbone.vision_backbone.sam2_convs.2.conv_1x1.bias
    tracker_neck.fpn_layers.2.proj1.bias
sam3_model.transformer.decoder.layers.1.norm1.bias
    detector_model.detr_decoder.layers.1.vision_cross_attn_layer_norm.bias
detector.transformer.decoder.bbox_embed.layers.2.bias
    detector_model.detr_decoder.box_head.layer3.bias
detector.segmentation_head.mask_predictor.mask_embed.layers.1.bias
    detector_model.mask_decoder.mask_embedder.layers.1.bias
tracker.sam_mask_decoder.output_hypernetworks_mlps.3.layers.1.bias
    tracker_model.mask_decoder.output_hypernetworks_mlps.3.layers.0.bias
tracker.maskmem_backbone.mask_downsampler.encoder.10.bias
    tracker_model.memory_encoder.mask_downsampler.layers.3.layer_norm.bias
tracker.transformer.encoder.layers.2.cross_attn_image.out_proj.bias
    tracker_model.memory_attention.layers.2.cross_attn_image.o_proj.bias
sam2_predictor.model.no_obj_ptr
    tracker_model.no_object_pointer
detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis
    nothing
optimizer.state
    nothing
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sam3-agent" / "checkpoints"


@pytest.fixture
def official(checkpoint: Path, tmp_path: Path) -> Path:
    """The small model as Meta's file, its configuration and tokenizer beside it."""
    folder = tmp_path / "meta"
    folder.mkdir()
    torch.save(in_official_layout(load_file(checkpoint / "model.safetensors")), folder / "sam3.pt")
    for path in checkpoint.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, folder)
    return folder / "sam3.pt"


@pytest.mark.skipif(
    not PARITY.is_dir(), reason="the parity oracle's weights (../shared/data/official_parity) are not here"
)
def test_every_tensor_of_the_oracle_comes_back_from_metas_names_unchanged() -> None:
    wanted = load_file(PARITY / "model.safetensors")
    found = rename(in_official_layout(wanted))
    assert set(found) == set(wanted)
    assert [name for name, value in wanted.items() if not torch.equal(found[name], value)] == []


@pytest.mark.parametrize("pair", NAMES.strip().replace("\n    ", " ").splitlines())
def test_names_of_both_layouts_stand_for_the_same_weights(pair: str) -> None:
    official_name, ours = pair.split()
    assert (new_name(official_name) or "nothing") == ours


def test_metas_file_answers_like_the_folder_it_was_made_of(
    official: Path, checkpoint: Path, cache: Path, picture: np.ndarray
) -> None:
    answers = []
    for source in (official, checkpoint):
        segmenter = Sam3.load(source, device="cpu", dtype="float32")
        seen = segmenter.encode(picture)
        answers.append((segmenter.detect(seen, [ConceptPrompt("cat"), ConceptPrompt("ta")]), segmenter.fingerprint))
    assert answers[0] == answers[1]
    assert [path.name for path in cache.iterdir()] == [locate(official)[1].name]


def test_the_file_is_read_once_and_again_when_it_changes(official: Path, cache: Path) -> None:
    name, first = locate(official)
    made = (first / "model.safetensors").stat().st_mtime_ns
    assert (name, locate(str(official))[1]) == (str(official), first)
    assert (first / "model.safetensors").stat().st_mtime_ns == made
    tensors = read_tensors(official)
    torch.save({"model": tensors, "optimizer": {"lr": 1.0}}, official)
    assert locate(official)[1] != first


def test_a_file_without_the_trackers_neck_keeps_phrases_and_boxes(official: Path, cache: Path) -> None:
    later = {name.replace("sam2_convs", "interactive_convs"): value for name, value in read_tensors(official).items()}
    torch.save(later, official)
    found = load_file(locate(official)[1] / "model.safetensors")
    assert {name.partition(".")[0] for name in found} == {"detector_model"}


class Planted:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('ran', 'w').close()",)


@pytest.mark.parametrize("kind", ["pickle", "torch", "rubbish", "empty", "list"])
def test_a_file_that_holds_more_than_tensors_is_refused_and_runs_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sam3.pt"
    if kind == "torch":
        torch.save({"detector.x": Planted()}, path)
    elif kind == "list":
        torch.save([torch.ones(1)], path)
    else:
        path.write_bytes({"pickle": pickle.dumps(Planted()), "rubbish": b"no checkpoint", "empty": b""}[kind])
    with pytest.raises(ModelUnavailable, match=r"sam3.pt' (is no checkpoint that holds only tensors|holds a list)"):
        locate(path)
    assert not (tmp_path / "ran").exists()
    assert not cache.exists()


def test_the_weights_of_another_model_are_no_sam_3(tmp_path: Path, cache: Path) -> None:
    torch.save({"layer1.weight": torch.ones(2)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelUnavailable, match="holds no SAM 3"):
        locate(tmp_path / "resnet.pth")


def test_the_tokenizer_is_made_of_metas_merges_file(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        "",
        *letters,
        *(a + b for a in letters for b in letters),
        *(a + b + c for a in letters for b in letters for c in letters),
    ]
    pairs = [f"{word} {letter}" for word in words if word for letter in letters][:48894]
    path = tmp_path / clip_tokenizer.MERGES
    path.write_bytes(gzip.compress("\n".join(["#version", *pairs, *["left over"] * 9]).encode()))
    tokenizer = clip_tokenizer.from_merges(path)
    ids = tokenizer("ab!", verbose=False)["input_ids"]
    assert (ids[0], ids[-1], len(tokenizer)) == (49406, 49407, 49408)
    assert load_tokenizer(tmp_path)("ab!", verbose=False)["input_ids"] == ids
    path.write_bytes(gzip.compress(b"#version\na b\n"))
    with pytest.raises(ModelUnavailable, match="does not hold the 48894 merges"):
        clip_tokenizer.from_merges(path)
