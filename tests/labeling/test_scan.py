"""A folder of images: what is read, what is listed as unreadable, what is no image."""

import os
from dataclasses import replace
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


def test_folder_and_journal_are_gone_through_in_one_order(tmp_path: Path) -> None:
    images = tmp_path / "images"
    names = ["B.png", "a-b.png", "a.png", "a/-.png", "a/b/c.png", "a/b.png", "a0.png", "ä/é.png", "😀.png", "﹏.png"]
    for number, name in enumerate(names):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(bytes([number]))
    journal = Journal.create(tmp_path / "run")
    assert [row.path for row in scan(images, journal)] == sorted(names)
    assert [path for (path,) in journal.rows("SELECT path FROM images ORDER BY path")] == sorted(names)
    again = scan(images, journal)
    assert (len(again), again.missing) == (len(names), frozenset())
    assert [row.path for row in again.of_state("pending")] == sorted(names)


def test_a_file_of_the_same_size_and_time_is_not_read_again_and_another_is(tmp_path: Path) -> None:
    images, names = tmp_path / "images", ("kept.png", "touched.png", "changed.png")
    images.mkdir()
    for name in names:
        (images / name).write_text(name)
    journal = Journal.create(tmp_path / "run")
    before = {row.path: row for row in scan(images, journal)}
    journal.put_images([replace(row, state="done", width=4, height=4) for row in before.values()])
    for name in ("kept.png", "changed.png"):
        (images / name).write_text(name.upper())
    os.utime(images / "kept.png", ns=(0, before["kept.png"].mtime))
    for name in ("touched.png", "changed.png"):
        os.utime(images / name, ns=(0, before[name].mtime + 1))
    after = {row.path: row for row in scan(images, journal)}
    assert {name: row.state for name, row in after.items()} == {
        "kept.png": "done", "touched.png": "done", "changed.png": "pending",
    }  # fmt: skip
    assert after["kept.png"].sha == before["kept.png"].sha
    assert after["touched.png"].mtime == before["touched.png"].mtime + 1


def test_what_is_gone_is_not_labeled_and_its_duplicate_is_in_its_place(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (images / name).write_text("one content")
    (images / "d.png").write_text("another")
    journal = Journal.create(tmp_path / "run")
    assert [(row.path, row.state, row.reason) for row in scan(images, journal)] == [
        ("a.png", "pending", ""), ("b.png", "duplicate", "a.png"), ("c.png", "duplicate", "a.png"),
        ("d.png", "pending", ""),
    ]  # fmt: skip
    (images / "a.png").unlink()
    (images / "d.png").unlink()
    found = scan(images, journal)
    assert [(row.path, row.state, row.reason) for row in found] == [
        ("b.png", "pending", ""), ("c.png", "duplicate", "b.png"),
    ]  # fmt: skip
    assert (found.missing, len(found.of_state("pending"))) == ({"a.png", "d.png"}, 1)


def test_a_run_that_changes_rows_goes_through_each_pending_image_once(tmp_path: Path) -> None:
    images, count = tmp_path / "images", 1201
    images.mkdir()
    for number in range(count):
        (images / f"{number:04d}.png").write_text(str(number))
    journal = Journal.create(tmp_path / "run")
    pending, seen = scan(images, journal).of_state("pending"), list[str]()
    for row in pending:
        seen.append(row.path)
        journal.put_images([replace(row, state="done")])
    assert seen == [f"{number:04d}.png" for number in range(count)]
    assert (len(pending), len(scan(images, journal).of_state("pending"))) == (count, 0)
