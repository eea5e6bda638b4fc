"""Every label format, read back as the tool that it belongs to reads it: holes and parts kept where it can."""

import json
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco_labels import write_coco_labels
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.cvat import write_cvat
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import read_labels
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel, unique_stems
from sam3_agent.formats.label_studio import brush_rle, write_label_studio
from sam3_agent.formats.labelme import write_labelme
from sam3_agent.formats.semantic import write_semantic
from sam3_agent.formats.vlm_jsonl import write_vlm_jsonl
from sam3_agent.formats.voc import write_voc
from sam3_agent.formats.yolo import write_yolo

HEIGHT, WIDTH = 97, 131
Bitmap = NDArray[np.bool_]


def blank() -> Bitmap:
    return np.zeros((HEIGHT, WIDTH), dtype=bool)


def disc(x: float, y: float, radius: float) -> Bitmap:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def ring() -> Bitmap:
    return disc(35, 40, 25) & ~disc(30, 38, 8) & ~disc(45, 45, 6)


def two_parts() -> Bitmap:
    return disc(85, 25, 15) | disc(112, 60, 14)


def speck() -> Bitmap:
    mask = blank()
    mask[90, 5] = True
    return mask


TRUTH: dict[str, list[tuple[int, Bitmap]]] = {
    "a.jpg": [(0, ring()), (1, two_parts()), (2, speck())],
    "sub/b c.png": [(1, disc(60, 50, 30))],
    "empty.jpg": [],
}


def label_set() -> LabelSet:
    images = [
        LabeledImage(
            name,
            WIDTH,
            HEIGHT,
            tuple(_label(f"{number}.{place}", kind, mask) for place, (kind, mask) in enumerate(things)),
            "val" if name == "empty.jpg" else "train",
        )
        for number, (name, things) in enumerate(TRUTH.items())
    ]
    return LabelSet(("ring & co", "pair", "spéck"), tuple(images), {"empty.jpg": (0, 1)}, "tiny")


def _label(name: str, kind: int, mask: Bitmap) -> MaskLabel:
    rle = masks.encode(mask)
    provenance = {"phrase": "a ring", "reason": "because", "usd": 0.5}
    return MaskLabel(name, kind, rle, 0.75, {"color": "red"}, provenance)


