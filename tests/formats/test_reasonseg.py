"""ReasonSeg folders: what is written reads back; LISA's rules hold; broken records are named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import IGNORE, TARGET, rasterize, read_reasonseg, write_record

SQUARE = [(1.0, 1.0), (4.0, 1.0), (4.0, 4.0), (1.0, 4.0)]


def record(folder: Path, name: str = "a", size: tuple[int, int] = (12, 10), **changes: Any) -> Path:
    """A good pair on disk, with some fields replaced (or removed with ...)."""
    Image.new("RGB", size).save(folder / f"{name}.jpg")
    fields: dict[str, Any] = {
        "text": ["the square"],
        "is_sentence": False,
        "shapes": [{"label": "target", "points": [list(point) for point in SQUARE]}],
    } | changes
    path = folder / f"{name}.json"
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not ...}))
    return path


def ring() -> NDArray[np.bool_]:
    y, x = np.mgrid[:60, :80]
    away = (x - 40) ** 2 + (y - 30) ** 2
    return (away <= 25**2) & (away > 10**2)


def test_a_written_record_reads_back_with_exactly_its_target(tmp_path: Path) -> None:
    write_record(
        tmp_path, "r1", Image.new("RGB", (80, 60)), "the ring", ring(), is_sentence=True, extra={"kind": "plain"}
    )
    (read,) = read_reasonseg(tmp_path)
    assert read.name == "r1"
    assert read.image_path == tmp_path / "r1.jpg"
    assert read.texts == ("the ring",)
    assert read.is_sentence
    assert np.array_equal(read.target, ring())
    assert not read.ignore.any()
    assert read.extra == {"kind": "plain"}


def test_a_text_that_matches_nothing_has_an_empty_target(tmp_path: Path) -> None:
    write_record(tmp_path, "none", Image.new("RGB", (80, 60)), "the dog", np.zeros((60, 80), dtype=bool))
    (read,) = read_reasonseg(tmp_path)
    assert not read.target.any()


def test_a_target_of_another_size_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="80x61"):
        write_record(tmp_path, "r1", Image.new("RGB", (80, 61)), "the ring", ring())
    assert list(tmp_path.iterdir()) == []


def test_outline_and_fill_are_painted_both() -> None:
    painted = rasterize([("target", SQUARE)], (6, 6))
    assert painted.sum() == 16  # edges at 1 and 4 included
    assert painted[1, 1] == painted[4, 4] == TARGET


def test_points_are_truncated_towards_zero() -> None:
    assert np.array_equal(
        rasterize([("target", [(x + 0.99, y + 0.99) for x, y in SQUARE])], (6, 6)),
        rasterize([("target", SQUARE)], (6, 6)),
    )
    assert rasterize([("target", [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9)])], (3, 3)).sum() == 1


def test_points_outside_the_picture_are_clipped() -> None:
    assert rasterize([("target", [(-5000, -5000), (5000, -5000), (5000, 5000), (-5000, 5000)])], (6, 7)).all()


def test_small_shapes_are_painted_over_large_ones_in_whatever_order_they_come() -> None:
    large, small = ("target", [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)]), ("Ignore", SQUARE)
    for shapes in ([large, small], [small, large]):
        painted = rasterize(shapes, (10, 10))
        assert (painted == IGNORE).sum() == 16
        assert (painted == TARGET).sum() == 84


def test_flags_are_dropped_whatever_their_case() -> None:
    assert rasterize([("Flag", SQUARE)], (6, 6)).sum() == 0


def test_old_files_in_cp1252_are_read(tmp_path: Path) -> None:
    path = record(tmp_path)
    path.write_bytes(path.read_text().replace("the square", "the café").encode("cp1252"))
    (read,) = read_reasonseg(tmp_path)
    assert read.texts == ("the café",)


def test_a_rotated_photograph_has_the_size_that_a_viewer_shows(tmp_path: Path) -> None:
    record(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.new("RGB", (12, 10)).save(tmp_path / "a.jpg", exif=exif)
    (read,) = read_reasonseg(tmp_path)
    assert read.target.shape == (12, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ...}, r"a\.json: text: Field required"),
        ({"text": []}, r"a\.json: text: List should have at least 1"),
        ({"text": "the square"}, r"a\.json: text: Input should be a valid list"),
        ({"is_sentence": "yes"}, r"a\.json: is_sentence"),
        ({"shapes": ...}, r"a\.json: shapes"),
        ({"shapes": [{"label": "target", "points": []}]}, r"a\.json: shapes\.0\.points"),
        ({"shapes": [{"label": "target", "points": [[1, 2], [3]]}]}, r"a\.json: shapes\.0\.points\.1"),
        ({"shapes": [{"label": "target", "points": [[1, float("nan")]]}]}, r"a\.json: shapes\.0\.points\.0\.1"),
        ({"shapes": [{"points": [[1, 2]]}]}, r"a\.json: shapes\.0\.label"),
    ],
)
def test_a_broken_record_is_named_with_its_field(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    record(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        list(read_reasonseg(tmp_path))


def test_half_a_pair_an_empty_folder_and_a_broken_picture_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no NAME\.json beside NAME\.jpg"):
        list(read_reasonseg(tmp_path))
    with pytest.raises(InputError, match="no such folder"):
        list(read_reasonseg(tmp_path / "missing"))
    path = record(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.jpg: not a readable image"):
        list(read_reasonseg(tmp_path))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"a\.json: a\.jpg is missing"):
        list(read_reasonseg(tmp_path))
    record(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.jpg: a\.json is missing"):
        list(read_reasonseg(tmp_path))
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json: not JSON"):
        list(read_reasonseg(tmp_path))
