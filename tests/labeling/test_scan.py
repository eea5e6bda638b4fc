"""A folder of images: what is read, what is listed as unreadable, what is no image."""

from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.labeling.pipeline.scan import pictures_in, scan
from sam3_agent.labeling.store.journal import Journal


def test_images_of_every_name_are_found_and_others_are_not(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    for name in ("b.jfif", "c.JPE", "d.jp2", "e.pgm", "f.heic", "g.jxl", "h.avif", "IMG_0001", "i.nef"):
        (tmp_path / name).write_bytes(data + name.encode())
    for name in ("notes.txt", "labels.json", ".hidden.jpg", "Makefile"):
        (tmp_path / name).write_text("no image")
    found = [path.name for path in pictures_in(tmp_path)]
    assert found == ["IMG_0001", "a.jpg", "b.jfif", "c.JPE", "d.jp2", "e.pgm", "f.heic", "g.jxl", "h.avif", "i.nef"]
    rows = {row.path: row for row in scan(tmp_path, Journal.create(tmp_path / "run"))}
    assert rows["i.nef"].state == "unreadable"
    assert "raw file of a camera" in rows["i.nef"].reason
    assert rows["IMG_0001"].state == "pending"


def test_a_folder_without_images_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"no images \(\.jpg, \.jpeg, .*\) in"):
        pictures_in(tmp_path)
