"""Images to teach from, out of labeling runs."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.labeling.io.teaching_images import read_teaching_set
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

CONCEPTS = "classes: [{name: animal}, {name: shape}]"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run in which a person has decided everything: the first shape of each image is rejected."""
    write_scenes(tmp_path / "images", 3)
    with closing(label(tmp_path / "images", tmp_path / "run", knowing_segmenter(3), CONCEPTS)) as journal:
        decisions = ReviewDecisions(journal)
        for row in journal.images("done"):
            shapes = [each.id for each in journal.labels(row.sha) if each.class_name == "shape"]
            if len(shapes) > 1:
                decisions.decide(shapes[:1], "reject")
                decisions.decide(shapes[1:], "accept")
            decisions.confirm(row.sha)
    return tmp_path / "run"


def test_a_run_gives_what_was_accepted_and_what_was_rejected_as_look_alikes(run_folder: Path) -> None:
    found = read_teaching_set(run_folder, "shape")
    with closing(Journal.open(run_folder)) as journal:
        accepted = sum(each.class_name == "shape" and each.route == "accepted" for each in journal.labels())
    assert found.class_name == "shape"
    assert sum(len(image.objects) for image in found.images) == accepted > 0
    assert sum(len(image.lookalikes) for image in found.images) > 0


def test_images_with_something_undecided_are_left_out_aloud(run_folder: Path) -> None:
    with closing(Journal.open(run_folder)) as journal:
        one = next(each for each in journal.labels() if each.class_name == "shape")
        journal.put_labels([replace(one, route="review")])
        whole = len(journal.images("done"))
    found = read_teaching_set(run_folder, "shape")
    assert len(found.images) == whole - 1
    assert found.notes == ("1 image left out: still to be decided in the review",)


def test_a_run_without_the_class_lists_its_classes(run_folder: Path) -> None:
    with pytest.raises(InputError, match="holds no class 'gear'; its classes: animal, shape"):
        read_teaching_set(run_folder, "gear")
