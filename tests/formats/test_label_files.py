"""Label files as people have them, read for images at hand: kept, or left out and said."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import ReadLabels, read_labels
from sam3_agent.formats.notes import note_lines

BOX = (10.0, 20.0, 40.0, 60.0)
LINE = "0 0.25 0.4 0.3 0.4"  # BOX in 100 x 100
WIDTH = HEIGHT = 100


def image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    image(tmp_path / "images" / "a.png")
    image(tmp_path / "images" / "b.png")
    return tmp_path / "images"


def read(source: Path, images: Path) -> ReadLabels:
    paths = sorted(path.relative_to(images).as_posix() for path in images.rglob("*") if path.suffix != ".txt")
    return read_labels(source, KnownImages(images, [path for path in paths if "." in path]))


def found(labels: ReadLabels) -> dict[str, list[tuple[str, masks.Box]]]:
    return {
        path: [(each.class_name, masks.box(each.rle)) for each in labels]
        for path, labels in labels.labels.items()
        if labels
    }


def coco(path: Path, annotations: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
    entry = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT} | changes
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40]}
    document = {
        "images": [{key: value for key, value in entry.items() if value is not ...}],
        "categories": [{"id": 1, "name": "house", "supercategory": None}],
        "annotations": [annotation | change for change in annotations or [{}]],
    }
    path.write_text(json.dumps(document), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"segmentation": None},
        {"segmentation": [[]], "area": None, "iscrowd": None, "score": None},
        {"segmentation": [10, 20, 40, 20, 40, 60, 10, 60]},
        {"segmentation": [[[10, 20], [40, 20], [40, 60], [10, 60]]]},
        {"segmentation": [[10, 20, 40, 20, 40, 60, 10, 60], [7, 7]], "bbox": None},
        {"segmentation": [["10", 20, 40, 20, 40, 60, 10, 60]]},
        {"id": "ann-1", "image_id": "1", "category_id": 1.0},
        {"id": None, "iscrowd": "0", "bbox": ["10", "20", "30", "40"]},
        {"extra": {"a": 1}, "bbox": [10, 20, 30, 40.4]},
    ],
)
def test_coco_of_other_programs_is_read(tmp_path: Path, images: Path, change: dict[str, Any]) -> None:
    labels = read(coco(tmp_path / "labels.json", [change]), images)
    assert found(labels) == {"a.png": [("house", BOX)]}
    assert labels.lost == 0


@pytest.mark.parametrize("size", [{"width": ..., "height": ...}, {"width": None}, {"height": "x"}, {"width": 0}])
def test_a_size_that_is_not_there_is_that_of_the_image(tmp_path: Path, images: Path, size: dict[str, Any]) -> None:
    assert found(read(coco(tmp_path / "labels.json", **size), images)) == {"a.png": [("house", BOX)]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"segmentation": {"size": [100, 100], "counts": [5000, 4000, 2000]}}, "annotation 2: segmentation: its runs"),
        ({"segmentation": {"size": [100, 100], "counts": [-5, 10]}}, "annotation 2: segmentation: a run of -5"),
        ({"segmentation": {"size": [100, 100], "counts": "é5ü"}}, "annotation 2: segmentation: compressed counts"),
        ({"segmentation": {"size": [50, 50], "counts": [2500]}}, "annotation 2: segmentation: an RLE of size"),
        ({"segmentation": [[0, 0, 1e8, 0, 9, 9]]}, "annotation 2: segmentation: a corner at 1e"),
        ({"segmentation": "x"}, "annotation 2: segmentation: neither"),
        ({"bbox": [1, 2, 3]}, "annotations.1.bbox: List"),
        ({"bbox": [1, 2, -3, 4]}, "annotation 2: bbox: a box of -3 x 4"),
        ({"bbox": [500, 500, 9, 9]}, "annotation 2: it covers no pixel"),
        ({"bbox": None}, "annotation 2: neither bbox nor"),
        ({"image_id": 7}, "annotation 2: image_id 7 is not in images"),
        ({"category_id": None}, "annotation 2: category_id None is not in"),
        ({"iscrowd": 1}, "annotation 2: a crowd"),
        ({"image_id": []}, "annotation 2: an id is a number"),
    ],
)
def test_a_broken_entry_is_named_and_the_rest_goes_on(
    tmp_path: Path, images: Path, change: dict[str, Any], words: str
) -> None:
    labels = read(coco(tmp_path / "labels.json", [{}, {"id": 2} | change]), images)
    assert (found(labels), labels.lost) == ({"a.png": [("house", BOX)]}, 1)
    assert any(f"labels.json: {words}" in line for line in note_lines(labels.notes)), labels.notes
    with pytest.raises(InputError, match=r"labels\.json: none of its labels can be used: labels\.json: annotation"):
        read(coco(tmp_path / "labels.json", [{"id": 2} | change]), images)


def test_labels_of_another_size_are_named_and_left_out(tmp_path: Path, images: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.json: a\.png: its labels are made for 50x50, the image has 100x100"):
        read(coco(tmp_path / "labels.json", width=50, height=50), images)
    image(images / "a.png", (WIDTH, 60), orientation=6)
    with pytest.raises(InputError, match="made for 100x60, the image has 60x100 pixels when it stands upright"):
        read(coco(tmp_path / "labels.json", height=60), images)
    assert found(read(coco(tmp_path / "labels.json", width=60, height=WIDTH), images)) == {"a.png": [("house", BOX)]}


def test_a_name_that_two_images_could_have_is_listed(tmp_path: Path, images: Path) -> None:
    for split in ("train", "val"):
        image(images / split / "c.png", (WIDTH, HEIGHT + len(split)))
    with pytest.raises(InputError, match=r"c\.png: it could be train/c\.png or val/c\.png; 1 label left out"):
        read(coco(tmp_path / "labels.json", file_name="c.png"), images)


def test_text_ids_and_repeated_ids_of_one_image(tmp_path: Path, images: Path) -> None:
    path = coco(tmp_path / "labels.json", [{"image_id": "img-a"}, {"image_id": "img-a"}], id="img-a")
    labels = read(path, images)
    assert len(labels.labels["a.png"]) == 2
    assert any("annotation id 1: it occurs twice" in line for line in note_lines(labels.notes))


def yolo(folder: Path, files: dict[str, str | bytes], names: str = "names: [house, car]\n") -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "data.yaml").write_text(names)
    return folder / "data.yaml"


@pytest.mark.parametrize(
    ("files", "more"),
    [
        ({"labels/a.txt": LINE}, ""),
        ({"labels/a.txt": f"{LINE} 0.9"}, ""),
        ({"labels/a.txt": f"{LINE} 0.5 0.5 2 0.6 0.6 1"}, "kpt_shape: [2, 3]\n"),
        ({"labels/a.txt": f"\ufeff{LINE}\r\n\r\n# a remark\n"}, ""),
        ({"labels/a.txt": f"{LINE}\n".encode("utf-16")}, ""),
        ({"labels/a.txt": f"{LINE}\n{LINE}\n"}, ""),
        ({"labels/train/a.txt": LINE}, "path: .\ntrain: images/train\n"),
        ({"train/labels/a.txt": LINE, "train/images/x": ""}, "train: ../train/images\n"),
        ({"a.txt": LINE, "classes.txt": "house\ncar\n"}, ""),
        ({"labels/a.txt": LINE, "train.txt": "./images/a.png\n"}, "train: train.txt\n"),
    ],
)
def test_yolo_layouts_and_columns(tmp_path: Path, images: Path, files: dict[str, str | bytes], more: str) -> None:
    labels = read(yolo(tmp_path / "set", files, f"names: [house, car]\n{more}"), images)
    assert found(labels) == {"a.png": [("house", BOX)]}
    assert labels.labels["a.png"][0].box_only
    assert labels.lost == 0


@pytest.mark.parametrize(
    ("names", "read_as"),
    [
        ("names: {0: no, 1: car}\n", "no"),
        ("names: classes.txt\n", "stra\u00dfe"),
        ("nc: 2\n", "class_0"),
        ("# caf\u00e9\nnames: ['2', car]\n", "2"),
    ],
)
def test_yolo_names_are_texts(tmp_path: Path, images: Path, names: str, read_as: str) -> None:
    source = yolo(tmp_path / "set", {"labels/a.txt": LINE, "classes.txt": "stra\u00dfe\ncar\n".encode("cp1252")})
    source.write_bytes(names.encode("cp1252"))
    assert found(read(source, images)) == {"a.png": [(read_as, BOX)]}


def test_a_list_of_names_stands_for_data_yaml(tmp_path: Path, images: Path) -> None:
    yolo(tmp_path / "set", {"labels/a.txt": LINE, "obj.names": "house\ncar\n"})
    assert found(read(tmp_path / "set" / "obj.names", images)) == {"a.png": [("house", BOX)]}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 25 40 30 40", "must be shares of the image (0 to 1), got 25 40 30 40: these look like pixels"),
        ("0 0.5 -0.3 0.2 0.1", "must be shares of the image"),
        ("0 0.1 0.1 900 0.1 0.5 0.5", "corners must be shares"),
        ("9 0.5 0.5 1 1", "class 9 is not among the 2 names of data.yaml"),
        ("0.5 0.5 0.5 1 1", "class 0.5 is not among"),
        ("0 0 0 1", "expected 4 numbers (a box) or at least 3 pairs (a polygon), got 3"),
        ("0 nan 0 1 1 1 0", "a number is not finite"),
        ("house 0.5 0.5 1 1", "not 'class x y ...'"),
        ("0 0.5 0.5 0 0", "it covers no pixel"),
        ("0 " + "0.1 " * 55, "poses need kpt_shape"),
    ],
)
def test_a_broken_yolo_line_is_named(tmp_path: Path, images: Path, line: str, words: str) -> None:
    labels = read(yolo(tmp_path / "set", {"labels/a.txt": f"{LINE}\n{line}\n"}), images)
    assert (found(labels), labels.lost) == ({"a.png": [("house", BOX)]}, 1)
    assert labels.notes[0].place == "labels/a.txt:2"
    assert words in labels.notes[0].words


def test_a_yolo_file_that_is_no_text_is_named_and_others_go_on(tmp_path: Path, images: Path) -> None:
    files: dict[str, str | bytes] = {"labels/a.txt": b"0 0.5 0.5 1 1\n # caf\xe9\n", "labels/b.txt": LINE}
    labels = read(yolo(tmp_path / "set", files), images)
    assert (found(labels), labels.lost) == ({"b.png": [("house", BOX)]}, 2)
    assert note_lines(labels.notes) == ["labels/a.txt: not UTF-8 text (invalid continuation byte); 2 labels left out"]


def test_a_yolo_label_of_another_split_is_never_taken(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"labels/train/1.txt": LINE, "labels/val/1.txt": "1 0.5 0.5 1 1"}
    source = yolo(tmp_path / "set", files, "path: .\ntrain: images/train\nval: images/val\nnames: [house, car]\n")
    image(tmp_path / "set" / "images" / "train" / "1.png")
    labels = read(source, tmp_path / "set" / "images" / "train")
    assert (found(labels), labels.lost) == ({"1.png": [("house", BOX)]}, 1)
    image(tmp_path / "copied" / "1.png")
    with pytest.raises(InputError, match="may belong to the same image"):
        read(source, tmp_path / "copied")


def test_one_yolo_file_labels_both_images_of_its_name(tmp_path: Path, images: Path) -> None:
    image(images / "a.jpg")
    labels = read(yolo(tmp_path / "set", {"labels/a.txt": LINE}), images)
    assert found(labels) == {"a.jpg": [("house", BOX)], "a.png": [("house", BOX)]}


def test_yolo_shares_are_those_of_the_upright_image(tmp_path: Path) -> None:
    image(tmp_path / "images" / "a.tif", (50, WIDTH), orientation=6)
    labels = read(yolo(tmp_path / "set", {"labels/a.txt": "0 0.25 0.4 0.3 0.4"}), tmp_path / "images")
    assert found(labels) == {"a.tif": [("house", (10.0, 10.0, 40.0, 30.0))]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no YOLO data.yaml with 'names'"),
        ("names: [house, [car]]\n", "names: expected numbers with a name each"),
        ("names: {a: house}\n", "names: expected numbers"),
        ("names: [a\n", "not YAML"),
        ("a: &a [*a]\nnames: *a\n", "not YAML"),
        ("a: &a [x, y]\nnames: [*a]\n", "names: expected numbers"),
        ("names: [house]\nkpt_shape: [1]\n", "kpt_shape: expected"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_a_broken_data_yaml_is_named(tmp_path: Path, images: Path, text: str, words: str) -> None:
    source = yolo(tmp_path / "set", {"labels/a.txt": LINE}, text)
    with pytest.raises(InputError, match=r"data\.yaml: ") as caught:
        read(source, images)
    assert words in str(caught.value)


def labelme(path: Path, *shapes: dict[str, Any], **changes: Any) -> Path:
    document: dict[str, Any] = {"imagePath": "a.png", "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": shapes}
    path.write_text(json.dumps(document | changes))
    return path


def test_labelme_shapes_of_every_type_are_read(tmp_path: Path, images: Path) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.full((40, 30), 255, np.uint8)).save(picture, "PNG")
    png = base64.b64encode(picture.getvalue()).decode()
    corners = [[10, 20], [40, 20], [40, 60], [10, 60]]
    shapes = [
        {"label": "house", "shape_type": "polygon", "points": corners},
        {"label": "house", "points": corners},
        {"label": "house", "shape_type": "rectangle", "points": [[40, 60], [10, 20]]},
        {"label": "house", "shape_type": "mask", "points": [[10, 20], [39, 59]], "mask": png},
    ]
    labels = read(labelme(tmp_path / "a.json", *shapes), images)
    assert found(labels) == {"a.png": [("house", BOX)] * 4}
    circle = {"label": "ring", "shape_type": "circle", "points": [[50, 50], [50, 70]]}
    ((label,),) = read(labelme(tmp_path / "a.json", circle), images).labels.values()
    assert masks.area(label.rle) == pytest.approx(np.pi * 20**2, rel=0.02)


def test_labelme_groups_are_one_object_and_lines_are_named(tmp_path: Path, images: Path) -> None:
    parts = [
        {"label": "house", "shape_type": "rectangle", "points": [[x, 20], [x + 5, 60]], "group_id": 3} for x in (10, 35)
    ]
    line = {"label": "road", "shape_type": "line", "points": [[1, 1], [9, 9]]}
    labels = read(labelme(tmp_path / "a.json", *parts, line), images)
    assert (found(labels), labels.lost) == ({"a.png": [("house", BOX)]}, 1)
    assert labels.notes[0].place == "a.json: shapes.2"
    assert "shape_type 'line' encloses no area" in labels.notes[0].words


def test_a_folder_of_labelme_goes_on_after_a_broken_file(tmp_path: Path, images: Path) -> None:
    shape = {"label": "house", "shape_type": "rectangle", "points": [[10, 20], [40, 60]]}
    (tmp_path / "set").mkdir()
    labelme(tmp_path / "set" / "a.json", shape, imagePath="..\\images\\a.png")
    labelme(tmp_path / "set" / "b.json", shape, shape, imageHeight=None, imagePath="none.png")
    labels = read(tmp_path / "set", images)
    assert (found(labels), labels.lost) == ({"a.png": [("house", BOX)]}, 2)
    assert labels.notes[0].place == "b.json"


def cvat(path: Path, *shapes: str, head: str = "") -> Path:
    entry = f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</image>'
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations>{entry}</annotations>')
    return path


def test_cvat_shapes_of_every_kind_are_read(tmp_path: Path, images: Path) -> None:
    shapes = (
        '<box label="house" xtl="10" ytl="20" xbr="40" ybr="60"/>',
        '<polygon label="house" points="10,20;40,20;40,60;10,60"/>',
        '<mask label="house" rle="0, 1200" left="10" top="20" width="30" height="40"/>',
        '<box label="house" xtl="5" ytl="25" xbr="45" ybr="55" rotation="90"/>',
    )
    labels = read(cvat(tmp_path / "annotations.xml", *shapes), images)
    assert found(labels) == {"a.png": [("house", BOX)] * 4}
    ellipse = '<ellipse label="ring" cx="50" cy="50" rx="20" ry="10" rotation="90"/>'
    ((label,),) = read(cvat(tmp_path / "annotations.xml", ellipse), images).labels.values()
    assert masks.area(label.rle) == pytest.approx(np.pi * 20 * 10, rel=0.03)
    assert masks.box(label.rle)[2] - masks.box(label.rle)[0] < 22


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ('<polyline label="house" points="1,1;2,2"/>', "<polyline>: it has no area"),
        ('<box label="house" xtl="x" ytl="0" xbr="1" ybr="1"/>', "<box>: xtl: not a number"),
        ('<box xtl="0" ytl="0" xbr="1" ybr="1"/>', "<box>: it has no label"),
        ('<mask label="a" rle="0, 9" left="0" top="0" width="30" height="40"/>', "its runs fill 9 pixels"),
        ('<mask label="a" rle="0, 1200" left="90" top="0" width="30" height="40"/>', "does not fit into 100x100"),
        ('<polygon label="a" points="1,1;1e9,2;3,3"/>', "far outside"),
        ('<polygon label="a" points="1;2"/>', "expected x,y;x,y"),
    ],
)
def test_a_broken_cvat_shape_is_named(tmp_path: Path, images: Path, shape: str, words: str) -> None:
    good = '<box label="house" xtl="10" ytl="20" xbr="40" ybr="60"/>'
    labels = read(cvat(tmp_path / "annotations.xml", good, shape), images)
    assert (found(labels), labels.lost) == ({"a.png": [("house", BOX)]}, 1)
    assert words in labels.notes[0].words


def test_cvat_that_is_none_or_could_explode_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(InputError, match="a document type is not read"):
        read(cvat(tmp_path / "a.xml", head='<!DOCTYPE a [<!ENTITY b "c">]>'), images)
    for text, words in (("<a/>", "the root is <a>"), ("<annotations>", "not XML"), ("<annotations/>", "no labels")):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(InputError, match=words):
            read(tmp_path / "a.xml", images)
