"""A language model looks at every label that the score rule does not reject, and at what is missing."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sam3_agent.errors import LLMError
from sam3_agent.labeling.io.journal_labels import provenance_of
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.verify.judge import SHEET, questions_of
from sam3_agent.labeling.verify.thresholds import set_thresholds, thresholds_of
from sam3_agent.llm.scripted import ScriptedLLM
from tests.labeling.fixtures_judges import COUNT, PRICE, Seeing, all_right, asked_in, judged
from tests.labeling.fixtures_runs import ontology, write_scenes
from tests.llm.fixtures_llm import HASTY, make_llm, set_keys
from tests.llm.wire import chat
from tests.llm.wire.server import Sent


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_scenes(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def by_rule(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    journal = judged(images, tmp_path_factory.mktemp("rule"), None)
    yield journal
    journal.close()


def routes(journal: Journal) -> dict[str, str]:
    return {label.id: label.route for label in journal.labels()}


def test_the_judge_sees_the_whole_picture_the_contact_sheet_and_every_candidate(
    images: Path, by_rule: Journal, tmp_path: Path
) -> None:
    llm = Seeing()
    journal = judged(images, tmp_path, llm)
    assert len(llm.seen) == COUNT  # one call an image, for all its classes
    alive = [label for label in by_rule.labels() if label.route != "rejected"]
    assert sum(len(asked_in(message.text)) for message in llm.seen) == len(alive)
    assert '"animal": fish, bird, cat' in llm.seen[0].text
    assert '"zebra"' in llm.seen[0].text
    with_masks = [message for message in llm.seen if asked_in(message.text)]
    assert {len(message.pictures) for message in with_masks} == {2}
    assert {label.evidence.judged for label in journal.labels() if label.route == "accepted"} == {"right"}


def test_what_it_calls_right_is_accepted_and_keeps_the_rules_reason(
    images: Path, by_rule: Journal, tmp_path: Path
) -> None:
    journal = judged(images, tmp_path, Seeing())
    expected = {name: "rejected" if route == "rejected" else "accepted" for name, route in routes(by_rule).items()}
    assert routes(journal) == expected
    some = next(label for label in journal.labels() if label.route == "accepted")
    assert some.reason.startswith("the judge: right; quality")
    assert some.verdict == "right"
    assert {check.reason for check in journal.checks()} == {"the judge: all of it is labeled", "the judge: not there"}


def test_what_it_calls_wrong_is_rejected_and_where_the_rule_accepted_a_person_sees_it(
    images: Path, by_rule: Journal, tmp_path: Path
) -> None:
    strict = "accept: 0.9\n" + "classes: [{name: animal, phrases: [animal, fish, bird, cat]}, {name: vehicle}]"
    rule = routes(judged(images, tmp_path / "rule", None, strict))
    assert {"accepted", "review"} <= set(rule.values())
    no = Seeing(lambda asked: {"wrong": list(asked), "reasons": [f"{number} is a shadow" for number in asked]})
    journal = judged(images, tmp_path / "out", no, strict)
    to = {"accepted": "review", "review": "rejected", "rejected": "rejected"}
    assert routes(journal) == {name: to[route] for name, route in rule.items()}
    assert any("the judge: wrong, m1 is a shadow; quality" in label.reason for label in journal.labels())


def test_what_it_leaves_out_or_calls_both_waits_for_a_person(images: Path, by_rule: Journal, tmp_path: Path) -> None:
    def vague(asked: Any) -> dict[str, Any]:
        return {"right": [*list(asked)[:1], "m99"], "wrong": [*list(asked)[:1], "zebra"]}

    journal = judged(images, tmp_path, Seeing(vague))
    expected = {name: "rejected" if route == "rejected" else "review" for name, route in routes(by_rule).items()}
    assert routes(journal) == expected
    said = Counter(label.evidence.note for label in journal.labels() if label.route == "review")
    assert set(said) == {"says nothing about it", "calls it right and wrong"}


def test_a_class_that_it_calls_missing_is_for_review_and_one_under_an_unknown_name_makes_all_unsure(
    images: Path, tmp_path: Path
) -> None:
    some = Seeing(lambda asked: {**all_right(asked), "missing": ["Zebra"], "places": ["behind the tree"]})
    checks = judged(images, tmp_path / "some", some).checks()
    missing = [check for check in checks if check.route == "review"]
    assert {check.class_name for check in missing} == {"zebra"}
    assert len(missing) == COUNT
    assert missing[0].reason == "the judge says missing: behind the tree"
    odd = Seeing(lambda asked: {**all_right(asked), "missing": ["unicorn", "none"], "places": ["left"]})
    checks = judged(images, tmp_path / "odd", odd).checks()
    assert {(check.route, check.reason) for check in checks} == {("review", "the judge says missing: unicorn: left")}


def test_a_judge_that_is_not_understood_sends_labels_to_review_and_is_asked_again(
    images: Path, by_rule: Journal, tmp_path: Path
) -> None:
    calls = 0

    def sometimes(asked: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"right": 7} if calls <= 4 else all_right(asked)  # each of two images: asked twice, malformed twice

    journal = judged(images, tmp_path, Seeing(sometimes))
    unanswered = {label.sha for label in journal.labels() if "gave no answer" in label.reason}
    assert len(unanswered) == 2
    assert set(routes(journal)) == set(routes(by_rule))
    assert {label.route for label in journal.labels() if label.sha in unanswered} <= {"review", "rejected"}
    assert {check.route for check in journal.checks() if check.sha in unanswered} == {"review"}
    assert journal.usd() == pytest.approx(PRICE * (COUNT + 2))
    journal.close()
    again = judged(images, tmp_path, llm := Seeing())
    assert len(llm.seen) == 2  # only those that it gave no answer on
    assert routes(again) == routes(judged(images, tmp_path / "whole", Seeing()))


def test_a_judge_that_always_fails_stops_the_run_with_every_label_kept(
    images: Path, by_rule: Journal, tmp_path: Path
) -> None:
    with pytest.raises(LLMError, match="5 judgments failed one after another; the last: the script has 0 lines"):
        judged(images, tmp_path, ScriptedLLM(sees=True))
    with Journal.create(tmp_path).writing() as db:
        assert db.execute("SELECT COUNT(*) FROM images WHERE state='pending'").fetchone() == (COUNT - 4,)
    assert routes(judged(images, tmp_path, Seeing())) == routes(judged(images, tmp_path / "whole", Seeing()))


def test_the_budget_counts_the_judge_and_nothing_is_paid_twice(images: Path, tmp_path: Path) -> None:
    journal = judged(images, tmp_path, Seeing(), budget=2.5 * PRICE)
    assert len(journal.images("pending")) == COUNT - 3
    assert journal.usd() == pytest.approx(3 * PRICE)
    journal.close()
    journal = judged(images, tmp_path, llm := Seeing())
    assert len(llm.seen) == COUNT - 3
    assert journal.usd() == pytest.approx(COUNT * PRICE)
    judged_images = {label.sha for label in journal.labels() if label.evidence.judged}
    assert sum(label.usd for label in journal.labels()) == pytest.approx(len(judged_images) * PRICE, rel=0.01)


def test_a_run_of_the_rule_is_judged_later_and_peoples_decisions_stay(images: Path, tmp_path: Path) -> None:
    journal = judged(images, tmp_path, None)
    first, second = [label for label in journal.labels() if label.route != "rejected"][:2]
    workspace = ReviewDecisions(journal, "anna")
    workspace.decide([first.id], "reject")
    added = workspace.propose(second.sha, [(second.rle, 0.5, 0.5)], second.class_name)[0]
    journal.close()
    journal = judged(images, tmp_path, llm := Seeing())
    assert len(llm.seen) == COUNT
    assert (journal.label(first.id).route, journal.label(first.id).reviewer) == ("rejected", "anna")
    assert journal.label(added.id).route == "review"
    assert journal.label(second.id).evidence.judged == "right"


def test_labels_of_people_are_shown_to_the_judge_and_not_judged(images: Path, tmp_path: Path) -> None:
    journal = judged(images, tmp_path, None)
    first = next(label for label in journal.labels() if label.route != "rejected")
    ReviewDecisions(journal, "anna").decide([first.id], "accept")
    journal.close()
    judged(images, tmp_path, llm := Seeing())
    assert sum("older label" in message.text for message in llm.seen) == 1


def test_moved_lines_keep_what_the_judge_said(images: Path, tmp_path: Path) -> None:
    journal = judged(images, tmp_path, Seeing())
    before = routes(journal)
    set_thresholds(journal, {name: Thresholds(0.2, 0.2, 1.0) for name in thresholds_of(journal)})
    assert {name: route for name, route in routes(journal).items() if before[name] == "accepted"} == {
        name: "accepted" for name, route in before.items() if route == "accepted"
    }
    set_thresholds(journal, {name: Thresholds(1.0, 1.0, 1.0) for name in thresholds_of(journal)})
    assert set(routes(journal).values()) == {"rejected"}
    assert {c.reason for c in journal.checks() if c.class_name == "animal"} != {"the judge: all of it is labeled"}


def test_every_class_is_in_one_question_and_a_sheet_holds_no_more_than_it_can(images: Path, tmp_path: Path) -> None:
    journal = judged(images, tmp_path, None)
    some = next(label for label in journal.labels() if label.route != "rejected")
    classes = ontology("classes: [{name: a}, {name: b}, {name: c}]").classes
    from dataclasses import replace

    many = [
        replace(some, id=f"{name}{n}", class_name=name)
        for name, count in (("a", 50), ("b", 20), ("c", 10))
        for n in range(count)
    ]
    questions = questions_of(classes, many, ())
    assert [[each.name for each in q.classes] for q in questions] == [["a"], ["b", "c"]]
    assert [len(q.labels) for q in questions] == [50, 30]
    assert SHEET == 36


def test_provenance_says_what_the_judge_said_and_what_it_cost(images: Path, tmp_path: Path) -> None:
    journal = judged(images, tmp_path, Seeing())
    known = provenance_of(next(label for label in journal.labels() if label.route == "accepted"))
    assert known["judge"] == {"verdict": "right", "said": "", "model": "seeing"}
    assert 0 < known["usd"] <= PRICE


def test_a_judge_behind_an_api_is_asked_and_paid(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(body: dict[str, Any]) -> Sent:
        words = body["messages"][-1]["content"]
        text = " ".join(p["text"] for p in words if p["type"] == "text")
        sent_pictures.append(sum(part["type"] == "image_url" for part in words))
        asked = asked_in(text)
        if not asked:
            return chat.message(chat.use("verify_labels", {}))
        arguments = {"right": list(asked)[1:], "wrong": list(asked)[:1], "reasons": ["only its shadow"]}
        return chat.message(chat.use("verify_labels", arguments))

    sent_pictures: list[int] = []
    with chat.api(answer=answer) as served:
        set_keys(monkeypatch, served.url)
        journal = judged(images, tmp_path, make_llm("chat", served.url, policy=HASTY))
    assert served.problems == []
    assert max(sent_pictures) == 2
    assert len(served.requests) == COUNT
    wrong = [label for label in journal.labels() if label.evidence.judged == "wrong"]
    assert {label.evidence.note for label in wrong} == {"only its shadow"}
    assert journal.usd() > 0
    assert wrong[0].evidence.judge.startswith("chat:gemini-2.5-pro@")


def test_an_api_that_breaks_down_loses_no_label(
    images: Path, by_rule: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(body: dict[str, Any]) -> Sent:
        served_calls.append(1)
        if len(served_calls) == 2:
            return chat.message("They all look fine to me.")
        if len(served_calls) == 4:
            return Sent({"error": {"message": "no", "type": "invalid_request_error"}}, status=403)
        text = " ".join(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")
        return chat.message(chat.use("verify_labels", {"right": list(asked_in(text))}))

    served_calls: list[int] = []
    with chat.api(answer=answer) as served:
        set_keys(monkeypatch, served.url)
        journal = judged(images, tmp_path, make_llm("chat", served.url, policy=HASTY))
    assert set(routes(journal)) == set(routes(by_rule))
    unanswered = {label.sha for label in journal.labels() if "gave no answer" in label.reason}
    checks = {check.sha for check in journal.checks() if check.reason.endswith("HTTP 403: no)")}
    assert unanswered <= checks
    assert len(checks) == 1  # prose is asked about a second time; a refusal is not
