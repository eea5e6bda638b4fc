"""The review page's server without a browser: who gets in, what is refused, what undo restores."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.handlers import Handlers
from sam3_agent.labeling.review.refine import ReviewSegmenter
from sam3_agent.labeling.review.server import build_app, new_token
from sam3_agent.labeling.store.documents import label_json
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.verify.calibrate import calibrate, fitted
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

COUNT = 4
CONCEPTS = "accept: 0.99\nclasses: [{name: shape}, {name: animal}]"


class Blind(FakeSegmenter):
    """A model without clicks, as weights without a tracker half make it."""

    def segment_at(self, features: object, prompt: object) -> tuple[()]:
        raise ToolError("this model knows phrases and exemplars only")


@pytest.fixture
def calls(tmp_path: Path) -> Generator[Handlers]:
    write_scenes(tmp_path / "images", COUNT)
    journal = label(tmp_path / "images", tmp_path / "out", knowing_segmenter(COUNT), CONCEPTS)
    segmenter = ReviewSegmenter(journal, lambda: Workspace(Blind({})))
    yield Handlers(journal, ReviewDecisions(journal, "me"), segmenter)
    journal.close()


@pytest.fixture
def client(calls: Handlers) -> Generator[TestClient]:
    with TestClient(build_app(calls, "key"), base_url="http://127.0.0.1") as client:
        yield client


def waiting(journal: Journal) -> list[str]:
    return [each.id for each in journal.labels() if each.route == "review"]


def test_only_the_address_with_the_key_answers_and_only_to_this_machine(client: TestClient) -> None:
    assert client.get("/key/").status_code == 200
    assert "default-src 'self'" in client.get("/key/").headers["content-security-policy"]
    assert client.get("/key/static/app.js").headers["content-type"].startswith("text/javascript")
    for address in ("/", "/other/", "/key/static/nothing.js", "/key/static/..%2fserver.py", "/other/static/app.js"):
        assert client.get(address).status_code == 404, address
    assert client.get("/key/", headers={"Host": "evil.example"}).status_code == 400
    form = client.post("/key/api/undo", content="{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    assert len(new_token()) > 20
    assert new_token() != new_token()


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("decide", {"labels": ["none"], "action": "accept"}, "unknown label 'none'"),
        ("decide", {"labels": [], "action": "accept"}, "give at least one label"),
        ("decide", {"labels": [], "action": "burn"}, "unknown action 'burn'"),
        ("decide", {}, "a field is missing"),
        ("queue", {"filter": "odd"}, "unknown filter 'odd'"),
        ("image", {"sha": "odd"}, "no image 'odd'"),
        ("threshold", {"class": "odd", "threshold": 0.5}, "unknown class 'odd'"),
        ("threshold", {"class": "shape", "threshold": 7}, "threshold must be a number from 0 to 1"),
        ("mask", {"find": "c9", "class": "shape"}, "no longer there"),
        ("calibrate", {}, "calibration needs at least 10"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    client: TestClient, calls: Handlers, name: str, given: dict[str, object], complaint: str
) -> None:
    before = calls.journal.labels()
    answer = client.post(f"/key/api/{name}", json=given)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
    assert calls.journal.labels() == before
    assert calls.journal.read("SELECT COUNT(*) FROM decisions")[0][0] == 0


def test_a_model_without_clicks_says_so(client: TestClient, calls: Handlers) -> None:
    sha = calls.journal.images("done")[0].sha
    answer = client.post("/key/api/click", json={"sha": sha, "points": [[5, 5]], "labels": [True]})
    assert (answer.status_code, answer.json()) == (400, {"error": "this model knows phrases and exemplars only"})


def test_a_picture_that_is_gone_is_not_an_error_of_the_server(client: TestClient, calls: Handlers) -> None:
    row = calls.journal.images("done")[0]
    assert client.get(f"/key/picture/{row.sha}").status_code == 200
    (Path(calls.journal.meta("images")) / row.path).unlink()
    assert "is gone" in client.get(f"/key/picture/{row.sha}").json()["error"]


def test_every_decision_can_be_undone_to_the_letter(calls: Handlers) -> None:
    journal, workspace = calls.journal, calls.decisions
    start = [label_json(each) for each in journal.labels()], journal.checks()
    first, second, *_ = (each for each in journal.labels() if each.sha == journal.images("done")[0].sha)
    workspace.decide([first.id], "accept")
    workspace.decide([first.id], "reject")
    workspace.decide([second.id], "relabel", "animal")
    workspace.put_mask(first.sha, second.rle, "animal")
    workspace.put_mask(first.sha, first.rle, "animal", second.id)
    workspace.propose(first.sha, [(first.rle, 0.5, 0.5)], "animal")
    workspace.confirm(first.sha)
    assert workspace.set_threshold("shape", 0.99) > 0
    actions = [undone.action for _ in range(8) if (undone := workspace.undo())]
    assert actions == ["threshold", "confirm", "like", "mask", "mask", "relabel", "reject", "accept"]
    assert workspace.undo() is None
    assert ([label_json(each) for each in journal.labels()], journal.checks()) == start


def test_decided_labels_stay_when_the_run_goes_on(calls: Handlers, tmp_path: Path) -> None:
    first, second, *_ = calls.journal.labels()
    calls.decisions.decide([first.id], "reject")
    calls.decisions.decide([second.id], "relabel", "animal")
    journal = label(tmp_path / "images", tmp_path / "out", knowing_segmenter(COUNT), CONCEPTS.replace("0.99", "0.5"))
    assert journal.label(first.id).route == "rejected"
    assert journal.label(second.id).class_name == "animal"
    assert waiting(journal) == []


def test_the_queue_shows_the_most_uncertain_first(client: TestClient, calls: Handlers) -> None:
    every = client.post("/key/api/queue", json={"filter": "all"}).json()
    assert every["total"] == COUNT
    doubts = [item["uncertainty"] for item in every["items"]]
    assert doubts == sorted(doubts, reverse=True)
    calls.decisions.decide([each.id for each in calls.journal.labels(every["items"][0]["sha"])], "accept")
    left = client.post("/key/api/queue", json={"filter": "review"}).json()
    assert left["total"] == COUNT - 1
    state = client.post("/key/api/state", json={}).json()
    assert state["progress"]["decided"] == state["progress"]["accepted"] > 0


def test_lines_are_fitted_to_what_was_decided() -> None:
    points = [(0.9, True)] * 20 + [(0.8, True), (0.7, False)] * 10 + [(0.3, False)] * 5
    lines = fitted(points, Thresholds())
    assert lines.accept == 0.8
    assert 0.79 < lines.review < 0.8
    assert fitted([(0.9, False)] * 20, Thresholds()).accept == 1.0
    assert fitted([(0.9, True)] * 12, Thresholds(), 0.99).accept == 1.0


def test_calibration_routes_the_rest_anew(calls: Handlers) -> None:
    labels = calls.journal.labels()
    for each in labels[:12]:
        calls.decisions.decide([each.id], "accept")
    before = len(waiting(calls.journal))
    fits = calibrate(calls.journal, 0.9)
    assert {fit.class_name for fit in fits} == {"shape", "animal"}
    assert sum(fit.decided for fit in fits) == 12
    assert before > 0
    assert waiting(calls.journal) == []


def test_a_reviewer_needs_a_name_of_its_own(calls: Handlers) -> None:
    for name in ("", "import"):
        with pytest.raises(InputError, match="the reviewer needs a name"):
            ReviewDecisions(calls.journal, name)


@pytest.mark.parametrize(
    ("name", "body", "complaint"),
    [
        ("threshold", '{"class": "shape", "threshold": Infinity}', "finite"),
        ("threshold", '{"class": "shape", "threshold": NaN}', "finite"),
        ("threshold", '{"class": "shape", "threshold": 1e400}', "finite"),
        ("queue", '{"filter": "all", "limit": Infinity}', "limit"),
        ("queue", '{"filter": "all", "offset": 1e300}', "offset"),
        ("queue", '{"filter": "all", "offset": ' + "9" * 5000 + "}", "digits"),
        ("queue", '{"filter": []}', "filter"),
        ("click", '{"sha": "x", "points": [[Infinity, 1]], "labels": [true]}', "points"),
        ("click", '{"sha": "x", "points": [[1e300, 1]], "labels": [true]}', "points"),
        ("click", '{"sha": "x", "points": ' + str([[1, 1]] * 60_000) + ', "labels": [true]}', "at most 100"),
        ("click", '{"sha": "x", "points": [[1, 1]], "labels": [true], "box": [1, NaN, 2, 3]}', "box"),
        ("decide", '{"labels": {"a": 1}, "action": "accept"}', "labels"),
        ("decide", '{"labels": ["a"], "action": "relabel", "class": ["shape"]}', "class"),
        ("decide", "[" * 100_000, ""),
        ("decide", "[1]", "send a JSON object"),
        ("decide", '{"labels": ["\\ud800"], "action": "accept"}', ""),
        ("undo", "{" + " " * 1_100_000, "at most 1000000 bytes"),
    ],
)
def test_absurd_calls_are_refused_in_one_line(
    client: TestClient, calls: Handlers, name: str, body: str, complaint: str
) -> None:
    before = calls.journal.labels()
    answer = client.post(f"/key/api/{name}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
    assert len(answer.text) < 1000
    assert calls.journal.labels() == before


def test_a_page_whose_journal_was_deleted_says_so(client: TestClient, calls: Handlers) -> None:
    calls.journal.path.unlink()
    for name, given in (("state", {}), ("queue", {"filter": "all"}), ("undo", {})):
        answer = client.post(f"/key/api/{name}", json=given)
        assert answer.status_code == 400
        assert "is gone: it was deleted or replaced" in answer.json()["error"]


def test_a_mask_drawn_by_hand_is_kept_to_the_pixel_and_nonsense_is_refused(calls: Handlers) -> None:
    image = calls.journal.images("done")[0]
    size = (image.height, image.width)
    mask = np.zeros(size, dtype=bool)
    mask[3:9, 4:20] = True
    flat = mask.ravel(order="F")
    runs = np.diff(np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1], [True])))).tolist()
    asked = {"sha": image.sha, "runs": runs, "class": "animal", "how": "brush"}
    (made,) = calls.draw(asked)["labels"]
    assert masks.decode(masks.from_json(made["mask"])).tolist() == mask.tolist()
    assert calls.outline({"id": made["id"]})["rings"]
    for wrong in ([], [5], [-1, 1], [*runs, 7], [mask.size]):
        with pytest.raises(InputError):
            calls.draw({**asked, "runs": wrong})
    with pytest.raises(InputError, match="how"):
        calls.draw({**asked, "how": "magic"})
    with pytest.raises(InputError, match="runs"):
        calls.draw({**asked, "runs": [1] * 200_001})


def second_of(calls: Handlers, name: str = "bob") -> Handlers:
    """The page of another reviewer of the same run."""
    return Handlers(calls.journal, ReviewDecisions(calls.journal, name), calls.segmenter)


def test_a_second_look_agrees_or_sends_a_label_back_to_review(calls: Handlers) -> None:
    bob = second_of(calls)
    right, wrong, other = waiting(calls.journal)[:3]
    for label_id in (right, wrong):
        calls.decide({"labels": [label_id], "action": "accept"})
    assert calls.queue({"filter": "second"})["total"] == 0  # one's own decisions need another's look
    assert bob.queue({"filter": "second"})["total"] >= 1
    (agreed,) = bob.decide({"labels": [right], "action": "accept", "second": True})["labels"]
    (differed,) = bob.decide({"labels": [wrong], "action": "reject", "second": True})["labels"]
    assert (agreed["route"], agreed["reviewer"], agreed["decided_by"]) == ("accepted", "me, bob", "person")
    assert (differed["route"], differed["reviewer"], differed["decided_by"]) == ("review", "me, bob", "people")
    assert differed["reason"] == "me: right; bob: wrong"
    assert bob.queue({"filter": "second"})["total"] == 0
    assert [item["disagree"] for item in bob.queue({"filter": "disagree"})["items"]] == [1]
    assert bob.state({})["progress"]["disagree"] == 1
    (new,) = bob.decide({"labels": [other], "action": "reject", "second": True})["labels"]
    assert (new["route"], new["reviewer"]) == ("rejected", "bob")


def test_a_disagreement_is_left_alone_by_thresholds_and_settled_by_the_next_decision(calls: Handlers) -> None:
    bob, ann = second_of(calls), second_of(calls, "ann")
    label_id = waiting(calls.journal)[0]
    calls.decide({"labels": [label_id], "action": "reject"})
    name = calls.journal.label(label_id).class_name
    (differed,) = bob.decide({"labels": [label_id], "action": "accept", "second": True})["labels"]
    bob.threshold({"class": name, "threshold": 0.999})
    assert calls.journal.label(label_id).route == "review"
    bob.undo({})
    assert bob.undo({})["undone"]["action"] == "second look: accept"
    assert calls.journal.label(label_id).reviewer == "me"
    bob.decide({"labels": [label_id], "action": "accept", "second": True})
    (settled,) = ann.decide({"labels": [label_id], "action": "accept", "second": True})["labels"]
    assert (settled["route"], settled["reviewer"], settled["decided_by"]) == ("accepted", "ann", "person")
    assert ann.state({})["progress"]["disagree"] == 0
    assert differed["id"] == label_id
