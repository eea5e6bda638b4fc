"""Every format of tracks, read back by its own reader, and the files that other tools ship."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.video import FORMATS, export_tracks
from sam3_agent.formats.video.cvat_video import read_cvat_video, write_cvat_video
from sam3_agent.formats.video.davis import read_davis, write_davis, write_rvos
from sam3_agent.formats.video.label_studio_video import read_label_studio_video, write_label_studio_video
from sam3_agent.formats.video.mot import read_mot, write_mot
from sam3_agent.formats.video.mots import read_mots_png, read_mots_txt, write_mots_png, write_mots_txt
from sam3_agent.formats.video.sav import read_sav, write_sav
from sam3_agent.formats.video.track_set import TrackSet, box_mask, track_of
from sam3_agent.formats.video.tracks_csv import read_tracks_csv, write_tracks_csv
from sam3_agent.formats.video.ytvis import read_predictions, read_ytvis, write_predictions, write_ytvis
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track, TrackFrame

SIZE = (60, 100)


def ring(x: int, y: int, side: int) -> Rle:
    """A square with a hole and a part of its own: what outlines get wrong if anything."""
    mask = np.zeros(SIZE, dtype=bool)
    mask[y : y + side, x : x + side] = True
    mask[y + 3 : y + side - 3, x + 3 : x + side - 3] = False
    mask[y : y + 2, x + side + 2 : x + side + 4] = True
    return masks.encode(mask)


def track(track_id: str, concept: str, entries: dict[int, Rle], score: float = 0.75) -> Track:
    frames = tuple(TrackFrame(i, rle, masks.box(rle), score) for i, rle in entries.items())
    return Track(track_id, concept, frames[0].index, frames[-1].index, "confirmed", score, frames)


FISH = track("t3", "fish", {i: ring(2 + 4 * i, 5, 12) for i in (0, 1, 2, 5, 6)})
STAR = track("t7", "sea star", {i: ring(60, 30 + i, 14) for i in range(3, 8)}, 0.5)
VIDEO = TrackSet("reef/clip", SIZE[1], SIZE[0], 8, (FISH, STAR), 10.0, absent=("shark",), source="clip.mp4")


def same_masks(one: TrackSet, other: TrackSet) -> bool:
    shapes = [[(f.index, f.rle.counts) for f in t.frames] for t in one.tracks]
    return shapes == [[(f.index, f.rle.counts) for f in t.frames] for t in other.tracks]


def same_boxes(one: TrackSet, other: TrackSet) -> bool:
    boxes = [[(f.index, f.box) for f in t.frames] for t in one.tracks]
    return boxes == [[(f.index, f.box) for f in t.frames] for t in other.tracks]


def names(video: TrackSet) -> list[tuple[str, str]]:
    return [(t.id, t.concept) for t in video.tracks]


READERS: dict[str, Callable[[Path], TrackSet]] = {
    "ytvis": lambda out: read_ytvis(out / "annotations.json")[0].tracks,
    "veval": lambda out: read_ytvis(out / "annotations.json")[0].tracks,
    "mots": read_mots_png,
    "mots-txt": lambda out: read_mots_txt(out / "gt.txt", 8, {1: "fish", 2: "sea star"}),
    "davis": lambda out: read_davis(out, {3: "fish", 7: "sea star"}),
    "cvat": lambda out: read_cvat_video(out / "annotations.xml"),
    "cvat-polygon": lambda out: read_cvat_video(out / "annotations.xml"),
    "sav": lambda out: read_sav(out / "clip_auto.json"),
    "mot": read_mot,
    "label-studio": lambda out: read_label_studio_video(out / "tasks.json", [SIZE])[0],
    "csv": lambda out: read_tracks_csv(out / "tracks.csv", SIZE, 8),
}


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_written_is_read_back(form: str, tmp_path: Path) -> None:
    assert export_tracks(VIDEO, form, tmp_path) == []
    back = READERS[form](tmp_path)
    assert (back.width, back.height, back.frames) == (VIDEO.width, VIDEO.height, VIDEO.frames)
    boxes_only = form in ("mot", "label-studio", "csv")
    assert (same_boxes if boxes_only else same_masks)(back, VIDEO)
    assert [concept for _, concept in names(back)] == ["fish", "sea star"]
    if form not in ("ytvis", "veval"):  # there the ids are those of annotations
        assert [track_id for track_id, _ in names(back)] == ["t3", "t7"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_video_without_tracks_can_be_exported(form: str, tmp_path: Path) -> None:
    assert export_tracks(replace(VIDEO, tracks=()), form, tmp_path) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("form", FORMATS)
def test_suppressed_frames_are_not_exported(form: str, tmp_path: Path) -> None:
    hidden = replace(STAR, frames=tuple(replace(frame, state="suppressed") for frame in STAR.frames))
    export_tracks(replace(VIDEO, tracks=(FISH, hidden)), form, tmp_path)
    assert same_boxes(READERS[form](tmp_path), replace(VIDEO, tracks=(FISH,)))


@pytest.mark.parametrize("form", ["mots", "mots-txt", "davis"])
def test_formats_without_overlap_say_so_and_keep_the_smaller_mask(form: str, tmp_path: Path) -> None:
    whole = track("t1", "room", {i: masks.encode(np.ones(SIZE, dtype=bool)) for i in range(8)})
    (warning,) = export_tracks(replace(VIDEO, tracks=(whole, STAR)), form, tmp_path)
    assert warning == "masks overlapped in 5 frames: there the smaller one was kept whole"
    room, star = READERS[form](tmp_path).tracks
    assert star.frames == tuple(replace(frame, score=1.0) for frame in STAR.frames)
    assert masks.iou([room.frames[4].rle], [STAR.frames[1].rle])[0, 0] == 0


def test_veval_pairs_hold_absent_concepts_as_negatives(tmp_path: Path) -> None:
    write_ytvis([VIDEO], tmp_path / "gt.json")
    document = json.loads((tmp_path / "gt.json").read_text())
    assert [(p["noun_phrase"], p["num_masklets"]) for p in document["video_np_pairs"]] == [
        ("fish", 1),
        ("sea star", 1),
        ("shark", 0),
    ]
    (video,) = read_ytvis(tmp_path / "gt.json")
    assert (video.tracks.absent, video.tracks.fps) == (("shark",), 10.0)
    write_predictions([(0, VIDEO)], {"fish": 1, "sea star": 2}, tmp_path / "pred.json")
    found = read_predictions(tmp_path / "pred.json", [video])
    assert {key: [t.score for t in tracks] for key, tracks in found.items()} == {(0, 1): [0.75], (0, 2): [0.5]}
    assert found[0, 1][0].frames == FISH.frames


def test_metas_own_toy_file_is_read(shared_data: Path) -> None:
    folder = shared_data / "sam3_veval_toy"
    (video,) = read_ytvis(folder / "toy_saco_veval_sav_test_gt.json")
    assert (video.tracks.name, video.tracks.frames, len(video.tracks.tracks), len(video.pairs)) == (
        "sav_000208",
        146,
        33,
        8,
    )
    assert video.tracks.absent == ("thick gold chain",)
    found = read_predictions(folder / "toy_saco_veval_sav_test_pred.json", [video])
    assert sum(len(tracks) for tracks in found.values()) <= 20


def test_rvos_pictures_are_the_union_of_the_chosen_tracks(tmp_path: Path) -> None:
    write_rvos(VIDEO, "4", ["t3", "t7"], tmp_path)
    paths = sorted((tmp_path / "reef" / "clip" / "4").glob("*.png"))
    assert [path.name for path in paths] == [f"{i:05d}.png" for i in range(8)]
    with Image.open(paths[5]) as picture:
        mask = np.asarray(picture)
    assert set(np.unique(mask).tolist()) == {0, 255}
    assert np.array_equal(mask > 0, masks.decode(masks.union([FISH.frames[3].rle, STAR.frames[2].rle])))
    with pytest.raises(InputError, match="no track t9"):
        write_rvos(VIDEO, "4", ["t9"], tmp_path)


def test_sav_with_a_stride_has_every_fourth_frame(tmp_path: Path) -> None:
    assert write_sav(VIDEO, tmp_path / "a.json", 4) == ["only every 4th frame is written"]
    back = read_sav(tmp_path / "a.json")
    assert [[frame.index for frame in t.frames] for t in back.tracks] == [[0], [4]]


def test_mot_predictions_carry_scores_and_labels_keep_their_order(tmp_path: Path) -> None:
    write_mot(VIDEO, tmp_path, predictions=True)
    lines = (tmp_path / "gt" / "gt.txt").read_text().splitlines()
    assert lines[0] == "1,3,2.00,5.00,16.00,12.00,0.7500,1,1.0"
    assert (tmp_path / "gt" / "labels.txt").read_text() == "fish\nsea star"


def test_ids_that_are_no_numbers_are_numbered_anew_and_this_is_said(tmp_path: Path) -> None:
    odd = replace(VIDEO, tracks=(replace(FISH, id="left fish"), STAR))
    (warning,) = write_davis(odd, tmp_path)
    assert warning == "tracks are numbered anew, from 1: left fish is 1, t7 is 2"
    assert json.loads((tmp_path / "objects.json").read_text())["1"] == {"id": "left fish", "concept": "fish"}


def test_a_palette_has_no_room_for_more_tracks_than_colors(tmp_path: Path) -> None:
    many = tuple(replace(FISH, id=f"t{i}") for i in range(1, 256))
    with pytest.raises(InputError, match="room for 254 tracks, there are 255"):
        write_davis(replace(VIDEO, tracks=many), tmp_path)


def test_cvat_closes_a_track_before_every_gap_and_at_its_end(tmp_path: Path) -> None:
    write_cvat_video(VIDEO, tmp_path / "a.xml", "box")
    text = (tmp_path / "a.xml").read_text()
    assert text.count('outside="1"') == 2  # after frames 2 and 6 of the fish; the star is there to the end
    assert same_boxes(read_cvat_video(tmp_path / "a.xml"), VIDEO)


def test_cvats_own_file_is_read_with_its_moving_boxes(shared_data: Path) -> None:
    video = read_cvat_video(shared_data / "datumaro_format_assets/cvat_dataset/for_video/annotations.xml")
    (only,) = video.tracks
    assert (video.width, video.height, only.concept) == (25, 20, "II")
    assert [(frame.index, frame.box) for frame in only.frames] == [(i, (3, 4, 10, 5)) for i in (10, 11, 12)]


def test_motchallenge_and_mots_files_of_datumaro_are_read(shared_data: Path) -> None:
    folder = shared_data / "datumaro_format_assets"
    mot = read_mot(folder / "mot_dataset" / "mot_seq_with_seqinfo")
    assert (mot.width, mot.height, mot.frames, mot.tracks) == (16, 16, 1, ())  # its only box belongs to no track
    mots = read_mots_png(folder / "mots_dataset" / "train")
    assert mots.frames == 2
    assert {t.concept for t in mots.tracks} <= {"a", "b", "c", "d"}
    assert mots.tracks


def test_label_studio_boxes_end_with_their_stretch(tmp_path: Path) -> None:
    write_label_studio_video([VIDEO], tmp_path)
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    fish = task["predictions"][0]["result"][0]
    assert task["data"]["video"] == "/data/local-files/?d=clip.mp4"
    assert [(key["frame"], key["enabled"]) for key in fish["value"]["sequence"]] == [
        (1, True), (2, True), (3, False), (6, True), (7, False),
    ]  # fmt: skip
    assert fish["value"]["labels"] == ["fish"]
    assert '<Label value="sea star"' in (tmp_path / "interface.xml").read_text()


def test_spreadsheets_run_no_concept_as_a_formula(tmp_path: Path) -> None:
    odd = replace(VIDEO, tracks=(replace(FISH, concept="=HYPERLINK(1)"),))
    write_tracks_csv(odd, tmp_path / "a.csv")
    assert ",'=HYPERLINK(1)," in (tmp_path / "a.csv").read_text()
    assert read_tracks_csv(tmp_path / "a.csv", SIZE).tracks[0].concept == "=HYPERLINK(1)"


CSV = "frame,time,id,concept,x1,y1,x2,y2,area,score,state\n{frame},0,t1,cat,1,1,5,5,16,0.5,confirmed\n"
SAV = (
    '{{"video_id": "x", "video_frame_count": {frames}, "video_height": 4, "video_width": 4, "masklet": [],'
    ' "masklet_id": []}}'
)
CVAT = (
    "<annotations><meta><original_size><width>{side}</width><height>{side}</height></original_size></meta>"
    '<track id="1" label="cat">{shape}</track></annotations>'
)
BOX = '<box frame="0" xtl="1" ytl="1" xbr="3" ybr="3"/><box frame="{frame}" xtl="1" ytl="1" xbr="3" ybr="3"/>'
MASK = '<mask frame="0" rle="{rle}" left="0" top="0" width="{side}" height="{side}"/>'


def sequence(x: float, width: float) -> str:
    """A task of Label Studio with one track that stands still."""
    key = {"frame": 1, "x": x, "y": 1.0, "width": width, "height": 1.0}
    value = {"framesCount": 3, "sequence": [key, key | {"frame": 3}], "labels": ["cat"]}
    result = {"id": "a", "type": "videorectangle", "value": value}
    return json.dumps([{"data": {"video": "a"}, "annotations": [{"result": [result]}]}])


def read_boxes(path: Path) -> object:
    return read_label_studio_video(path, [(9, 9)])


BROKEN = [
    (read_ytvis, "a.json", "{", "not JSON"),
    (read_ytvis, "a.json", '{"videos": []}', "videos: List should have at least 1 item"),
    (read_sav, "a.json", '{"video_id": "x"}', "video_frame_count: Field required"),
    (read_cvat_video, "a.xml", "<a>", "not XML"),
    (read_cvat_video, "a.xml", "<a/>", "not CVAT for video"),
    (read_mots_txt, "a.txt", "1 2 3\n", "a.txt:1: not 'frame id class height width rle'"),
    (read_mots_txt, "a.txt", "", "no line in it"),
    (lambda path: read_tracks_csv(path, SIZE), "a.csv", "frame,id\n0,t1\n", "a.csv:2: not a line of frame,time"),
    (lambda path: read_tracks_csv(path, SIZE), "a.csv", CSV.format(frame=10**12), "a.csv:2: frame 1000000000000"),
    (read_mots_txt, "a.txt", "9999999999 1001 1 2 2 04\n", "a.txt:1: frame 9999999998"),
    (read_sav, "a.json", SAV.format(frames=1e15), "frame 1000000000000000"),
    (read_cvat_video, "a.xml", CVAT.format(side=10**7, shape=""), "frames of 10000000x10000000 pixels"),
    (read_cvat_video, "a.xml", CVAT.format(side=9, shape=BOX.format(frame=10**11)), "a shape: frame 100000000000"),
    (read_cvat_video, "a.xml", CVAT.format(side=9, shape=MASK.format(rle="0, 81", side=99)), "99x99 at 0, 0 in frames"),
    (read_cvat_video, "a.xml", CVAT.format(side=9, shape=MASK.format(rle="-5, 9", side=2)), "runs of 4 pixels"),
    (read_cvat_video, "a.xml", CVAT.format(side=9, shape=BOX.format(frame=1).replace('"3"', '"1e999"')), "corners"),
    (read_boxes, "a.json", sequence(x=float("inf"), width=1), "a box with corners"),
    (read_boxes, "a.json", sequence(x=1, width=float("nan")), "a box with corners"),
    (lambda path: read_mot(path.parent), "a", "", "no MOT sequence here"),
    (lambda path: read_mots_png(path.parent), "a", "", "no MOTS images here"),
    (lambda path: read_davis(path.parent), "a", "", "no images here"),
]


@pytest.mark.parametrize(("reader", "name", "text", "sentence"), BROKEN)
def test_broken_files_are_refused_in_one_sentence(
    reader: Callable[[Path], object], name: str, text: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        reader(tmp_path / name)


def test_masklets_that_do_not_fit_the_video_are_named(tmp_path: Path) -> None:
    write_ytvis([VIDEO], tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    document["annotations"][0]["segmentations"][1]["size"] = [6, 10]
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"annotation 1: segmentations\.1"):
        read_ytvis(tmp_path / "a.json")


def test_an_unknown_format_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'gif'; use one of: ytvis, veval, mot"):
        export_tracks(VIDEO, "gif", tmp_path)


def test_a_set_refuses_what_does_not_fit_together() -> None:
    with pytest.raises(InputError, match="two tracks have one id"):
        replace(VIDEO, tracks=(FISH, FISH))
    with pytest.raises(InputError, match="does not fit 5 frames of 100x60"):
        replace(VIDEO, frames=5)
    with pytest.raises(InputError, match="1 file names for 8 frames"):
        replace(VIDEO, file_names=("a.jpg",))


def test_numbers_above_a_classs_room_are_numbered_anew(tmp_path: Path) -> None:
    (warning,) = write_mots_png(replace(VIDEO, tracks=(replace(FISH, id="t5000"),)), tmp_path)
    assert warning == "tracks are numbered anew, from 1: t5000 is 1"
    assert write_mots_txt(VIDEO, tmp_path / "a.txt", {"fish": 2, "sea star": 1}) == []
    assert (tmp_path / "a.txt").read_text().startswith("1 2003 2 60 100 ")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("seqinfo.ini", "frameRate=10", "frameRate=10 1e8"),
        ("seqinfo.ini", "frameRate=10", "frameRate=nan"),
        ("seqinfo.ini", "seqLength=", "seqLength=%(x)s"),
        ("gt/gt.txt", "1,1,", "1,1,nan,"),
        ("gt/gt.txt", "1,1,", "1,1,\x00,"),
        ("gt/gt.txt", "1,1,", "1,1," + "9" * 200_000),
    ],
)
def test_a_broken_folder_of_mot_is_told_by_its_file(tmp_path: Path, name: str, old: str, new: str) -> None:
    track = track_of("t1", "fish", {0: (box_mask((0, 0, 10, 10), (60, 100)), 0.9)})
    assert track is not None
    write_mot(TrackSet("clip", 100, 60, 6, (track,), 10.0), tmp_path / "clip")
    path = tmp_path / "clip" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=str(path)) as refused:
        read_mot(tmp_path / "clip")
    assert "\n" not in str(refused.value)[:200]


@pytest.mark.parametrize("text", ["id\n1\n", "frame,id\n" + "9" * 200_000, "a,b,c\n1,2\n"])
def test_a_broken_table_of_tracks_is_told_by_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "tracks.csv").write_text(text)
    with pytest.raises(InputError, match=r"tracks\.csv"):
        read_tracks_csv(tmp_path / "tracks.csv", (60, 100), 3)


@pytest.mark.parametrize("text", ["", '"', "\n\n"])
def test_a_table_of_nothing_has_no_tracks(tmp_path: Path, text: str) -> None:
    (tmp_path / "tracks.csv").write_text(text)
    assert read_tracks_csv(tmp_path / "tracks.csv", (60, 100), 3).tracks == ()
