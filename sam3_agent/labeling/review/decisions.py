"""Decisions of people about labels: saved at once, undone one by one."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import parse_json
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.store.documents import check_json, label_json, label_of, read_check
from sam3_agent.labeling.store.journal import PUT_CHECK, PUT_LABEL, Journal, check_row, label_row
from sam3_agent.labeling.store.label import IMPORT, Check, Evidence, Label, Support
from sam3_agent.labeling.store.summary import class_names, model_name
from sam3_agent.labeling.verify.thresholds import recheck, set_thresholds, thresholds_of
from sam3_agent.masks import Rle

Action = Literal["accept", "reject", "relabel"]
_Decided = TypeVar("_Decided", Label, Check)


@dataclass(frozen=True, slots=True)
class Undone:
    """Decision that was taken back."""

    action: str
    sha: str
    """The image; "" for thresholds, which are of all images."""
    labels: tuple[str, ...]
    words: str
    """Description for a person."""


class ReviewDecisions:
    """Decisions of one reviewer on one journal; each is one transaction, and can be undone. Thread-safe."""

    def __init__(self, journal: Journal, reviewer: str = "person") -> None:
        if not reviewer.strip() or reviewer == IMPORT:
            raise InputError(f"the reviewer needs a name other than {reviewer!r}")
        self.journal = journal
        self.reviewer = reviewer

    def decide(self, label_ids: Sequence[str], action: str, class_name: str | None = None) -> list[Label]:
        """Accept or reject labels, or give them another class, which accepts them.

        Raises:
            InputError: an unknown label, action or class, a label of a file, or labels of several images.
        """
        if action not in get_args(Action):
            raise InputError(f"unknown action {action!r}; one of {', '.join(get_args(Action))}")
        if action == "relabel":
            self._check_class(class_name)
        before = [self._own(label_id) for label_id in dict.fromkeys(label_ids)]
        if not before:
            raise InputError("give at least one label")
        after = [self._decided(label, action, class_name) for label in before]
        self._save(action, before[0].sha, before, after)
        return after

    def second_look(self, label_ids: Sequence[str], action: str, class_name: str | None = None) -> list[Label]:
        """Say what this reviewer, too, thinks of labels that another one decided; where the two differ it waits again.

        A label whose reviewers disagree is settled by the next decision of anybody. Labels that nobody else decided
        are decided as usual.

        Raises:
            InputError: as by `decide`.
        """
        if action not in get_args(Action):
            raise InputError(f"unknown action {action!r}; one of {', '.join(get_args(Action))}")
        if action == "relabel":
            self._check_class(class_name)
        before = [self._own(label_id) for label_id in dict.fromkeys(label_ids)]
        if not before:
            raise InputError("give at least one label")
        after = [self._seen_twice(label, self._decided(label, action, class_name)) for label in before]
        self._save(f"second look: {action}", before[0].sha, before, after)
        return after

    def put_mask(
        self,
        sha: str,
        rle: Rle,
        class_name: str,
        label_id: str | None = None,
        score: float = 1.0,
        how: Literal["click", "brush", "polygon"] = "click",
    ) -> Label:
        """Add a label that a person drew, or give an existing one another mask; `how` is told with it.

        Raises:
            InputError: an unknown label or class, an empty mask, or one of another size than the image.
        """
        self._check_class(class_name)
        image = self.journal.image(sha)
        if rle.size != (image.height, image.width) or not masks.area(rle):
            raise InputError(f"a mask needs a pixel and the size of the image, {image.height} x {image.width}")
        before = [self._own(label_id)] if label_id else []
        drawn = Label(
            id=label_id or _new_id(sha),
            sha=sha,
            class_name=class_name,
            rle=rle,
            box=masks.box(rle),
            score=round(score, 6),
            object_score=round(score, 6),
            presence=1.0,
            source="human",
            phrase=how,
            evidence=Evidence(asked=0),
            quality=1.0,
            model=model_name(self.journal),
        )
        same = replace(before[0], rle=rle, box=drawn.box, class_name=class_name) if before else drawn
        after = self._by_person(same, accepted=True, reason=f"drawn by {'clicks' if how == 'click' else how}")
        self._save("mask", sha, before, [after])
        return after

    def propose(self, sha: str, found: Sequence[tuple[Rle, float, float]], class_name: str) -> list[Label]:
        """Add detections (mask, score, object score) as labels that wait for review; they are one step for undo."""
        self._check_class(class_name)
        first = _new_id(sha)
        after = [
            Label(
                id=f"{first}.{number:03d}",
                sha=sha,
                class_name=class_name,
                rle=rle,
                box=masks.box(rle),
                score=round(score, 6),
                object_score=round(object_score, 6),
                presence=round(min(score / object_score, 1.0), 6) if object_score else 0.0,
                source="similar",
                phrase="more like this",
                evidence=Evidence(supports=(Support("more like this", score),)),
                quality=round(score, 6),
                reason=f"like an example that {self.reviewer} pointed at",
                model=model_name(self.journal),
            )
            for number, (rle, score, object_score) in enumerate(found)
        ]
        if after:
            self._save("like", sha, [], after)
        return after

    def confirm(self, sha: str) -> list[Check]:
        """Settle every check of an image: this reviewer says that nothing is missing."""
        before = self.journal.checks(sha)
        reason = f"{self.reviewer}: nothing is missing"
        after = [self._by_person(check, accepted=True, reason=reason) for check in before]
        documents = [[check_json(check) for check in checks] for checks in (before, after)]
        with self.journal.writing() as db:
            db.executemany(PUT_CHECK, [check_row(each) for each in after])
            self._record(db, "confirm", sha, {"checks": documents[0]}, {"checks": documents[1]})
        return after

    def set_threshold(self, class_name: str, threshold: float) -> int:
        """Set the threshold of a class and route its undecided labels anew; gives how many changed their route."""
        known = thresholds_of(self.journal)
        if class_name not in known:
            raise InputError(f"unknown class {class_name!r}; known: {', '.join(known)}")
        was = known[class_name]
        accept = max(was.accept, threshold)
        now = Thresholds(threshold, threshold, accept)
        with self.journal.writing() as db:
            before, after = ({class_name: [s.threshold, s.review, s.accept]} for s in (was, now))
            self._record(db, "threshold", "", {"thresholds": before}, {"thresholds": after})
        return set_thresholds(self.journal, {**known, class_name: now})

    def undo(self) -> Undone | None:
        """Take back the last decision that stands; gives what it was, None where there is none.

        Raises:
            InputError: the journal of a stranger holds a decision that cannot be read.
        """
        with self.journal.writing() as db:
            row = db.execute(
                "SELECT n, action, sha, before, after FROM decisions WHERE undone=0 ORDER BY n DESC LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            number, action, sha = row[:3]
            before, after = (_Documents.read(text) for text in row[3:])
            labels = [label_of(document) for document in before.labels]
            made = [label_of(document) for document in after.labels]
            db.execute("UPDATE decisions SET undone=1 WHERE n=?", (number,))
            db.executemany("DELETE FROM labels WHERE id=?", [(label.id,) for label in made])
            db.executemany(PUT_LABEL, map(label_row, labels))
            db.executemany(PUT_CHECK, [check_row(read_check(json.dumps(each))) for each in before.checks])
        if before.thresholds:
            thresholds = {name: Thresholds(*values) for name, values in before.thresholds.items()}
            set_thresholds(self.journal, {**thresholds_of(self.journal), **thresholds})
        elif labels or made:
            recheck(self.journal, sha)
        ids = tuple(label.id for label in labels or made)
        return Undone(action, sha, ids, self._words(action, sha, labels, made, list(before.thresholds)))

    def _words(self, action: str, sha: str, before: Sequence[Label], after: Sequence[Label], classes: list[str]) -> str:
        """Say to a person what was undone: the action, its labels and their image."""
        words = [action]
        if classes:
            words.append(f"of {', '.join(classes)}")
        elif len(after) == 1:
            words.append(f"of {(before or after)[0].class_name} {after[0].score:.2f}")
        elif after:
            words.append(f"of {len(after)} labels")
        if sha:
            words.append(f"on {self.journal.image(sha).path}")
        back = {label.route for label in before}
        routes = {"review": "waits for review again", "accepted": "is accepted again", "rejected": "is rejected again"}
        return " ".join(words) + (f"; {routes[back.pop()]}" if len(before) == 1 else "")

    def _save(self, action: str, sha: str, before: Sequence[Label], after: Sequence[Label]) -> None:
        if {label.sha for label in (*before, *after)} != {sha}:
            raise InputError("labels of several images cannot be decided together")
        documents = [{"labels": [label_json(label) for label in labels]} for labels in (before, after)]
        with self.journal.writing() as db:
            db.executemany(PUT_LABEL, [label_row(label) for label in after])
            self._record(db, action, sha, *documents)
        recheck(self.journal, sha)

    def _record(self, db: Any, action: str, sha: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        texts = [json.dumps(each, separators=(",", ":")) for each in (before, after)]
        db.execute(
            "INSERT INTO decisions(at, reviewer, action, sha, before, after) VALUES(?, ?, ?, ?, ?, ?)",
            (at, self.reviewer, action, sha, *texts),
        )

    def _decided(self, label: Label, action: str, class_name: str | None) -> Label:
        if action == "reject":
            return self._by_person(label, accepted=False, reason=f"{self.reviewer}: wrong")
        said = f"{self.reviewer}: right" if action == "accept" else f"{self.reviewer}: is {class_name}"
        proposed = label.proposed_class or (label.class_name if action == "relabel" else "")
        name = class_name if action == "relabel" and class_name else label.class_name
        done = replace(label, class_name=name, proposed_class="" if proposed == name else proposed)
        return self._by_person(done, accepted=True, reason=said)

    def _seen_twice(self, first: Label, second: Label) -> Label:
        """Both opinions in one label, where the first is that of another person."""
        if first.decided_by != "person" or self.reviewer in first.reviewer.split(", "):
            return second
        both = {"reviewer": f"{first.reviewer}, {self.reviewer}", "reason": f"{first.reason}; {second.reason}"}
        if (first.route, first.class_name) == (second.route, second.class_name):
            return replace(first, **both)
        return replace(first, **both, verdict="unsure", route="review", decided_by="people")

    def _by_person(self, each: _Decided, *, accepted: bool, reason: str) -> _Decided:
        return replace(
            each,
            verdict="right" if accepted else "wrong",
            route="accepted" if accepted else "rejected",
            decided_by="person",
            reviewer=self.reviewer,
            reason=reason,
        )

    def _own(self, label_id: str) -> Label:
        label = self.journal.label(label_id)
        if label.decided_by == "file":
            raise InputError(f"label {label_id} was imported: labels of files are extended, not changed")
        return label

    def _check_class(self, class_name: str | None) -> None:
        known = class_names(self.journal)
        if class_name not in known:
            raise InputError(f"unknown class {class_name!r}; known: {', '.join(known)}")


def _new_id(sha: str) -> str:
    """Make an id that no label of this image ever had, undone ones and those of other reviewers included."""
    return f"{sha[:16]}.h{secrets.token_hex(5)}"


class _Documents(pydantic.BaseModel):
    """Labels, checks and thresholds of one side of a decision, as the journal keeps them."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)
    labels: list[dict[str, Any]] = []
    checks: list[Any] = []
    thresholds: Annotated[
        dict[str, tuple[float, float, float]],
        pydantic.Field(validation_alias=pydantic.AliasChoices("thresholds", "lines")),
    ] = {}

    @pydantic.field_validator("checks")
    @classmethod
    def _from_text(cls, checks: list[Any]) -> list[Any]:
        """Version 1 kept each check as JSON within the JSON."""
        return [parse_json(each, "check") if isinstance(each, str) else each for each in checks]

    @classmethod
    def read(cls, text: str) -> "_Documents":
        try:
            return cls.model_validate_json(text)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InputError(f"the journal holds a damaged decision: {first['msg']:.200}") from error
