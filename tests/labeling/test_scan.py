"""A folder of images: what is read, what is listed as unreadable, what is no image."""

import os
from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.labeling.pipeline.label_image import read_contents
from sam3_agent.labeling.pipeline.scan import MOST_FILE, pictures_in, scan
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


def test_one_odd_file_is_listed_and_the_others_go_on(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (4, 4)).save(images / "a.png")
    os.mkfifo(images / "pipe.png")
    os.mkfifo(images / "pipe")  # without a suffix: its first bytes would tell
    (images / "zero.png").symlink_to("/dev/zero")
    (images / "loop.png").symlink_to("loop.png")
    (images / "gone.png").symlink_to("nowhere.png")
    (images / "folder.png").mkdir()
    (Path(os.fsdecode(os.fsencode(images) + b"/caf\xe9.png"))).write_bytes(b"x")
    with (images / "sparse.png").open("wb") as file:
        file.truncate(MOST_FILE + 1)
    journal = Journal.create(tmp_path / "run")
    rows = {row.path: (row.state, row.reason) for row in scan(images, journal)}
    assert rows.pop("a.png") == ("pending", "")
    assert {state for state, _ in rows.values()} == {"unreadable"}
    assert {name: words for name, (_, words) in rows.items()} == {
        "pipe.png": "no regular file, but a pipe, socket or device",
        "zero.png": "no regular file, but a pipe, socket or device",
        "loop.png": "Too many levels of symbolic links",
        "gone.png": "No such file or directory",
        "caf\\xe9.png": "its name is not UTF-8: rename it",
        "sparse.png": f"{MOST_FILE + 1} bytes are too many for an image",
    }
    assert {row.path for row in journal.images("unreadable")} == set(rows)
    assert {row.path: (row.state, row.reason) for row in scan(images, journal)} == {**rows, "a.png": ("pending", "")}


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (row,) = scan(tmp_path / "a.png", Journal.create(tmp_path / "run"))
    (tmp_path / "a.png").unlink()
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="no regular file"):
        read_contents(tmp_path, row)
