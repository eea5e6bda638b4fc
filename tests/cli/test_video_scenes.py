"""`sam3-agent scenes --video`: videos, their masklets and expressions, in the forms that other readers expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.cli.commands.scenes import Order, write_scenes
from sam3_agent.errors import InputError
from sam3_agent.scenes.video import QUERY_CLIPS, draw_clip, evaluation_seed, truth_of
from sam3_agent.video import open_video
from tests.cli.conftest import Run

SEED, COUNT, FRAMES = 3, 3, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos as frame folders."""
    out = tmp_path_factory.mktemp("videos") / "frames"
    write_scenes(Order(COUNT, SEED, "frames", FRAMES), out)
    return out


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_masklets_are_exact(folder: Path) -> None:
    index = _read(folder / "instances.json")
    names = {entry["id"]: entry["name"] for entry in index["categories"]}
    assert [video["length"] for video in index["videos"]] == [FRAMES] * COUNT
    for number, video in enumerate(index["videos"]):
        assert video["seed"] == evaluation_seed(SEED, number)
        clip = draw_clip(video["seed"], FRAMES, options=QUERY_CLIPS)
        found = [entry for entry in index["annotations"] if entry["video_id"] == video["id"]]
        assert len(found) == int((clip.areas > 0).any(axis=0).sum())
        for entry in found:
            k = entry["id"] % 100 - 1
            assert names[entry["category_id"]] == clip.objects[k].noun
            assert [area or 0 for area in entry["areas"]] == clip.areas[:, k].tolist()
            for t, rle in enumerate(entry["segmentations"]):
                assert (rle is None) == (entry["bboxes"][t] is None) == (clip.areas[t, k] == 0)
                assert rle is None or np.array_equal(masks.decode(masks.from_json(rle)), clip.masks[t, k])


def test_frames_lie_where_the_index_says_and_open_as_a_video(folder: Path) -> None:
    for video in _read(folder / "instances.json")["videos"]:
        paths = [folder / "JPEGImages" / name for name in video["file_names"]]
        assert sorted((folder / "JPEGImages" / video["video_name"]).iterdir()) == paths
        with Image.open(paths[0]) as picture:
            assert picture.size == (video["width"], video["height"])
        assert open_video(folder / "JPEGImages" / video["video_name"], fps=12.0).info.frames == FRAMES


def test_expressions_and_masks_are_found_as_in_mevis(folder: Path) -> None:
    meta, mask_dict = _read(folder / "meta_expressions.json")["videos"], _read(folder / "mask_dict.json")
    queries = _read(folder / "queries.json")
    told = [entry["exp"] for video in meta.values() for entry in video["expressions"].values()]
    assert told == [query["text"] for query in queries]
    for name, video in meta.items():
        assert video["frames"] == [path.stem for path in sorted((folder / "JPEGImages" / name).iterdir())]
        for entry in video["expressions"].values():
            assert len(entry["anno_id"]) == len(entry["obj_id"])
            assert all(len(mask_dict[str(number)]) == FRAMES for number in entry["anno_id"])


def test_phrases_are_pairs_with_as_many_masklets_as_they_say(folder: Path) -> None:
    index = _read(folder / "concepts.json")
    categories = {entry["id"]: entry["name"] for entry in index["categories"]}
    assert len(set(categories.values())) == len(categories)
    assert any(pair["num_masklets"] == 0 for pair in index["video_np_pairs"])
    for pair in index["video_np_pairs"]:
        assert categories[pair["category_id"]] == pair["noun_phrase"]
        found = [
            entry
            for entry in index["annotations"]
            if (entry["video_id"], entry["category_id"]) == (pair["video_id"], pair["category_id"])
        ]
        assert len(found) == pair["num_masklets"]
        assert all(entry["noun_phrase"] == pair["noun_phrase"] for entry in found)
    assert len({entry["id"] for entry in index["annotations"]}) == len(index["annotations"])


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_a_video_file_shows_the_frames_that_the_truth_is_about(form: Any, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV, the extra [video], is not installed")
    out = tmp_path / form
    report = write_scenes(Order(1, SEED, form, FRAMES), out)
    (entry,) = _read(out / "instances.json")["videos"]
    video = open_video(out / entry["video_file"])
    clip = draw_clip(entry["seed"], FRAMES, options=QUERY_CLIPS)
    assert (video.info.width, video.info.height, video.info.frames) == (entry["width"], entry["height"], FRAMES)
    assert video.info.fps == pytest.approx(entry["fps"], rel=0.02)
    for frame, drawn in zip(video.frames(), clip.frames, strict=True):
        assert np.abs(frame.image.astype(int) - drawn).mean() < 10
    assert report.objects == int((truth_of(clip).areas > 0).any(axis=0).sum())


def test_the_same_call_goes_on_and_another_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    write_scenes(Order(2, SEED, "frames", FRAMES), out)
    again = write_scenes(Order(2, SEED, "frames", FRAMES), out)
    assert again.images == 2
    for other in (Order(2, SEED, "frames", 9), Order(2, SEED, "mp4", FRAMES), Order(2, SEED, "coco")):
        with pytest.raises(InputError, match=r"holds 2 scenes of seed 3 as frames"):
            write_scenes(other, out)
    name = "JPEGImages/000001/00005.jpg"
    assert (out / name).read_bytes() == (folder / name).read_bytes()


def test_the_command_reports_what_it_wrote(run: Run, tmp_path: Path) -> None:
    order = ("scenes", "--video", "--out", tmp_path / "v", "--count", 1, "--seed", SEED, "--frames", 4)
    ran = run(*order, "--format", "frames", "--json")
    assert (ran.status, ran.err) == (0, "")
    report = ran.json()
    assert (report["videos"], report["frames"], report["format"]) == (1, 4, "frames")
    assert "images" not in report


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--frames", 4), "add --video"),
        (("--format", "mp4"), "add --video"),
        (("--video", "--format", "coco"), "coco is a format of images"),
        (("--video", "--seed", 2_000_000), "larger ones are for training"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: tuple[Any, ...], reason: str, run: Run, tmp_path: Path
) -> None:
    ran = run("scenes", "--out", tmp_path / "v", "--count", 1, *options)
    assert ran.status == 2
    assert reason in ran.error()
    assert not (tmp_path / "v").exists()