def iou(first: Bitmap, second: Bitmap) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("form", ["rle", "polygons"])
def test_coco_is_read_by_pycocotools(tmp_path: Path, form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_coco_labels(label_set(), tmp_path, form) == []
    coco = COCO(str(tmp_path / "annotations" / "instances_train.json"))
    names = {entry["id"]: entry["file_name"] for entry in coco.loadImgs(coco.getImgIds())}
    assert sorted(names.values()) == ["a.jpg", "sub/b c.png"]
    found = coco.loadAnns(coco.getAnnIds())
    assert [coco.loadCats(e["category_id"])[0]["name"] for e in found] == ["ring & co", "pair", "spéck", "pair"]
    truth = [mask for things in TRUTH.values() for _, mask in things]
    for entry, mask in zip(found, truth, strict=True):
        assert iou(coco.annToMask(entry).astype(bool), mask) == 1.0
        assert entry["provenance"]["phrase"] == "a ring"
        assert (entry["score"], entry["attributes"]) == (0.75, {"color": "red"})
        assert isinstance(entry["segmentation"], dict if form == "rle" else list)
    again = read_coco(tmp_path / "annotations" / "instances_train.json")
    assert [iou(masks.decode(a.rle), m) for a, m in zip(again.annotations, truth, strict=True) if a.rle] == [1.0] * 4
    capsys.readouterr()


def test_yolo_is_read_as_ultralytics_does(tmp_path: Path) -> None:
    (warning,) = write_yolo(label_set(), tmp_path)
    assert "1 labels of several parts are tied" in warning
    document = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert document["names"] == {0: "ring & co", 1: "pair", 2: "spéck"}
    assert (tmp_path / "train.txt").read_text() == "./images/train/a.jpg\n./images/train/sub__b c.png\n"
    assert (tmp_path / "labels" / "val" / "empty.txt").read_text() == ""
    for name, things in TRUTH.items():
        if name != "empty.jpg":
            stem = name.rsplit(".", 1)[0].replace("/", "__")
            lines = (tmp_path / "labels" / "train" / f"{stem}.txt").read_text().splitlines()
            for line, (kind, mask) in zip(lines, things, strict=True):
                number, *values = line.split()
                assert int(number) == kind
                assert len(values) >= 6
                assert iou(_painted(values), mask) >= (0.97 if kind == 1 else 1.0)


def _painted(values: list[str]) -> Bitmap:
    """Ultralytics: coordinates times size, cut to integers (`polygon2mask`), OpenCV's fillPoly."""
    points = np.array(values, dtype=np.float32).reshape(-1, 2) * (WIDTH, HEIGHT)
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
    return canvas.astype(bool)


def test_voc_masks_name_classes_and_objects(tmp_path: Path) -> None:
    assert write_voc(label_set(), tmp_path) == []
    assert (tmp_path / "ImageSets" / "Segmentation" / "train.txt").read_text() == "a\nsub__b c\n"
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject" / "a.png"))
    classes = Image.open(tmp_path / "SegmentationClass" / "a.png")
    assert classes.mode == "P"
    assert classes.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    root = Xml.parse(tmp_path / "Annotations" / "a.xml").getroot()
    things = root.findall("object")
    assert [thing.findtext("name") for thing in things] == ["ring & co", "pair", "spéck"]
    for number, (kind, mask) in enumerate(TRUTH["a.jpg"], start=1):
        assert iou(objects == number, mask) == 1.0
        assert set(np.asarray(classes)[mask].tolist()) == {kind + 1}
        box = [float(things[number - 1].findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
        assert box == list(masks.box(masks.encode(mask)))


def test_overlaps_are_stated_where_a_pixel_has_one_object(tmp_path: Path) -> None:
    over = LabeledImage("x.png", WIDTH, HEIGHT, (_label("1", 0, disc(50, 50, 30)), _label("2", 1, disc(50, 50, 9))))
    labels = LabelSet(("a", "b"), (over,))
    assert "1 labels are partly under smaller ones" in write_voc(labels, tmp_path)[0]
    assert np.asarray(Image.open(tmp_path / "SegmentationClass" / "x.png"))[50, 50] == 2
    assert "1 labels are partly under" in write_semantic(labels, tmp_path / "s")[1]


def test_labelme_is_read_as_labelme_does(tmp_path: Path) -> None:
    (warning,) = write_labelme(label_set(), tmp_path)
    assert "1 labels have holes" in warning
    document = json.loads((tmp_path / "train" / "a.json").read_text(encoding="utf-8"))
    assert (document["imagePath"], document["imageHeight"], document["imageWidth"]) == ("a.jpg", HEIGHT, WIDTH)
    assert document["imageData"] is None
    for number, (kind, mask) in enumerate(TRUTH["a.jpg"]):
        shapes = [shape for shape in document["shapes"] if shape["group_id"] == number]
        assert {shape["label"] for shape in shapes} == {("ring & co", "pair", "spéck")[kind]}
        assert len(shapes) == (2 if kind == 1 else 1)
        picture = Image.new("1", (WIDTH, HEIGHT))  # labelme.utils.shape_to_mask
        for shape in shapes:
            corners = [tuple(point) for point in shape["points"]]
            assert len(corners) > 2
            ImageDraw.Draw(picture).polygon(xy=corners, outline=1, fill=1)
        assert iou(np.asarray(picture), mask) >= 0.97


def test_cvat_masks_are_read_as_cvat_does(tmp_path: Path) -> None:
    assert write_cvat(label_set(), tmp_path) == []
    root = Xml.parse(tmp_path / "annotations.xml").getroot()
    assert [entry.findtext("name") for entry in root.iterfind("meta/project/labels/label")] == [
        "ring & co",
        "pair",
        "spéck",
    ]
    for image, (name, things) in zip(root.iterfind("image"), TRUTH.items(), strict=True):
        assert (image.get("name"), image.get("width"), image.get("height")) == (name, str(WIDTH), str(HEIGHT))
        for entry, (_, mask) in zip(image.iterfind("mask"), things, strict=True):
            place = {key: int(entry.get(key) or "") for key in ("left", "top", "width", "height")}
            runs = [int(run) for run in (entry.get("rle") or "").split(",")]
            values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            found = blank()
            rows, columns = slice(place["top"], place["top"] + place["height"]), place["left"]
            found[rows, columns : columns + place["width"]] = values.reshape(place["height"], place["width"])
            assert iou(found, mask) == 1.0
            assert {e.get("name"): e.text for e in entry} == {
                "color": "red",
                "score": "0.75",
                "label_id": entry[2].text,
            }


def test_label_studio_brushes_are_unpacked_as_rle_pack_does(tmp_path: Path) -> None:
    assert write_label_studio(label_set(), tmp_path) == []
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d={name.replace(' ', '%20')}" for name in TRUTH
    ]
    for task, things in zip(tasks, TRUTH.values(), strict=True):
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "tiny"
        for result, (kind, mask) in zip(prediction["result"], things, strict=True):
            assert result["value"]["brushlabels"] == [("ring & co", "pair", "spéck")[kind]]
            assert result["score"] == 0.75
            assert iou(_unpacked(result["value"]["rle"]), mask) == 1.0
    interface = Xml.parse(tmp_path / "interface.xml").getroot()
    assert [entry.get("value") for entry in interface.iter("Label")] == ["ring & co", "pair", "spéck"]


def _unpacked(data: list[int]) -> Bitmap:
    """thi.ng/rle-pack's decoder, as published with its format."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def read(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position], 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        same = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if same else [read(word) for _ in range(length)]
    return np.array(values).reshape(HEIGHT, WIDTH, 4)[:, :, 3] > 127


def test_long_runs_are_cut_into_several() -> None:
    mask = np.zeros((300, 300), dtype=bool)
    mask[100:250] = True
    packed = brush_rle(mask)
    bits = "".join(f"{byte:08b}" for byte in packed[:7])
    assert int(bits[:32], 2) == 300 * 300 * 4
    assert len(packed) < 60


def test_semantic_pictures_and_lines_for_language_models(tmp_path: Path) -> None:
    assert write_semantic(label_set(), tmp_path) == ["semantic: instances of a class are not told apart"]
    values = np.asarray(Image.open(tmp_path / "train" / "a.png"))
    for kind, mask in TRUTH["a.jpg"]:
        assert iou(values == kind + 1, mask) == 1.0
    table = json.loads((tmp_path / "classes.json").read_text(encoding="utf-8"))
    assert [(entry["value"], entry["name"]) for entry in table][:2] == [(0, "background"), (1, "ring & co")]
    write_vlm_jsonl(label_set(), tmp_path)
    train = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["image"], line["class"]) for line in train][:2] == [("a.jpg", "ring & co"), ("a.jpg", "pair")]
    answer = json.loads(train[0]["messages"][1]["content"][0]["text"])
    assert answer == [{"bbox_2d": [10, 15, 61, 66], "label": "ring & co", "color": "red"}]
    val = [json.loads(line) for line in (tmp_path / "val.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(v["class"], v["messages"][1]["content"][0]["text"]) for v in val] == [("ring & co", "[]"), ("pair", "[]")]


def test_pictures_that_differ_in_their_suffix_have_different_stems() -> None:
    assert unique_stems(["a.jpg", "A.png", "b/a.jpg", "plain"]) == {
        "a.jpg": "a_jpg",
        "A.png": "A_png",
        "b/a.jpg": "b/a",
        "plain": "plain",
    }


def test_a_label_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="not of the image's"):
        LabeledImage("a.jpg", 10, 10, (_label("1", 0, ring()),))


def one_object(*names: str, classes: tuple[str, ...] = ("thing",), split: str = "train") -> LabelSet:
    made = [
        LabeledImage(name, WIDTH, HEIGHT, (_label(name, 0, disc(40 + n, 40, 20)),), split)
        for n, name in enumerate(names)
    ]
    return LabelSet(classes, tuple(made))


def test_flat_names_never_collide() -> None:
    names = [
        "a/b.jpg",
        "a__b.jpg",
        "A__B.png",
        "images/x.jpg",
        "#1.jpg",
        "caf\u00e9.jpg",
        "cafe\u0301.jpg",
        "a_jpg.png",
        "a.jpg",
        "a.png",
    ]
    for stems in (one_object(*names).flat_stems(), unique_stems(names), unique_stems([*names[::-1]])):
        assert len({unicodedata.normalize("NFC", stem).casefold() for stem in stems.values()}) == len(names)
    flat = one_object(*names).flat_stems()
    assert all("/" not in stem and not stem.startswith("#") for stem in flat.values())
    assert flat["images/x.jpg"] == "images__x"


@pytest.mark.parametrize("names", [("a/b.jpg", "a__b.jpg"), ("images/a.jpg", "x/images/a.jpg"), ("a.gif", "b.jfif")])
def test_yolo_and_voc_have_a_file_for_every_image_in_one_folder(tmp_path: Path, names: tuple[str, ...]) -> None:
    labels = one_object(*names)
    assert write_yolo(labels, tmp_path / "yolo") == []
    assert write_voc(labels, tmp_path / "voc") == []
    assert len(list((tmp_path / "yolo" / "labels" / "train").glob("*.txt"))) == 2
    assert len(list((tmp_path / "voc" / "Annotations").glob("*.xml"))) == 2
    listed = (tmp_path / "yolo" / "train.txt").read_text().splitlines()
    assert len(set(listed)) == 2
    assert all(Path(line).suffix in (".jpg", ".png") and Path(line).parent == Path("images/train") for line in listed)
    assert "path" not in yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())


def test_voc_classes_are_renamed_where_a_labelmap_cannot_hold_them(tmp_path: Path) -> None:
    labels = one_object("a.jpg", classes=("sign: house", "sign_ house", "#1"))
    (warning,) = write_voc(labels, tmp_path)
    assert "'sign: house' is 'sign_ house-2', '#1' is '_1'" in warning
    lines = (tmp_path / "labelmap.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in lines[2:]] == ["sign_ house-2", "sign_ house", "_1"]
    assert all(line.count(":") == 3 for line in lines[1:])
    root = Xml.parse(tmp_path / "Annotations" / "a.xml").getroot()
    assert root.findtext("object/name") == "sign_ house-2"


def test_cvat_names_its_subsets_only_where_there_are_several(tmp_path: Path) -> None:
    write_cvat(label_set(), tmp_path / "two")
    root = Xml.parse(tmp_path / "two" / "annotations.xml").getroot()
    assert [each.text for each in root.iter("subset")] == ["train", "val"]
    assert {image.get("subset") for image in root.iter("image")} == {"train", "val"}
    write_cvat(one_object("a.jpg"), tmp_path / "one")
    root = Xml.parse(tmp_path / "one" / "annotations.xml").getroot()
    assert (root.find("meta/task"), list(root.iter("subset"))) != (None, [])
    assert root.find("image").get("subset") is None


def test_the_box_of_a_label_is_that_of_its_mask() -> None:
    (image,) = one_object("a.jpg").images
    assert image.labels[0].box == masks.box(image.labels[0].rle)


@pytest.mark.parametrize("kind", ["coco", "cvat", "labelme", "yolo"])
def test_what_is_exported_is_read_again(tmp_path: Path, kind: str) -> None:
    writers = {"coco": write_coco_labels, "cvat": write_cvat, "labelme": write_labelme, "yolo": write_yolo}
    sources = {
        "coco": "annotations/instances_train.json",
        "cvat": "annotations.xml",
        "labelme": "train",
        "yolo": "data.yaml",
    }
    for name in TRUTH:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / name)
    writers[kind](label_set(), tmp_path / "out")
    read = read_labels(tmp_path / "out" / sources[kind], KnownImages(tmp_path / "images", list(TRUTH)))
    assert read.lost == 0
    for name in ("a.jpg", "sub/b c.png"):
        assert [label.class_name for label in read.labels[name]] == [label_set().classes[k] for k, _ in TRUTH[name]]
        for label, (_, mask) in zip(read.labels[name], TRUTH[name], strict=True):
            assert iou(masks.decode(label.rle), mask) > 0.97
