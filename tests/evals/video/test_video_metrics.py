"""J, F, HOTA and cgF1 of videos against Meta's recorded figures, the definitions, and cases known by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sam3_evals.metrics import cgf1
from sam3_evals.metrics.video.hota import COLUMNS, hota_figures, hota_row
from sam3_evals.metrics.video.masklets import Masklet, masklet_of, union_of, volume_of
from sam3_evals.metrics.video.region import boundary_f, frame_score, score_frames

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.video.ytvis import read_predictions, read_ytvis


def square(x: int, y: int, side: int, size: tuple[int, int] = (60, 80)) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def boundary_by_definition(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixel by pixel, as davis2017-evaluation words it."""
    height, width = mask.shape
    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            right = mask[y, min(x + 1, width - 1)]
            below = mask[min(y + 1, height - 1), x]
            across = mask[min(y + 1, height - 1), min(x + 1, width - 1)]
            if y == height - 1 and x == width - 1:
                continue
            if y == height - 1:
                found[y, x] = mask[y, x] != right
            elif x == width - 1:
                found[y, x] = mask[y, x] != below
            else:
                found[y, x] = bool({right, below, across} - {mask[y, x]})
    return found


def f_by_definition(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    radius = np.ceil(0.008 * np.hypot(*one.shape))
    edges = [np.argwhere(boundary_by_definition(mask)) for mask in (one, other)]
    if not all(len(edge) for edge in edges):
        return float(len(edges[0]) == len(edges[1]))
    apart = ((edges[0][:, None] - edges[1][None]) ** 2).sum(axis=2)
    precision = (apart.min(axis=1) <= radius**2).mean()
    recall = (apart.min(axis=0) <= radius**2).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def test_the_boundary_score_is_the_one_of_the_definition_wherever_the_masks_lie() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(v) for v in rng.integers(20, 90, 2))
        pair = []
        for _ in range(2):
            yy, xx = np.mgrid[:height, :width]
            cy, cx = rng.integers(0, height), rng.integers(0, width)
            pair.append((yy - cy) ** 2 + ((xx - cx) * rng.uniform(0.5, 2)) ** 2 <= rng.integers(2, 25) ** 2)
        assert boundary_f(*pair) == pytest.approx(f_by_definition(*pair), abs=1e-12)


def test_a_mask_moved_by_a_pixel_has_a_perfect_boundary_and_a_lower_region() -> None:
    one, other = (masks.encode(square(x, 20, 20, (480, 640))) for x in (20, 21))  # tolerance: 7 pixels
    j, f = frame_score(one, other)
    assert (j, f) == (pytest.approx(19 / 21), 1.0)


def test_frames_without_an_object_count_one_when_nothing_is_said_and_zero_else() -> None:
    some, nothing = masks.encode(square(5, 5, 9)), masks.empty(60, 80)
    assert [frame_score(None, None), frame_score(nothing, None)] == [(1.0, 1.0)] * 2
    assert [frame_score(some, None), frame_score(None, some), frame_score(nothing, some)] == [(0.0, 0.0)] * 3
    scored = score_frames([some, None, some], [some, None, None])
    assert (scored.j, scored.f, scored.jf) == (pytest.approx(2 / 3),) * 3
    with pytest.raises(InputError, match="1 predicted frames for 2 true ones"):
        score_frames([some], [some, some])


FRAMES, TOY_SIZE = 146, (1280, 720)
"""Of Meta's toy video; (height, width)."""


@pytest.fixture(scope="module")
def toy(shared_data: Path) -> tuple[dict[str, Any], list[tuple[int, list[Masklet], list[Masklet], list[float]]]]:
    """Meta's figures, and (category, truth, predictions, scores) of every pair."""
    folder = shared_data / "sam3_veval_toy"
    if not folder.is_dir():
        pytest.skip("Meta's toy figures (../shared/data/sam3_veval_toy) are not here")
    (video,) = read_ytvis(folder / "toy_saco_veval_sav_test_gt.json")
    said = read_predictions(folder / "toy_saco_veval_sav_test_pred.json", [video])
    pairs: list[tuple[int, list[Masklet], list[Masklet], list[float]]] = []
    for pair in video.pairs:
        truth: list[Masklet] = [
            {f.index: f.rle for f in track.frames} for track in video.tracks.tracks if track.concept == pair.phrase
        ]
        tracks = said.get((0, pair.category_id), ())
        predicted: list[Masklet] = [{f.index: f.rle for f in track.frames} for track in tracks]
        pairs.append((pair.category_id, truth, predicted, [track.score for track in tracks]))
    return json.loads((folder / "toy_saco_veval_sav_test_eval_res.json").read_text()), pairs


