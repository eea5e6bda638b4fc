"""Characters that steer a terminal or spoil a file are written visibly, in every place that prints or exports names."""

import io
import json
import logging
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import yaml

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.control_characters import (
    VisibleFormatter,
    visible_json,
    visible_line,
    visible_text,
    xml_text,
)
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.video import cvat_video, label_studio_video, mot
from sam3_agent.formats.video.track_set import TrackSet, track_of
from sam3_agent.labeling.io.export_labels import FORMATS

STEERING = {
    "\x1b[2J": r"\x1b[2J",
    "\x1b]52;c;YQ==\x07": r"\x1b]52;c;YQ==\x07",
    "\x9b31m": r"\x9b31m",
    "\x00\x08\x7f\r": r"\x00\x08\x7f\r",
    "\u202egpj": r"\u202egpj",
    "\u2066a\u2069": r"\u2066a\u2069",
    "\u2028\u2029\u0085": r"\u2028\u2029\x85",
    "\ud83d": r"\ud83d",
    "x\udcff": r"x\udcff",
    "\U000e0041": r"\U000e0041",
    "\ufeff\u200b": r"\ufeff\u200b",
}
PLAIN = "naïve café 图 👩‍👩‍👧 \u0645\u06cc\u200c\u062e \u05d0 a\tb"
"""Accents, Chinese, an emoji of joined ones, Persian with its joiner, Hebrew, a tab."""


@pytest.mark.parametrize(("text", "visible"), STEERING.items(), ids=ascii)
def test_what_steers_a_terminal_is_escaped_in_texts_lines_and_json(text: str, visible: str) -> None:
    assert visible_text(f"a{text}b") == visible_line(f"a{text}b") == f"a{visible}b"
    written = visible_json({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert visible_text(written) == written
    written.encode()


def test_what_people_write_stays_as_it_is() -> None:
    assert visible_text(f"{PLAIN}\n{PLAIN}") == f"{PLAIN}\n{PLAIN}"
    assert visible_line(PLAIN) == xml_text(PLAIN) == PLAIN
    assert visible_json(PLAIN) == json.dumps(PLAIN, ensure_ascii=False)
    assert visible_line("one\ntwo") == r"one\ntwo"


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_any_text_becomes_xml_that_parses(text: str) -> None:
    element = Xml.Element("a", {"name": xml_text(text)})
    element.text = xml_text(text)
    assert Xml.fromstring(Xml.tostring(element)).text is not None


def test_a_log_message_is_one_line_and_a_traceback_keeps_its_own() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(VisibleFormatter("%(levelname)s: %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("a %s", "\x1b[2J\nERROR: forged")
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        logger.exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[0] == r"WARNING: a \x1b[2J\nERROR: forged"
    assert lines[-1] == r"ValueError: \x1b[2J"
    assert "\x1b" not in stream.getvalue()


def square(identity: str) -> MaskLabel:
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 5:15] = True
    return MaskLabel(identity, 0, masks.encode(mask), attributes={"colo\x01r": "re\x1bd"})


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["a\x01b", "a\nb", "a\x1b[2J", "a\u202eb", "a\u2028b"], ids=ascii)
def test_a_name_with_control_characters_spoils_no_format(tmp_path: Path, form: str, name: str) -> None:
    images = tuple(
        LabeledImage(f"{each}.png", 30, 20, (square(f"{number}"),)) for number, each in enumerate((name, "plain"))
    )
    FORMATS[form](LabelSet(("cup",), images), tmp_path)
    for path in tmp_path.rglob("*"):
        if path.suffix == ".xml":
            Xml.parse(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            assert [json.loads(line) for line in path.read_text().split("\n") if line]
        elif path.suffix == ".yaml":
            yaml.safe_load(path.read_text())
        elif path.name in ("train.txt", "labelmap.txt"):
            lines = path.read_text().splitlines()
            assert len(lines) == (3 if path.name == "labelmap.txt" else 2)
            assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", ["cup\n", "c\x01up", "cup\x1b[2J", "\u202ecup", "\ud83d"], ids=ascii)
def test_a_class_with_control_characters_is_refused_for_every_format(name: str) -> None:
    with pytest.raises(InputError, match="cannot be printed"):
        LabelSet(("cup", name), ())


@pytest.mark.parametrize("concept", ["cup\x01", "cup\nsaucer", "\x1b[2J"], ids=ascii)
def test_a_concept_with_control_characters_spoils_no_format_of_videos(tmp_path: Path, concept: str) -> None:
    track = track_of("t1", concept, {0: (square("1").rle, 0.9)})
    assert track is not None
    video = TrackSet("clip", 30, 20, 1, (track,), source="cl\x01ip.mp4")
    cvat_video.write_cvat_video(video, tmp_path / "cvat.xml")
    label_studio_video.write_label_studio_video([video], tmp_path / "studio")
    mot.write_mot(video, tmp_path / "mot")
    for path in tmp_path.rglob("*.xml"):
        Xml.parse(path)
    assert visible_line(concept) in (tmp_path / "mot" / "gt" / "labels.txt").read_text().splitlines()
