"""Readers of video benchmarks on made folders in each one's layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from sam3_evals.datasets import OPENERS, VIDEOS, asks_videos, open_dataset
from sam3_evals.metrics.video.masklets import masklet_of
from sam3_evals.sample import Case, Footage

from sam3_agent import masks
from sam3_agent.errors import InputError
from tests.evals.video.fixtures_videos import FRAMES, SIZE, mevis, reasonvos, refytvos, revos, walk, write_json


def cases(spec: str) -> list[Case]:
    return list(open_dataset(spec, "oracle").cases(None))


def bitmaps(case: Case, target: int = 0) -> list[np.ndarray]:
    nothing = np.zeros(SIZE, dtype=bool)
    masklet = masklet_of(case.targets[target], case.frames)
    return [masks.decode(masklet[i]) if i in masklet else nothing for i in range(case.frames)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_mevis_asks_every_expression_with_all_its_objects(tmp_path: Path) -> None:
    found = cases(f"mevis:{mevis(tmp_path)}")
    assert [case.id for case in found] == [f"{video}/{i}" for video in ("one", "two") for i in range(3)]
    assert [len(case.targets) for case in found[:3]] == [1, 2, 0]
    assert (found[0].frames, found[0].size) == (FRAMES, (SIZE[0], SIZE[1] * FRAMES))
    assert same(bitmaps(found[0]), walk(0))
    assert [bool(mask.any()) for mask in bitmaps(found[1], 1)] == [True, True, True, False]
    source = open_dataset(f"mevis:{tmp_path}", "oracle").picture(found[4])
    assert isinstance(source, Footage)
    assert [path.name for path in source.frames] == [f"{i:05d}.jpg" for i in range(FRAMES)]
    assert source.frames[0].parent.name == "two"


def test_revos_tells_referring_from_reasoning(tmp_path: Path) -> None:
    found = cases(f"revos:{revos(tmp_path)}")
    assert [case.strata for case in found] == [{"kind": "referring"}, {"kind": "reasoning"}]
    assert same(bitmaps(found[1]), walk(3))
    assert open_dataset(f"revos:{tmp_path}:train", "oracle").name == f"revos:{tmp_path}:train"
    with pytest.raises(InputError, match=r"no meta_expressions_train_\.json"):
        cases(f"revos:{tmp_path}:train")


def test_reasonvos_has_a_folder_of_pictures_for_each_object(tmp_path: Path) -> None:
    (case,) = cases(f"reasonvos:{reasonvos(tmp_path)}")
    assert (case.query, case.strata) == ("Which one leaves?", {"form": "sentence", "source": "mose"})
    assert same(bitmaps(case), walk(2))


def test_ref_youtube_vos_paints_all_objects_into_one_picture(tmp_path: Path) -> None:
    (case,) = cases(f"refytvos:{refytvos(tmp_path)}")
    assert same(bitmaps(case), walk(0, 25))


def test_veval_asks_every_pair_and_those_without_masklets_are_negative(shared_data: Path) -> None:
    path = shared_data / "sam3_veval_toy" / "toy_saco_veval_sav_test_gt.json"
    found = cases(f"veval:{path}")
    assert [len(case.targets) for case in found].count(0) == 1
    assert sum(len(case.targets) for case in found) == 33
    assert (found[0].frames, found[0].size) == (146, (1280, 720 * 146))
    with pytest.raises(InputError, match="say where: DATASET@FOLDER"):
        open_dataset(f"veval:{path}", "oracle").picture(found[0])


def test_a_case_of_a_video_survives_json_and_one_of_a_picture_is_as_before(tmp_path: Path) -> None:
    for case in cases(f"mevis:{mevis(tmp_path)}"):
        assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case
    assert "frames" not in Case("c", "p", "q", (4, 4)).to_json()


def test_splits_whose_truth_lies_on_a_server_say_so(tmp_path: Path) -> None:
    (mevis(tmp_path) / "mask_dict.json").unlink()
    with pytest.raises(InputError, match="the truth of this split lies on a server"):
        cases(f"mevis:{tmp_path}")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda root: write_json(root / "mask_dict.json", {"11": [None]}), "11: 1 masks for 4 frames"),
        (lambda root: write_json(root / "mask_dict.json", {}), "no annotation 11"),
        (
            lambda root: write_json(root / "mask_dict.json", {"11": [{"size": [1]}] * 4}),
            "mask_dict.json: 11: not a COCO",
        ),
        (lambda root: (root / "meta_expressions.json").write_text("{"), "not JSON"),
        (lambda root: write_json(root / "meta_expressions.json", {"videos": {}}), "videos: Dictionary should have"),
        (lambda root: (root / "JPEGImages" / "one" / "00000.jpg").unlink(), "the frame 00000 is not here"),
    ],
)
def test_broken_folders_are_refused_in_one_sentence(change: object, sentence: str, tmp_path: Path) -> None:
    assert callable(change)
    change(mevis(tmp_path))
    with pytest.raises(InputError, match=sentence):
        cases(f"mevis:{tmp_path}")


def test_every_video_dataset_is_known_as_one(tmp_path: Path) -> None:
    assert set(OPENERS) >= VIDEOS
    assert asks_videos(f"mevis:{tmp_path}")
    assert not asks_videos("scenes:7")
    with pytest.raises(InputError, match="no such folder"):
        open_dataset("mevis:/nowhere", "oracle")