def test_cgf1_of_videos_is_metas(toy: Any) -> None:
    recorded, pairs = toy
    volumes = [
        ([volume_of(m, FRAMES, TOY_SIZE) for m in said], [volume_of(m, FRAMES, TOY_SIZE) for m in true], scores)
        for _, true, said, scores in pairs
    ]
    found = cgf1.aggregate(cgf1.score_masks(said, true, scores) for said, true, scores in volumes)
    figures = recorded["dataset_results"]
    assert found.cgf1 == pytest.approx(0.2000763, abs=1e-6)
    for name, theirs in {
        "cgf1": "cgf1_micro_50_95",
        "il_mcc": "ilmcc_50_95",
        "f1": "f1_50_95",
        "positive_micro_f1": "positive_micro_f1_50_95",
        "positive_macro_f1": "pmf1_50_95",
        "positive_macro_f1_with_missed": "pmf1_w0dt_50_95",
        "cgf1_50": "cgf1_micro_50",
        "cgf1_75": "cgf1_micro_75",
        "precision": "precision_50_95",
        "recall": "recall_50_95",
    }.items():
        assert getattr(found, name) == pytest.approx(figures[f"video_mask_demo_{theirs}"], abs=1e-6), name


NAMES = {
    "hota": "HOTA", "det_a": "DetA", "ass_a": "AssA", "det_re": "DetRe", "det_pr": "DetPr", "ass_re": "AssRe",
    "ass_pr": "AssPr", "loc_a": "LocA",
}  # fmt: skip


def test_phota_is_metas_over_all_pairs_and_for_every_one(toy: Any) -> None:
    recorded, pairs = toy
    single = {(r["video_id"], r["category_id"]): r for r in recorded["video_np_results"]}
    sums, compared = np.zeros(COLUMNS), 0
    for category, true, said, scores in pairs:
        row = hota_row([m for m, score in zip(said, scores, strict=True) if score > 0.5], true)
        sums += row
        for name, theirs in NAMES.items():
            value, figure = float(hota_figures(row)[name]), single.get((0, category), {}).get(f"mask_{theirs}")
            if figure is not None and figure >= 0:
                assert value == pytest.approx(figure, abs=1e-6), (category, name)
                compared += 1
    assert compared >= 40
    found = hota_figures(sums)
    assert float(found["hota"]) == pytest.approx(0.4656080, abs=1e-6)
    for name, theirs in NAMES.items():
        assert float(found[name]) == pytest.approx(
            recorded["dataset_results"][f"video_mask_all_phrase_{theirs}"], abs=1e-6
        )


def walking(start: int, frames: range, y: int = 10) -> Masklet:
    return {t: masks.encode(square(start + t, y, 10)) for t in frames}


def test_hota_of_a_perfect_answer_is_one_and_of_a_switch_in_the_middle_is_known() -> None:
    truth = [walking(0, range(10)), walking(0, range(10), 40)]
    perfect = hota_figures(hota_row(truth, truth))
    assert {name: float(value) for name, value in perfect.items()} == {name: 1.0 for name in perfect}
    switched = [
        {t: (truth[0] if t < 5 else truth[1])[t] for t in range(10)},
        {t: (truth[1] if t < 5 else truth[0])[t] for t in range(10)},
    ]
    found = hota_figures(hota_row(switched, truth))
    # Each pair shares 5 of 15 frames: AssA is 1/3, and nothing is missed.
    assert float(found["det_a"]) == 1
    assert float(found["ass_a"]) == pytest.approx(1 / 3)
    assert float(found["hota"]) == pytest.approx(np.sqrt(1 / 3))
    assert float(found["hota_50"]) == pytest.approx(np.sqrt(1 / 3))


def test_hota_of_nothing_said_is_zero_and_of_nothing_at_all_has_no_basis() -> None:
    truth = [walking(0, range(10))]
    assert float(hota_figures(hota_row([], truth))["hota"]) == 0
    assert float(hota_figures(hota_row(truth, []))["det_pr"]) == 0
    assert np.isnan(hota_figures(hota_row([], []))["hota"])


def test_masklets_become_volumes_and_come_back() -> None:
    half, other = walking(0, range(5)), walking(0, range(3, 6), 40)
    volumes = [volume_of(masklet, 7, (60, 80)) for masklet in (half, other, {})]
    assert [masklet_of(volume, 7) for volume in volumes] == [half, other, {}]
    assert [masks.area(volume) for volume in volumes] == [500, 300, 0]
    both = union_of(volumes, 7)
    assert [0 if rle is None else masks.area(rle) for rle in both] == [100, 100, 100, 200, 200, 100, 0]
    assert union_of([], 2) == [None, None]
