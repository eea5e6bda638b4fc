"""The memory parts of checkpoints: by the names of facebook/sam3, whole or not at all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.loading import load_tracker
from sam3_agent.model.tracking.loading import load_video_tracker
from sam3_agent.model.tracking.parts import MemoryParts
from sam3_agent.model.tracking.video_tracker import VideoTracker
from tests.model.conftest import small_config, small_tracker_config, small_video_tracker

CPU = torch.device("cpu")


def written(folder: Path, *, without: str = "", own_point: bool = False) -> Path:
    """A checkpoint in the layout of facebook/sam3, as far as the tracker half reads it."""
    video = small_video_tracker()
    tensors = {name: value.contiguous() for name, value in video.tracker.state_dict().items()}
    parts = {f"tracker_model.{name}": value.contiguous() for name, value in video.parts.state_dict().items()}
    if not own_point:
        del parts["tracker_model.tracking_point"]
    tensors |= {name: value for name, value in parts.items() if not without or without not in name}
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "sam3_video",
        "detector_config": small_config().to_dict(),
        "tracker_config": small_tracker_config().to_dict(),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def loaded(folder: Path) -> VideoTracker | None:
    return load_video_tracker(folder, load_tracker(folder, CPU, torch.float32), CPU, torch.float32)


@pytest.mark.parametrize("size", ["full", "small"])
def test_names_and_shapes_are_those_of_transformers(size: str) -> None:
    config = Sam3TrackerVideoConfig() if size == "full" else Sam3TrackerVideoConfig(memory_attention_num_layers=1)
    with torch.device("meta"):
        ours = {name: tuple(value.shape) for name, value in MemoryParts(config).state_dict().items()}
        whole = Sam3TrackerVideoModel(config, remove_vision_encoder=True).state_dict()
    theirs = {name: tuple(value.shape) for name, value in whole.items()}
    del ours["tracking_point"]
    assert ours.items() <= theirs.items()
    clicks = ("shared_image_embedding", "prompt_encoder", "mask_decoder", "no_memory_embedding")
    left = {name for name in theirs.keys() - ours.keys() if not name.startswith(clicks)}
    assert left == {"no_memory_positional_encoding"}  # which no code reads


def test_the_padding_point_is_that_of_clicks_unless_the_weights_have_one_of_their_own(tmp_path: Path) -> None:
    tracker = loaded(written(tmp_path))
    assert tracker is not None
    encoder = tracker.tracker.tracker_model.prompt_encoder
    assert torch.equal(tracker.parts.tracking_point, encoder.not_a_point_embed.weight)
    tracker = loaded(written(tmp_path, own_point=True))
    assert tracker is not None
    assert torch.equal(tracker.parts.tracking_point, small_video_tracker().parts.tracking_point)


def test_a_checkpoint_without_memory_still_clicks(checkpoint: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, without="no_object_pointer")
    assert loaded(folder) is None
    assert load_tracker(folder, CPU, torch.float32) is not None


def test_half_a_memory_is_refused_with_the_name_of_what_is_missing(tmp_path: Path) -> None:
    folder = written(tmp_path, without="cross_attn_image.k_proj")
    with pytest.raises(ModelUnavailable, match=r"tracker_model\.memory_attention\.layers\.0\.cross_attn_image\.k_proj"):
        loaded(folder)


def test_a_memory_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["tracker_model.no_object_pointer"] = torch.zeros(1, 31)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelUnavailable, match="no_object_pointer"):
        loaded(folder)
