"""Rounds over a run: what decisions teach, what stays, what a stop leaves, what is looked at next."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sam3_agent import masks
from sam3_agent.errors import Cancelled, InputError
from sam3_agent.formats.concept_file import read_concept
from sam3_agent.labeling.io.export_labels import export
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.io.teaching_images import read_decided
from sam3_agent.labeling.ontology.ontology import ontology_of
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.merge import beside_decisions
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.relabel.lesson import Lesson, Recipe, with_thresholds
from sam3_agent.labeling.relabel.round import RoundOptions, plan_of, run_round
from sam3_agent.labeling.relabel.versions import concept_path, next_name, run_ontology, versions_of
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.handlers import Handlers, queue_of
from sam3_agent.labeling.review.refine import ReviewSegmenter
from sam3_agent.labeling.review.rounds import Rounds
from sam3_agent.labeling.review.server import build_app
from sam3_agent.labeling.store.change import Change, ClassChange
from sam3_agent.labeling.store.documents import label_json
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.teaching.progress import TeachProgress
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_rounds import QUICK, begin, decide, mistaken_segmenter, one_round, write_blocks
from tests.labeling.fixtures_runs import CONCEPTS, ontology


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal]:
    """Seven pictures, of which a person has decided the first three; two of these hold two gizmos each."""
    with closing(begin(tmp_path)) as opened:
        decide(opened, tmp_path, 3)
        yield opened


def documents(journal: Journal) -> list[dict[str, object]]:
    return [label_json(each) for each in journal.labels()]


def decided(journal: Journal) -> list[dict[str, object]]:
    return [label_json(each) for each in journal.labels() if each.is_settled]


def test_a_round_learns_from_decisions_and_labels_the_rest_anew(journal: Journal) -> None:
    before = decided(journal)
    report = one_round(journal)
    (lesson,) = report.lessons
    assert (lesson.objects, lesson.images, lesson.absent) == (4, 2, 1)
    assert lesson.version is not None
    assert lesson.version.kept
    assert decided(journal) == before
    fresh = [each for each in journal.labels() if not each.is_settled and each.route != "rejected"]
    assert {(each.phrase, each.source) for each in fresh} == {("@gizmo.v1", "taught")}
    assert all(each.id.split(".")[2] == "v1" for each in fresh)
    having = sum(number % 3 > 0 for number in range(3, 7))
    assert len(fresh) == 2 * having
    assert report.changes["gizmo"] == ClassChange(found=2 * having, lost=4)


def test_what_a_person_rejected_is_not_proposed_again(journal: Journal, tmp_path: Path) -> None:
    one_round(journal)
    (first, _) = journal.labels(journal.images("done")[4].sha)
    ReviewDecisions(journal, "me").decide([first.id], "reject")
    decide(journal, tmp_path, 1, first=5)
    assert one_round(journal).relabeled == 7
    same = [each for each in journal.labels(first.sha) if each.rle == first.rle]
    assert [(each.route, each.decided_by) for each in same] == [("rejected", "person")]


def test_an_image_that_was_called_complete_while_nothing_was_on_it_stays_empty(journal: Journal) -> None:
    row = journal.images("done")[4]
    with journal.writing() as db:
        db.execute("DELETE FROM labels WHERE sha=?", (row.sha,))
    ReviewDecisions(journal, "me").confirm(row.sha)
    one_round(journal)
    assert journal.labels(row.sha) == []


def test_what_a_person_gave_another_class_is_not_proposed_as_the_old_one(journal: Journal) -> None:
    first, *_ = journal.labels(journal.images("done")[4].sha)
    other = replace(
        first, id="x.1.000", class_name="lamp", proposed_class="gizmo", route="accepted", decided_by="person"
    )
    again = replace(first, id="x.0.v2.000")
    assert beside_decisions([again], [other], []) == []
    assert beside_decisions([again], [replace(other, proposed_class="")], []) == [again]


def test_of_many_rejected_labels_the_persons_come_first_and_no_object_twice(journal: Journal) -> None:
    row = journal.images("done")[1]
    (mine,) = [each for each in journal.labels(row.sha) if each.route == "rejected"]
    places = [masks.from_box((x, 0.0, x + 4, 4.0), (row.height, row.width)) for x in range(30, 70, 5)]
    more = [replace(mine, id=f"r{n}", rle=rle, decided_by="rule", score=0.3 + n / 100) for n, rle in enumerate(places)]
    journal.put_labels([*more, replace(mine, id="twin", decided_by="rule")])
    (image,) = [each for each in read_decided(journal, "gizmo").images if each.name == row.path]
    assert image.lookalikes == (mine.rle, *places[:-4:-1])


def test_without_new_decisions_nothing_is_taught_or_asked_again(journal: Journal) -> None:
    one_round(journal)
    labels = documents(journal)
    report = one_round(journal)
    assert [each.says for each in report.lessons] == ["nothing new was decided since gizmo.v1"]
    assert (report.relabeled, documents(journal)) == (0, labels)


def test_more_decisions_make_the_next_version_and_old_labels_of_machines_go(journal: Journal, tmp_path: Path) -> None:
    one_round(journal)
    decide(journal, tmp_path, 3, first=3)
    one_round(journal)
    assert [each.name for each in versions_of(journal)] == ["gizmo.v1", "gizmo.v2"]
    assert {each.phrase for each in journal.labels() if not each.is_settled} <= {"@gizmo.v2"}
    assert read_concept(concept_path(tmp_path / "run", "gizmo.v2")).name == "gizmo.v2"


def test_a_version_that_is_no_better_is_not_used(tmp_path: Path) -> None:
    with closing(begin(tmp_path)) as journal:
        decisions = ReviewDecisions(journal, "me")
        for row in journal.images("done")[:4]:
            decisions.decide([each.id for each in journal.labels(row.sha)], "accept")  # blue ones are meant
            decisions.confirm(row.sha)
        before = documents(journal)
        (lesson,) = one_round(journal).lessons
        assert lesson.version is not None
        assert not lesson.version.kept
        assert lesson.says.endswith("1.00 by words and examples; not used")
        assert documents(journal) == before


@pytest.mark.parametrize("images", [0, 1, 3])
def test_a_round_that_was_stopped_goes_on_and_ends_like_an_undisturbed_one(
    journal: Journal, tmp_path: Path, images: int
) -> None:
    def stop(now: TeachProgress) -> None:
        if now.doing == "labeling anew" and now.done > images:
            raise Cancelled("enough")

    with closing(begin(tmp_path / "other")) as other:
        decide(other, tmp_path / "other", 3)
        one_round(other)
        undisturbed = [{**each, "id": "", "reason": ""} for each in documents(other) if each["source"] != "human"]
    with pytest.raises(Cancelled):
        one_round(journal, stop)
    report = one_round(journal)
    assert report.resumed
    assert report.relabeled < 7
    assert [{**each, "id": "", "reason": ""} for each in documents(journal) if each["source"] != "human"] == undisturbed


def test_new_images_of_a_run_are_asked_by_the_version(journal: Journal, tmp_path: Path) -> None:
    one_round(journal)
    write_blocks(tmp_path / "images", 9)
    proposer = Proposer(Workspace(mistaken_segmenter()), run_ontology(journal), tiles="never")
    label_images(Order(tmp_path / "images"), journal, ThreadExecutor(proposer))
    new = next(row for row in journal.images("done") if row.path == "8.png")
    assert {each.phrase for each in journal.labels(new.sha)} == {"@gizmo.v1"}
    assert one_round(journal).relabeled == 0


def test_an_export_names_the_version_of_each_label(journal: Journal, tmp_path: Path) -> None:
    one_round(journal)
    export(journal, "coco", tmp_path / "coco", Selection(("accepted", "review")))
    lines = (tmp_path / "coco" / "provenance.jsonl").read_text().splitlines()
    assert sum('"@gizmo.v1"' in line for line in lines) == sum("taught" in line for line in lines) > 0


def test_images_to_look_at_next_are_a_queue_of_the_review(journal: Journal) -> None:
    report = one_round(journal)
    assert report.next
    assert any("versions disagree: gizmo" in reason for each in report.next for reason in each.reasons)
    queue = queue_of(journal, "next", None, 0, 100)
    assert [item["sha"] for item in queue.items] == [each.sha for each in report.next]
    ReviewDecisions(journal, "me").confirm(report.next[0].sha)
    assert queue_of(journal, "next", None, 0, 100).total == len(report.next) - 1


def test_only_what_people_decided_is_taught(journal: Journal) -> None:
    given = read_decided(journal, "gizmo")
    assert sorted(image.name for image in given.images) == ["0.png", "1.png", "2.png"]
    assert [len(image.lookalikes) for image in given.images if image.objects] == [1, 1]


def test_what_was_rejected_on_an_open_image_is_cut_out(journal: Journal) -> None:
    row = journal.images("done")[4]
    ReviewDecisions(journal, "me").decide([each.id for each in journal.labels(row.sha)], "reject")
    (cutout,) = [image for image in read_decided(journal, "gizmo").images if "#" in image.name]
    assert cutout.name == f"{row.path}#0"
    assert not cutout.objects
    assert cutout.pixels.shape[0] < row.height


def test_accepted_labels_of_images_that_nobody_called_complete_are_left_out_aloud(tmp_path: Path) -> None:
    with closing(begin(tmp_path)) as journal:
        first = journal.images("done")[0]
        ReviewDecisions(journal, "me").decide([each.id for each in journal.labels(first.sha)], "accept")
        (lesson,) = plan_of(journal, RoundOptions())
        assert lesson.objects == 0
        assert "nobody said that nothing is missing" in lesson.notes[0]
        assert one_round(journal).lessons == (lesson,)


def test_a_class_that_is_not_there_and_another_model_are_refused(journal: Journal) -> None:
    with pytest.raises(InputError, match="unknown class 'gear'; known: gizmo"):
        run_round(journal, mistaken_segmenter(), replace(QUICK, classes=("gear",)))
    journal.remember({"model": {"name": "other"}})
    with pytest.raises(InputError, match="was labeled by other, not fake: give --model"):
        one_round(journal)


def test_classes_of_a_round_stand_behind_each_others_thresholds() -> None:
    ontology = parse_ontology("classes: [{name: gear}, {name: bolt}]", Path("c.yaml"))
    right = tuple((0.5 + place / 30, True) for place in range(12))
    alone, both = Lesson("gear", 12, 6, 6, "", points=right), Lesson("bolt", 12, 6, 6, "", points=right)
    (single,) = with_thresholds([alone], ontology)
    assert single.thresholds is not None
    assert single.thresholds.accept == 1.0, "twelve right ones are no proof of .95"
    for each in with_thresholds([alone, both], ontology):
        assert each.thresholds is not None
        assert each.thresholds.accept <= 0.55
    wrong = replace(both, points=tuple((score, place % 2 == 0) for place, (score, _) in enumerate(right)))
    fitted = with_thresholds([alone, wrong], ontology)[0].thresholds
    assert fitted is not None
    assert fitted.accept > 0.55


def test_names_of_versions_are_names_of_concepts_and_never_meet() -> None:
    assert next_name("Roter Würfel", []) == "Roter-W-rfel.v1"
    assert next_name("_x", []) == "class-x.v1"


def test_classes_of_a_journal_are_read_back_as_they_were() -> None:
    known = ontology(CONCEPTS)
    assert ontology_of(known.to_json()) == known
    with pytest.raises(InputError, match=r"damaged: classes\.0\.name"):
        ontology_of({"classes": [{"name": 3}]})


def test_a_damaged_record_of_changes_is_told() -> None:
    assert Change.read(Change({"a": ClassChange(1, 2)}, 0.5).pack()) == Change({"a": ClassChange(1, 2)}, 0.5)
    with pytest.raises(InputError, match="damaged record of what changed"):
        Change.read(b"{}")


@pytest.fixture
def rounds(journal: Journal) -> Generator[Rounds]:
    with closing(Rounds(journal, mistaken_segmenter, QUICK)) as made:
        yield made


@pytest.fixture
def client(journal: Journal, rounds: Rounds) -> Generator[TestClient]:
    segmenter = ReviewSegmenter(journal, lambda: Workspace(mistaken_segmenter()))
    handlers = Handlers(journal, ReviewDecisions(journal), segmenter, rounds)
    with TestClient(build_app(handlers, "key"), base_url="http://127.0.0.1") as client:
        yield client


def ended(client: TestClient) -> dict[str, object]:
    while (state := client.post("/key/api/round_state", json={}).json())["running"]:
        time.sleep(0.01)
    return state


def test_the_page_teaches_in_the_background(client: TestClient, journal: Journal) -> None:
    assert client.post("/key/api/round", json={}).json() == {"started": True}
    state = ended(client)
    assert state["error"] == ""
    assert "gizmo: finds" in str(state["says"])
    assert [each.name for each in versions_of(journal)] == ["gizmo.v1"]


def test_a_round_that_the_page_stops_says_that_it_goes_on(rounds: Rounds, client: TestClient) -> None:
    client.post("/key/api/round", json={})
    client.post("/key/api/round_stop", json={})
    ended(client)
    client.post("/key/api/round", json={})
    assert ended(client)["error"] == ""


@pytest.mark.integration
@pytest.mark.timeout(1800)  # three starts of the interpreter
def test_a_killed_round_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    wanted = None
    for moment in (None, 0.2):
        folder = tmp_path / str(moment)
        with closing(begin(folder, 12)) as journal:
            decide(journal, folder, 3)
        command = [sys.executable, "-m", "tests.labeling.fixtures_rounds", str(folder / "run")]
        if moment is not None:
            process = subprocess.Popen(command)
            while process.poll() is None and not (folder / "run" / "concepts").exists():
                time.sleep(0.01)
            time.sleep(moment)
            process.kill()
            process.wait()
        subprocess.run(command, check=True)
        with closing(Journal.open(folder / "run")) as journal:
            left = [{**each, "id": "", "reason": ""} for each in documents(journal) if each["source"] != "human"]
        wanted = wanted or left
        assert left == wanted


@pytest.mark.integration
@pytest.mark.timeout(1800)  # half a minute on an idle core
def test_enough_decisions_are_taught_by_gradient_and_the_version_is_used_where_it_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam3_agent.training.teaching.teach.TRAINED_MARGIN", -10.0)  # a short training loses
    segmenter = Sam3.load("tiny", device="cpu")
    write_blocks(tmp_path / "images", 13)
    with closing(Journal.create(tmp_path / "run")) as journal:
        proposer = Proposer(Workspace(segmenter), ontology("classes: [{name: gizmo}]"), tiles="never")
        label_images(Order(tmp_path / "images"), journal, ThreadExecutor(proposer))
        decide(journal, tmp_path, 12)
        before = decided(journal)
        report = run_round(journal, segmenter, RoundOptions(recipe=Recipe(steps=1)))
        (lesson,) = report.lessons
        assert (lesson.objects, lesson.images, lesson.absent) == (16, 8, 4)
        assert lesson.version is not None
        assert lesson.version.how == "taught"
        assert report.relabeled == (13 if lesson.version.kept else 0)
        assert decided(journal) == before
    assert read_concept(concept_path(tmp_path / "run", lesson.version.name)).tokens.count == 8
    assert not list((tmp_path / "run" / "concepts").glob(".*"))
