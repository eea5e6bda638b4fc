"""Names in label files, matched to files where that is safe, and counted where it is not."""

from pathlib import Path

import pytest

from sam3_agent.formats.image_names import ImageNames

FILES = ("train/a.jpg", "val/a.jpg", "b.jpg", "x/caf\u00e9.jpg", "100%.jpg", "cam1/0001.jpg")


def names(*files: str, root: str = "/data/images", digest: dict[str, str] | None = None) -> ImageNames:
    return ImageNames(Path(root), files or FILES, lambda path: (digest or {}).get(path, path))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("train/a.jpg", "train/a.jpg"),
        ("train\\a.jpg", "train/a.jpg"),
        ("C:\\work\\train\\a.jpg", "train/a.jpg"),
        ("./val/a.jpg", "val/a.jpg"),
        ("../images/b.jpg", "b.jpg"),
        ("/home/other/images/b.jpg", "b.jpg"),
        ("B.JPG", "b.jpg"),
        ("x/cafe\u0301.jpg", "x/caf\u00e9.jpg"),
        ("x/caf%C3%A9.jpg", "x/caf\u00e9.jpg"),
        ("100%.jpg", "100%.jpg"),
        ("100%25.jpg", "100%.jpg"),
        ("/data/local-files/?d=x/caf%C3%A9.jpg", "x/caf\u00e9.jpg"),
        ("https://host/bucket/train/a.jpg?sign=1", "train/a.jpg"),
        ("file:///data/images/b.jpg", "b.jpg"),
    ],
)
def test_a_name_from_another_machine_means_its_file(name: str, path: str) -> None:
    assert names().find(name) == path
    assert names().match([name]).paths == {name: (path,)}


@pytest.mark.parametrize("name", ["", "/", "..", "\0", "a", "c.jpg", "train", "http://[bad/b", "test/a.jpg"])
def test_a_name_of_no_file_is_listed(name: str) -> None:
    assert names().match([name]).unmatched == (name,)


def test_a_name_that_could_be_two_files_means_none_of_them() -> None:
    matched = names().match(["a.jpg"])
    assert matched.paths == {}
    assert matched.ambiguous == {"a.jpg": ("train/a.jpg", "val/a.jpg")}
    assert names(digest={"train/a.jpg": "1", "val/a.jpg": "1"}).find("a.jpg") == "train/a.jpg"  # one image, twice there


def test_a_label_of_another_split_is_never_taken() -> None:
    train = names("0001.jpg", root="/set/images/train")
    assert train.find("val/0001.jpg") is None
    assert train.find("valid/images/0001.jpg") == "0001.jpg"  # these folders say nothing about this one
    assert train.find("images/train/0001.jpg") == "0001.jpg"
    copied = names("0001.jpg", root="/elsewhere")
    contested = copied.match(["train/0001.jpg", "val/0001.jpg"])
    assert contested.paths == {}
    assert contested.contested == {"train/0001.jpg": ("val/0001.jpg",), "val/0001.jpg": ("train/0001.jpg",)}


def test_the_better_of_two_names_of_a_file_wins_and_spellings_of_one_name_agree() -> None:
    matched = names().match(["b.jpg", "other/b.jpg", "B.JPG"])
    assert matched.paths == {"b.jpg": ("b.jpg",)}
    assert set(matched.contested) == {"other/b.jpg", "B.JPG"}
    assert set(names().match(["train/a.jpg", "train\\a.jpg"]).paths) == {"train/a.jpg", "train\\a.jpg"}


def test_a_match_across_folders_is_remarked_on() -> None:
    assert names().match(["cam2/0001.jpg"]).loose == {"cam2/0001.jpg"}
    assert names().match(["0001.jpg", "cam1/0001.jpg"]).loose == frozenset()


def test_stems_of_yolo_mean_every_image_beside_which_they_lie() -> None:
    stems = ImageNames(Path("/set"), ("images/a.jpg", "images/a.png", "images/s/b.jpg"), str, stems=True)
    assert stems.match(["/set/images/a"]).paths == {"/set/images/a": ("images/a.jpg", "images/a.png")}
    assert stems.match(["/out/images/train/s__b"]).paths == {"/out/images/train/s__b": ("images/s/b.jpg",)}


def test_many_files_of_one_name_do_not_take_quadratic_time() -> None:
    many = names(*(f"{number}/image.jpg" for number in range(20_000)))
    matched = many.match([f"{number}/image.jpg" for number in range(20_000)] + ["image.jpg"])
    assert len(matched.paths) == 20_000
    assert set(matched.ambiguous) == {"image.jpg"}
