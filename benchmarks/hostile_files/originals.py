"""Sound files of every kind, as the originals that are mutated: each kind has a folder of its own."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from transformers import Sam3Config, Sam3Model

from benchmarks.label_files.originals import write_originals as write_label_files
from sam3_agent.formats.video import cvat_video, label_studio_video, mot, mots, sav, tracks_csv, ytvis
from sam3_agent.formats.video.track_set import TrackSet
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.recording import RecordingLLM
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.trace import write_trace
from sam3_agent.model.loading import TINY_FOLDER
from sam3_agent.model.sam3 import Sam3
from sam3_agent.workspace.tracking.edits import Edit
from sam3_agent.workspace.tracking.journal import Header, JournalWriter
from tests.evals.fixtures_runs import Squares, whole_run
from tests.fixtures_workspace import make_workspace
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes
from tests.workspace.tracking.fixtures_tracks import SIZE, lines_of, moving, track_of

LABELS = ("coco", "yolo", "labelme", "cvat", "reasonseg", "saco", "yaml", "concept")
SCENES = 2


def write_originals(root: Path) -> None:
    """Write a folder of each kind below `root`, and images/ for the label files."""
    root.mkdir()
    write_label_files(root)
    for kind, write in _WRITERS.items():
        (root / kind).mkdir()
        write(root / kind)


def _recording(folder: Path) -> None:
    calls = (
        ToolCall("1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]}),
        ToolCall("2", "submit_answer", {"mask_ids": ["m1"], "reason": "it is the circle"}),
    )
    llm = RecordingLLM(ScriptedLLM(*calls, name="anthropic:some-model"), folder / "recording.jsonl")
    Agent(make_workspace(), llm).ask("img1", "the circle")


def _trace(folder: Path) -> None:
    calls = (ToolCall("1", "submit_answer", {"mask_ids": ["m1"]}), "a text", ToolCall("2", "report_no_match", {}))
    answer = Agent(make_workspace(), ScriptedLLM(*calls), keep_pictures=True).ask("img1", "the circle")
    write_trace(answer.trace, folder / "trace.jsonl")


def _journal(folder: Path) -> None:
    write_scenes(folder / "images", SCENES)
    label(folder / "images", folder / "run", knowing_segmenter(SCENES)).close()


def _tracks(folder: Path) -> None:
    fish = track_of("t1", moving((0, 10, 10, 20), (2, 0), range(6)))
    star = track_of("t2", moving((50, 30, 60, 40), (0, 0), range(2, 6)), "star")
    header = Header("fish.mp4", SIZE[1], SIZE[0], "paper", 10.0, {"concepts": ["fish", "star"]})
    with JournalWriter(folder / "tracks.jsonl", header) as journal:
        for line in lines_of([fish, star], 6):
            journal.write(line)
        journal.edit(Edit("relabel", "t1", concept="carp"))


def _videos(folder: Path) -> None:
    fish = track_of("t1", moving((0, 10, 10, 20), (2, 0), range(6)))
    video = TrackSet("clip", SIZE[1], SIZE[0], 6, (fish,), 10.0)
    sav.write_sav(video, folder / "sav.json")
    ytvis.write_ytvis([video], folder / "ytvis.json")
    label_studio_video.write_label_studio_video([video], folder / "studio")
    cvat_video.write_cvat_video(video, folder / "cvat.xml")
    mot.write_mot(video, folder / "mot")
    mots.write_mots_txt(video, folder / "mots.txt")
    tracks_csv.write_tracks_csv(video, folder / "tracks.csv")


def _run(folder: Path) -> None:
    whole_run(folder / "run", Squares(4))


def _prices(folder: Path) -> None:
    prices = {"some-model": {"input": 3, "output": 15.0, "cache_read": 0.3, "cache_write": 3.75}}
    (folder / "prices.json").write_text(json.dumps(prices))


def _tokens(folder: Path) -> None:
    lines = ["# tokens of this server", "ann:" + "a" * 40, "bob:" + "b" * 40 + " images=3 calls=2", "c" * 40]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n")


def _model(folder: Path) -> None:
    """A small model with random weights in two shards, with the embedded model's tokenizer."""
    cast(Any, torch).manual_seed(0)
    width: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    grid = {"image_size": 96, "patch_size": 8, "pretrain_image_size": 48, "window_size": 6, "global_attn_indexes": [1]}
    text = {"model_type": "clip_text_model", "vocab_size": 727, "bos_token_id": 725, "eos_token_id": 726}
    config = Sam3Config(
        vision_config={
            "backbone_config": {"model_type": "sam3_vit_model", "num_hidden_layers": 2, **grid, **width},
            "fpn_hidden_size": 32,
        },
        text_config={**text, "max_position_embeddings": 32, "num_hidden_layers": 1, **width},
        geometry_encoder_config={"num_layers": 1, "roi_size": 3, **width},
        detr_encoder_config={"num_layers": 1, **width},
        detr_decoder_config={"num_layers": 2, "num_queries": 12, **width},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 4},
    )
    tensors = {name: value.contiguous() for name, value in cast(Any, Sam3Model)(config).state_dict().items()}
    places = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(sorted(tensors))}
    for shard in sorted(set(places.values())):
        save_file({name: tensors[name] for name in tensors if places[name] == shard}, folder / shard, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    for path in TINY_FOLDER.glob("tokenizer*"):
        (folder / path.name).write_bytes(path.read_bytes())
    Sam3.load(folder, device="cpu")  # the original itself is sound


_WRITERS: Mapping[str, Callable[[Path], None]] = {
    "recording": _recording,
    "trace": _trace,
    "journal": _journal,
    "tracks": _tracks,
    "videos": _videos,
    "run": _run,
    "prices": _prices,
    "tokens": _tokens,
    "model": _model,
}
