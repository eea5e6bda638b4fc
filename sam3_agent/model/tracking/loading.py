"""The memory parts of a checkpoint."""

from pathlib import Path

import torch

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.loading import first_line, read_tensors, tracker_config, tracker_files
from sam3_agent.model.model_folder import NONSENSE
from sam3_agent.model.tracker import Tracker
from sam3_agent.model.tracking.parts import MemoryParts
from sam3_agent.model.tracking.video_tracker import VideoTracker

PREFIX = "tracker_model."
OWN_POINT = "tracking_point"
CLICKS_POINT = "prompt_encoder.not_a_point_embed.weight"


def load_video_tracker(
    folder: Path, tracker: Tracker | None, device: torch.device, dtype: torch.dtype
) -> VideoTracker | None:
    """The tracker with its memory, or None where the checkpoint has no memory parts; names as in facebook/sam3.

    Raises:
        ModelUnavailable: the parts are damaged or incomplete, or do not fit the folder's config.json.
    """
    if tracker is None:
        return None
    try:
        places = tracker_files(folder)
        if f"{PREFIX}no_object_pointer" not in places:
            return None
        with torch.device("meta"):
            parts = MemoryParts(tracker_config(folder)).eval()
        wanted = parts.state_dict()
        names = {name: f"{PREFIX}{name}" for name in wanted}
        if names[OWN_POINT] not in places:
            names[OWN_POINT] = f"{PREFIX}{CLICKS_POINT}"
        read = read_tensors(places, [place for place in names.values() if place in places])
    except NONSENSE as error:
        raise ModelUnavailable(f"the weights in '{folder}' cannot be read ({first_line(error)})") from error
    found = {name: read[place] for name, place in names.items() if place in read}
    bad = sorted(name for name, value in wanted.items() if name not in found or found[name].shape != value.shape)
    if bad:
        raise ModelUnavailable(
            f"the weights in '{folder}' do not fit their config.json: {len(bad)} tensors of the tracker's memory are"
            f" missing or of another shape (first: {PREFIX}{bad[0]})"
        )
    parts.load_state_dict({name: value.to(device, dtype) for name, value in found.items()}, assign=True)
    return VideoTracker(tracker, parts).eval()
