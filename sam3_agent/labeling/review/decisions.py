"""What people decide about labels: saved at once, undone one by one."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.labeling.io.import_labels import IMPORT
from sam3_agent.labeling.ontology.ontology import Strictness
from sam3_agent.labeling.store.journal import (
    PUT_CHECK,
    PUT_LABEL,
    Journal,
    check_row,
    label_json,
    label_of,
    label_row,
    read_check,
)
from sam3_agent.labeling.store.label import Check, Evidence, Label, Source, Support
from sam3_agent.labeling.store.summary import class_names
from sam3_agent.labeling.verify.thresholds import lines_of, recheck, set_lines
from sam3_agent.masks import Rle

Action = Literal["accept", "reject", "relabel"]


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

    def put_mask(self, sha: str, rle: Rle, class_name: str, label_id: str | None = None, score: float = 1.0) -> Label:
        """Add a label that a person drew, or give an existing one another mask.

        Raises:
            InputError: an unknown label or class, an empty mask, or one of another size than the image.
        """
        self._check_class(class_name)
        image = self.journal.image(sha)
        if rle.size != (image.height, image.width) or not masks.area(rle):
            raise InputError(f"a mask needs a pixel and the size of the image, {image.height} x {image.width}")
        before = [self._own(label_id)] if label_id else []
        drawn = Label(
            id=label_id or self._new_id(sha),
            sha=sha,
            class_name=class_name,
            rle=rle,
            box=masks.box(rle),
            score=round(score, 6),
            object_score=round(score, 6),
            presence=1.0,
            source="human",
            phrase="click",
            evidence=Evidence(asked=0),
            quality=1.0,
            model=str(self.journal.meta("eye") or ""),
        )
        same = replace(before[0], rle=rle, box=drawn.box, class_name=class_name) if before else drawn
        after = replace(same, verdict="right", route="accepted", reviewer=self.reviewer, reason="drawn by clicks")
        self._save("mask", sha, before, [after])
        return after

    def propose(
        self, sha: str, found: Sequence[tuple[Rle, float, float]], class_name: str, source: Source
    ) -> list[Label]:
        """Add finds (mask, score, object score) as labels that wait for review; they are one step for undo."""
        self._check_class(class_name)
        first = self._new_number(sha)
        after = [
            Label(
                id=f"{sha[:16]}.h{first + number:03d}",
                sha=sha,
                class_name=class_name,
                rle=rle,
                box=masks.box(rle),
                score=round(score, 6),
                object_score=round(object_score, 6),
                presence=round(min(score / object_score, 1.0), 6) if object_score else 0.0,
                source=source,
                phrase="more like this",
                evidence=Evidence(supports=(Support("more like this", score),)),
                quality=round(score, 6),
                reason=f"like an example that {self.reviewer} pointed at",
                model=str(self.journal.meta("eye") or ""),
            )
            for number, (rle, score, object_score) in enumerate(found)
        ]
        if after:
            self._save("like", sha, [], after)
        return after

    def confirm(self, sha: str) -> list[Check]:
        """Nothing is missing on an image: every check of it is settled by this reviewer."""
        before = self.journal.checks(sha)
        reason = f"{self.reviewer}: nothing is missing"
        after = [replace(c, verdict="right", route="accepted", reason=reason, reviewer=self.reviewer) for c in before]
        documents = [[row[4] for row in map(check_row, checks)] for checks in (before, after)]
        with self.journal.writing() as db:
            db.executemany(PUT_CHECK, [check_row(each) for each in after])
            self._record(db, "confirm", sha, {"checks": documents[0]}, {"checks": documents[1]})
        return after

    def move_line(self, class_name: str, threshold: float) -> int:
        """Set the threshold of a class and route its undecided labels anew; gives how many changed their route."""
        lines = lines_of(self.journal)
        if class_name not in lines:
            raise InputError(f"unknown class {class_name!r}; known: {', '.join(lines)}")
        was = lines[class_name]
        accept = max(was.accept, threshold)
        now = Strictness(threshold, threshold, accept)
        with self.journal.writing() as db:
            before, after = ({class_name: [s.threshold, s.review, s.accept]} for s in (was, now))
            self._record(db, "threshold", "", {"lines": before}, {"lines": after})
        return set_lines(self.journal, {**lines, class_name: now})

    def undo(self) -> dict[str, Any] | None:
        """Take back the last decision that stands; gives its action and image, None where there is none."""
        with self.journal.writing() as db:
            row = db.execute(
                "SELECT n, action, sha, before, after FROM decisions WHERE undone=0 ORDER BY n DESC LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            number, action, sha, before, after = row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4])
            db.execute("UPDATE decisions SET undone=1 WHERE n=?", (number,))
            for document in after.get("labels", []):
                db.execute("DELETE FROM labels WHERE id=?", (document["id"],))
            db.executemany(PUT_LABEL, [label_row(label_of(document)) for document in before.get("labels", [])])
            db.executemany(PUT_CHECK, [check_row(read_check(document)) for document in before.get("checks", [])])
        if "lines" in before:
            lines = {name: Strictness(*values) for name, values in before["lines"].items()}
            set_lines(self.journal, {**lines_of(self.journal), **lines})
        elif "labels" in before or "labels" in after:
            recheck(self.journal, sha)
        return {"action": action, "sha": sha}

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
            return replace(
                label, verdict="wrong", route="rejected", reviewer=self.reviewer, reason=f"{self.reviewer}: wrong"
            )
        said = f"{self.reviewer}: right" if action == "accept" else f"{self.reviewer}: is {class_name}"
        proposed = label.proposed_class or (label.class_name if action == "relabel" else "")
        name = class_name if action == "relabel" and class_name else label.class_name
        done = replace(label, class_name=name, proposed_class="" if proposed == name else proposed)
        return replace(done, verdict="right", route="accepted", reviewer=self.reviewer, reason=said)

    def _own(self, label_id: str) -> Label:
        label = self.journal.label(label_id)
        if label.reviewer == IMPORT:
            raise InputError(f"label {label_id} was imported: labels of files are extended, not changed")
        return label

    def _check_class(self, class_name: str | None) -> None:
        known = class_names(self.journal)
        if class_name not in known:
            raise InputError(f"unknown class {class_name!r}; known: {', '.join(known)}")

    def _new_id(self, sha: str) -> str:
        return f"{sha[:16]}.h{self._new_number(sha):03d}"

    def _new_number(self, sha: str) -> int:
        """Higher than any number that a person's label on this image ever had, undone ones included."""
        rows = self.journal.read("SELECT after FROM decisions WHERE sha=? AND action IN ('mask', 'like')", (sha,))
        ids = [document["id"] for row in rows for document in json.loads(row[0])["labels"]]
        return max((int(each.rsplit(".h", 1)[1]) for each in ids if ".h" in each), default=-1) + 1
