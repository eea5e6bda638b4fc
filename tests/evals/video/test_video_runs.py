"""Runs over videos: solved, scored, resumed, sharded, compared and reported as runs over pictures are."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sam3_evals.average_precision import average_precision
from sam3_evals.compare import compare
from sam3_evals.datasets import open_dataset
from sam3_evals.merge import merge
from sam3_evals.metrics.video.masklets import volume_of
from sam3_evals.prediction import Prediction
from sam3_evals.report.page import write_report
from sam3_evals.run import Plan, execute, prepare, read_predictions
from sam3_evals.score import score_run
from sam3_evals.shard import Shard
from sam3_evals.solvers import check_solver, make_solver
from sam3_evals.solvers.function import FunctionSolver
from sam3_evals.solvers.video.agent import VideoAgentSolver
from sam3_evals.solvers.video.concept import VideoConceptSolver
from sam3_evals.solvers.video.function import Frames, VideoFunctionSolver
from sam3_evals.solvers.video.oracle import VideoOracleSolver
from sam3_evals.table import score_table

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.video.ytvis import read_predictions as read_masklets
from sam3_agent.formats.video.ytvis import read_ytvis
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.planner import RulesLLM
from sam3_agent.types import Candidate, Detection
from sam3_agent.workspace import Workspace
from tests.evals.video.fixtures_videos import FRAMES, SIZE, mevis, square, walk


def answering(frames: Sequence[np.ndarray], query: str) -> object:
    """Perfect about one object, half of two, and something where there is nothing, in two frames of four."""
    assert len(frames) == FRAMES
    assert frames[0].shape == (*SIZE, 3)
    if query == "the circle":
        return {"masks": [[square(1), None, square(1), None]], "scores": [0.6], "presence": 0.7}
    return np.stack([np.stack(walk(0))])


def plan_of(folder: Path, shard: Shard | None = None) -> Plan:
    dataset = open_dataset(f"mevis:{folder}", "oracle")
    return Plan(dataset, "function", "", "") if shard is None else Plan(
        dataset, "function", "", "", shard=shard
    )  # fmt: skip


def run_of(folder: Path, out: Path, shard: Shard | None = None) -> Path:
    plan = plan_of(folder, shard)
    prepare(plan, out)
    execute(out, plan.dataset, [VideoFunctionSolver(answering)])
    return out


def test_figures_of_a_run_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    score = score_run(run_of(mevis(tmp_path / "data"), tmp_path / "run"))
    document = score.to_json()
    video, gres = document["overall"]["video"], document["overall"]["gres"]
    # Of three expressions a video: one perfect; of "both" one object of two in three frames and all of it in the
    # fourth, J = (3 * .5 + 1) / 4; "the circle" is rightly empty in two frames of four.
    assert video["j"]["value"] == pytest.approx((1 + 0.625 + 0.5) / 3)
    assert video["j_target"]["value"] == pytest.approx((1 + 0.625) / 2)
    assert video["jf"]["value"] == pytest.approx((video["j"]["value"] + video["f"]["value"]) / 2)
    assert gres["n_acc"]["value"] == 0
    assert gres["t_acc"]["value"] == 1
    # Detections of a video: 4 + 4 right, 3 missed, 2 false; nothing is ever mixed up.
    assert video["det_a"]["value"] == pytest.approx(8 / 13)
    assert video["ass_a"]["value"] == 1
    assert video["phota"]["value"] == pytest.approx((8 / 13) ** 0.5)
    assert document["overall"]["instances"]["il_tp"]["value"] == 4
    assert video["jf"]["low"] == video["jf"]["high"], "both videos score alike, so no resample differs"
    table = score_table(score)
    assert "J&F" in table
    assert "pHOTA" in table


def test_a_run_stopped_in_the_middle_is_resumed_to_the_same_predictions(tmp_path: Path) -> None:
    folder = mevis(tmp_path / "data")
    whole, part = run_of(folder, tmp_path / "whole"), tmp_path / "part"
    prepare(plan_of(folder), part)
    lines = (whole / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (part / "predictions.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:30])
    answered = execute(part, plan_of(folder).dataset, [VideoFunctionSolver(answering)])
    assert answered == 4
    told = [[(p.case, p.rles, p.scores) for p in read_predictions(run)] for run in (whole, part)]
    assert told[0] == told[1]


def test_shards_of_a_video_run_are_merged_to_the_same_figures(tmp_path: Path) -> None:
    folder = mevis(tmp_path / "data")
    whole = score_run(run_of(folder, tmp_path / "whole")).to_json()
    parts = [run_of(folder, tmp_path / f"part{i}", Shard(i, 2)) for i in (1, 2)]
    merge(parts, tmp_path / "merged")
    merged = score_run(tmp_path / "merged").to_json()
    assert merged["overall"] == whole["overall"]


def test_two_video_runs_compare_and_a_report_shows_frames(tmp_path: Path) -> None:
    folder = mevis(tmp_path / "data")
    one, other = run_of(folder, tmp_path / "one"), tmp_path / "other"
    prepare(plan_of(folder), other)
    execute(other, plan_of(folder).dataset, [VideoFunctionSolver(lambda frames, query: [])])
    found = compare(one, other)
    assert found.differences["video"]["jf"]["difference"] is not None
    page = write_report(one, tmp_path / "report.html", other).read_text()
    assert page.count("data:image/webp") >= 6
    assert "pHOTA" in page


def test_the_oracle_finds_every_target_that_the_model_draws_in_a_frame(tmp_path: Path) -> None:
    folder = mevis(tmp_path / "data")
    dataset = open_dataset(f"mevis:{folder}", "oracle")
    (first, *_) = dataset.cases(None)
    drawn = [masks.encode(mask) for mask in (square(0), square(30, 25))]
    candidates = tuple(Candidate(rle, masks.box(rle), 0.9) for rle in drawn)
    workspace = Workspace(FakeSegmenter({first.query: Detection(0.9, candidates)}))
    said = VideoOracleSolver(workspace).solve(first, dataset.picture(first))
    (volume,) = said.rles
    parts = masks.split(volume, FRAMES)
    assert parts[0] == masks.encode(square(0))
    assert said.usage.encodes == FRAMES
    assert masks.area(parts[3]) == 0, "nothing that is drawn overlaps the target there"


def test_the_bare_model_is_tracked_by_its_detections(tmp_path: Path) -> None:
    dataset = open_dataset(f"mevis:{mevis(tmp_path / 'data')}", "concept")
    (first, *_) = dataset.cases(None)
    drawn = [masks.encode(mask) for mask in (square(0), square(30, 25))]
    candidates = tuple(Candidate(rle, masks.box(rle), 0.9) for rle in drawn)
    workspace = Workspace(FakeSegmenter({first.query: Detection(0.9, candidates)}))
    said = VideoConceptSolver(workspace).solve(first, dataset.picture(first))
    assert [masks.split(volume, FRAMES) for volume in said.rles] == [[rle] * FRAMES for rle in drawn]
    assert (said.presence, said.usage.encodes, len(said.scores)) == (0.9, FRAMES, 2)


def test_functions_that_answer_nonsense_are_errors_and_not_the_end(tmp_path: Path) -> None:
    dataset = open_dataset(f"mevis:{mevis(tmp_path / 'data')}", "oracle")
    (case, *_) = dataset.cases(None)
    for answer, words in (
        ([[None]], "a masklet of 1 frames for a video of 4"),
        (7, "expected masklets as an array or a list, got int"),
        ([[np.zeros((3, 3), dtype=bool)] * 4], "a mask of shape"),
    ):
        said = VideoFunctionSolver(lambda frames, query, answer=answer: answer).solve(case, dataset.picture(case))
        assert (said.outcome, words in said.error) == ("failed", True), said.error


def test_solvers_of_pictures_and_videos_refuse_each_others_cases(tmp_path: Path) -> None:
    dataset = open_dataset(f"mevis:{mevis(tmp_path / 'data')}", "oracle")
    (case, *_) = dataset.cases(None)
    with pytest.raises(InputError, match="this is a video"):
        FunctionSolver(answering).solve(case, dataset.picture(case))
    with pytest.raises(InputError, match="was given an image"):
        VideoFunctionSolver(answering).solve(case, np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="was given an image"):
        VideoAgentSolver(Workspace(FakeSegmenter({})), RulesLLM()).solve(case, np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="the solver agent needs an LLM"):
        check_solver("agent", "", videos=True)
    assert isinstance(make_solver("oracle", Workspace(FakeSegmenter({})), "", videos=True), VideoOracleSolver)


def test_the_agent_answers_about_videos_with_the_tracks_that_it_follows(tmp_path: Path) -> None:
    dataset = open_dataset(f"mevis:{mevis(tmp_path / 'data')}", "oracle")
    walking, both, none, *_ = dataset.cases(None)
    rles = [masks.encode(mask) for mask in (square(1), square(30))]
    found = Detection(0.97, tuple(Candidate(rle, masks.box(rle), 0.95) for rle in rles))
    workspace = Workspace(FakeSegmenter({"square": found}))
    solver = make_solver("agent", workspace, "rules", videos=True)
    said = [solver.solve(case, dataset.picture(case)) for case in (walking, both, none)]
    assert [each.outcome for each in said] == ["failed", "answered", "no_match"]
    assert "'walks'" in said[0].error
    volume = volume_of(dict.fromkeys(range(FRAMES), rles[0]), FRAMES, SIZE)
    assert said[1].rles[0] == volume
    assert (len(said[1].rles), said[1].usage.encodes) == (2, FRAMES)
    assert [video.source for video in workspace.videos()], "it stays open for the next case"


def test_coco_ap_is_refused_for_videos(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COCO AP is a figure of images"):
        average_precision(run_of(mevis(tmp_path / "data"), tmp_path / "run"))


def test_frames_are_decoded_when_they_are_asked_for(tmp_path: Path) -> None:
    source = open_dataset(f"mevis:{mevis(tmp_path)}", "oracle")
    (case, *_) = source.cases(None)
    footage = source.picture(case)
    frames = Frames([*footage.frames[:2], tmp_path / "gone.jpg"])  # type: ignore[union-attr]
    assert len(frames) == 3
    assert frames[0].shape == (*SIZE, 3)
    assert len(frames[:2]) == 2
    with pytest.raises(InputError):
        frames[2]


@pytest.mark.integration  # a whole run: boundaries of 1,168 frames of 1280 x 720
def test_metas_toy_predictions_as_a_run_give_metas_figures(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "sam3_veval_toy"
    if not folder.is_dir():
        pytest.skip("Meta's toy figures (../shared/data/sam3_veval_toy) are not here")
    truth = folder / "toy_saco_veval_sav_test_gt.json"
    (video,) = read_ytvis(truth)
    said = read_masklets(folder / "toy_saco_veval_sav_test_pred.json", [video])
    dataset = open_dataset(f"veval:{truth}", "oracle")
    prepare(Plan(dataset, "oracle", "", ""), tmp_path / "run")
    with (tmp_path / "run" / "predictions.jsonl").open("w") as file:
        for pair in video.pairs:
            kept = [track for track in said.get((0, pair.category_id), ()) if track.score > 0.5]
            rles = tuple(volume_of({f.index: f.rle for f in t.frames}, 146, (1280, 720)) for t in kept)
            prediction = Prediction(str(pair.id), rles, tuple(track.score for track in kept))
            file.write(json.dumps(prediction.to_json()) + "\n")
    overall = score_run(tmp_path / "run").to_json()["overall"]
    assert overall["instances"]["cgf1"]["value"] == pytest.approx(0.2000763, abs=1e-6)
    assert overall["video"]["phota"]["value"] == pytest.approx(0.4656080, abs=1e-6)
