"""The health report: each fault that was planted is found, and a sound set is called sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.labeling.health.examine import LISTED, NEXT, examine, split_named
from sam3_agent.labeling.health.page import write_page
from sam3_agent.labeling.health.unlike import Unlike, Vectors, read_vectors, unlike_labels
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Check, Label
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

SIDE = 200


def block(x: int, y: int, side: int) -> masks.Rle:
    pixels = np.zeros((SIDE, SIDE), dtype=bool)
    pixels[y : y + side, x : x + side] = True
    return masks.encode(pixels)


def a_label(
    number: int, sha: str, rle: masks.Rle, name: str = "cup", route: str = "accepted", quality: float = 0.9
) -> Label:
    return Label(
        f"l{number}",
        sha,
        name,
        rle,
        masks.box(rle),
        0.9,
        0.9,
        1.0,
        "phrase",
        name,
        quality=quality,
        route=route,  # type: ignore[arg-type]
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Twelve sound images with two cups and a lamp each."""
    made = Journal.create(tmp_path / "run")
    made.remember({"images": str(tmp_path), "ontology": {"classes": [{"name": "cup"}, {"name": "lamp"}]}})
    chance = np.random.default_rng(0)
    for n in range(12):
        row = ImageRow(f"{n:02}.png", f"{n:064x}", 1, 1, "done", width=SIDE, height=SIDE, dhash=chance.bytes(8).hex())
        labels = [
            a_label(10 * n, row.sha, block(20, 20, 30)),
            a_label(10 * n + 1, row.sha, block(80, 20, 30)),
            a_label(10 * n + 2, row.sha, block(20, 100, 40), "lamp"),
        ]
        made.put_images([row])
        made.finish(row, labels, [])
    return made


def test_a_sound_set_has_nothing_to_complain_of(journal: Journal) -> None:
    health = examine(journal)
    assert (health.advice, health.findings, health.next) == ((), (), ())
    cup, lamp = health.classes
    assert (cup.name, cup.accepted, cup.review, cup.images, cup.tiny, cup.cut) == ("cup", 24, 0, 12, 0, 0)
    assert lamp.median_share == pytest.approx(40 * 40 / SIDE**2)


def test_every_planted_fault_is_found(journal: Journal) -> None:
    first, second, third = (row.sha for row in journal.images("done")[:3])
    journal.put_labels(
        [
            a_label(900, first, block(22, 21, 30)),
            a_label(901, first, block(20, 100, 39), "cup"),
            a_label(902, second, block(150, 150, 2)),
            a_label(903, second, block(160, 0, 20)),
            a_label(904, third, block(100, 100, 30), route="review", quality=0.5),
            a_label(905, third, block(150, 100, 30), "vase", route="review"),
            a_label(906, third, block(101, 101, 29), route="rejected"),
        ]
    )
    journal.put_checks([Check(second, "lamp", 0.6, "unsure", "", "review")])
    health = examine(journal)
    assert health.counts == {"twice": 1, "two_classes": 1, "tiny": 1}
    assert {finding.kind: finding.images for finding in health.findings} == {
        "twice": ("00.png",), "two_classes": ("00.png",), "tiny": ("01.png",)
    }  # fmt: skip
    assert [(each.name, each.tiny, each.cut) for each in health.classes] == [
        ("cup", 1, 1),
        ("lamp", 0, 0),
        ("vase", 0, 0),
    ]
    assert [image.image for image in health.next] == ["02.png", "00.png", "01.png"]
    assert "class vase has no accepted label, 1 wait for review." in health.advice
    assert "2 pairs of labels cover the same object." in health.advice


def test_a_class_of_few_labels_is_called_rare(journal: Journal) -> None:
    journal.put_labels([a_label(900, journal.images("done")[0].sha, block(120, 120, 20), "vase")])
    assert "class vase is rare: 1 labels, the most frequent one has 24." in examine(journal).advice


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train/a.png", "train"),
        ("data/Valid/x/a.png", "val"),
        ("test/a.png", "test"),
        ("a.png", None),
        ("pictures/train.png", None),
    ],
)
def test_a_folder_says_which_split_an_image_is_for(path: str, split: str | None) -> None:
    assert split_named(path) == split


def test_near_duplicates_across_splits_are_a_leak_and_within_one_are_not(journal: Journal) -> None:
    twin = journal.images("done")[0]
    for number, folder in enumerate(("train", "val", "val")):
        row = replace(twin, path=f"{folder}/{number}.png", sha=f"{500 + number:064x}", dhash=twin.dhash)
        journal.put_images([row])
        journal.finish(row, [], [])
    (leak,) = [finding for finding in examine(journal).findings if finding.kind == "leak"]
    assert set(leak.images) == {"00.png", "train/0.png", "val/1.png", "val/2.png"}
    assert leak.says == "near duplicates in train and val"
    assert examine(journal).images["without_labels"] == 3


def test_of_many_faults_all_are_counted_and_some_are_named(journal: Journal) -> None:
    sha = journal.images("done")[0].sha
    tiny = [a_label(1000 + n, sha, block(2 * (n % 90), 2 * (n // 90), 1)) for n in range(LISTED + 50)]
    journal.put_labels(tiny)
    health = examine(journal)
    assert health.counts["tiny"] == LISTED + 50
    assert len([finding for finding in health.findings if finding.kind == "tiny"]) == LISTED


def test_near_duplicates_are_looked_at_once(journal: Journal) -> None:
    twin = journal.images("done")[0]
    for number in range(NEXT + 2):
        row = replace(twin, path=f"copy{number}.png", sha=f"{700 + number:064x}")
        journal.put_images([row])
        journal.finish(row, [a_label(2000 + number, row.sha, block(9, 9, 30), route="review", quality=0.5)], [])
    assert [image.image for image in examine(journal).next] == ["copy0.png"]


def test_the_page_shows_images_and_escapes_names(tmp_path: Path) -> None:
    write_scenes(tmp_path / "images", 3)
    run = label(tmp_path / "images", tmp_path / "run", knowing_segmenter(3))
    run.put_labels([replace(run.labels()[0], route="review", class_name="<b>odd</b>")])
    (tmp_path / "images" / "001.png").unlink()
    write_page(run, examine(run), tmp_path / "health.html")
    text = (tmp_path / "health.html").read_text()
    assert text.count("data:image/jpeg;base64,") >= 1
    assert "&lt;b&gt;odd" in text
    assert "<b>odd" not in text
    assert "http" not in text.replace("data:image", "")
    run.close()


def vectors_of(*kinds: str, per_image: int = 1) -> Vectors:
    """Labels "CLASS:LOOK" with vectors that differ a little within a look; `per_image` of them on each image."""
    chance = np.random.default_rng(0)
    looks = {look: chance.normal(size=16) for look in ("c", "l", "x")}
    found = Vectors()
    for number, kind in enumerate(kinds):
        name, _, look = kind.partition(":")
        found.labels.append(a_label(number, f"{number // per_image:064x}", block(20, 20, 30), name))
        found.rows.append((looks[look] + 0.2 * chance.normal(size=16)).astype(np.float32))
    return found


def test_labels_that_look_like_another_class_are_found_worst_first() -> None:
    found = unlike_labels(vectors_of(*["cup:c"] * 12, "cup:l", *["lamp:l"] * 12, "lamp:c"))
    assert {(each.label.id, each.other) for each in found} == {("l12", "lamp"), ("l25", "cup")}
    assert "cup that looks more like lamp (" in {each.label.id: each.words() for each in found}["l12"]


def test_a_class_of_few_labels_a_single_class_and_neighbors_on_one_image_prove_nothing() -> None:
    assert unlike_labels(vectors_of(*["cup:c"] * 12, *["lamp:l"] * 3, "lamp:c")) == []
    assert unlike_labels(vectors_of(*["cup:c"] * 12, "cup:l")) == []
    assert unlike_labels(Vectors()) == []
    assert unlike_labels(vectors_of(*["cup:c"] * 12, *["lamp:l"] * 12, per_image=24)) == []


def test_the_report_lists_labels_unlike_their_class_by_the_model_s_features(tmp_path: Path) -> None:
    """The stand-in reads off each box what it is, so that a renamed label has the look of the others' kind."""
    write_scenes(tmp_path / "images", 12)
    segmenter = knowing_segmenter(12)
    run = label(tmp_path / "images", tmp_path / "run", segmenter)
    told: list[tuple[int, int]] = []
    vectors = read_vectors(run, segmenter, lambda done, total: told.append((done, total)))
    assert told[-1] == (11, 12)
    assert len(vectors.labels) == len(vectors.rows) == len(run.labels())
    (tmp_path / "images" / "003.png").unlink()
    assert read_vectors(run, segmenter, lambda *_: None).unread == 1
    planted = Unlike(run.labels()[0], "lamp", 0.2, 0.9)
    health = examine(run, {planted.label.sha: [planted]})
    assert health.counts["unlike"] == 1
    assert "1 labels look more like another class." in health.advice
    assert any("labels unlike their class: 1" in image.reasons for image in health.next)
    run.close()
