"""Journals of earlier versions and of strangers: what is migrated, what is refused, that nothing leaves the folder."""

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.io.export_labels import FORMATS, export
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.pipeline.run import run_lock
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.refine import image_path
from sam3_agent.labeling.store.detections import PhraseDetections, pack_detections, unpack_answer, unpack_detections
from sam3_agent.labeling.store.documents import relative_path
from sam3_agent.labeling.store.journal import FILE, Journal
from sam3_agent.labeling.store.summary import summarize
from sam3_agent.labeling.verify.thresholds import thresholds_of
from tests.labeling.fixtures_runs import CONCEPTS, contents, knowing_segmenter, label, write_scenes

COUNT = 3
SHA = "ab" * 32
OLD_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE images(
    path TEXT PRIMARY KEY, sha TEXT NOT NULL, bytes INTEGER NOT NULL, mtime INTEGER NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', width INTEGER NOT NULL DEFAULT 0, height INTEGER NOT NULL DEFAULT 0,
    dhash TEXT NOT NULL DEFAULT '', seconds REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX images_by_sha ON images(sha);
CREATE TABLE units(
    sha TEXT NOT NULL, unit TEXT NOT NULL, payload BLOB NOT NULL, usd REAL NOT NULL, PRIMARY KEY(sha, unit)
) WITHOUT ROWID;
CREATE TABLE spent(n INTEGER PRIMARY KEY, sha TEXT NOT NULL, unit TEXT NOT NULL, usd REAL NOT NULL);
CREATE TABLE labels(
    id TEXT PRIMARY KEY, sha TEXT NOT NULL, class TEXT NOT NULL, route TEXT NOT NULL, reviewer TEXT NOT NULL,
    quality REAL NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX labels_in_queue ON labels(sha, class, route, reviewer, quality);
CREATE TABLE checks(
    sha TEXT NOT NULL, class TEXT NOT NULL, route TEXT NOT NULL, reviewer TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY(sha, class)) WITHOUT ROWID;
CREATE TABLE decisions(
    n INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, reviewer TEXT NOT NULL, action TEXT NOT NULL,
    sha TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
"""


def document(name: str, **changed: Any) -> dict[str, Any]:
    """A label as version 1 wrote it."""
    mask = masks.encode(np.ones((4, 4), bool)).to_json()
    evidence: dict[str, Any] = {"asked": 2, "supports": [["star", 0.9, "same"]], "rival": "cross", "rival_score": 0.4}
    return {
        "id": f"{SHA[:16]}.{name}",
        "sha": SHA,
        "class": "star",
        "mask": mask,
        "box": [0.0, 0.0, 4.0, 4.0],
        "score": 0.9,
        "object_score": 0.9,
        "presence": 1.0,
        "source": "phrase",
        "phrase": "star",
        "evidence": {**evidence, "outcome": "", "note": "", "doubtful": "animal", "doubt": 0.25},
        "attributes": {},
        "quality": 0.8,
        "verdict": "right",
        "reason": "quality 0.80",
        "route": "accepted",
        "reviewer": "",
        "proposed_class": "",
        "model": "tiny",
        "usd": 0.0,
    } | changed


def old_labels() -> list[dict[str, Any]]:
    """One label of each kind that version 1 told apart by words or ids."""
    judged = {**document("x")["evidence"], "judged": "right", "judge": "llm"}
    return [
        document("0.000"),
        document("0.001", reason="the judge: right; quality 0.80", evidence=judged),
        document("0.002", reason="the agent's run ended as 'budget', so this is only its best so far", route="review"),
        document("0.003", reason="labelled already as x", route="rejected"),
        document("0.004", reason="anna: wrong", route="rejected", reviewer="anna"),
        document("i0123456789", source="imported", reviewer="import"),
        document("h000", source="exemplar", reason="like an example that anna pointed at", route="review"),
    ]


OLD_CHECKS = [
    [SHA, "star", 0.9, "right", "the judge: all of it is labeled", "accepted", ""],
    [SHA, "moon", 0.9, "right", "the judge: not there", "accepted", ""],
    [SHA, "sun", 0.9, "unsure", "the judge says missing: left", "review", ""],
    [SHA, "car", 0.9, "unsure", "the judge was not heard (HTTP 500)", "review", ""],
    [SHA, "bird", 0.9, "unsure", "the agent's run ended as 'failed': no", "review", ""],
    [SHA, "cat", 0.9, "right", "anna: nothing is missing", "accepted", "anna"],
    [SHA, "dog", 0.1, "right", "not there", "accepted", ""],
]


def old_journal(folder: Path) -> Path:
    """A journal of version 1, by SQL alone."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = old_labels()
    meta = {
        "version": None,
        "eye": "tiny",
        "images": str(folder),
        "lines": {"star": {"threshold": 0.3, "review": 0.3, "accept": 0.8}},
        "ontology": {"classes": [{"name": "star", "phrases": ["star"]}]},
    }
    before, after = document("0.004", route="review", reason="", verdict="unsure"), labels[4]
    with sqlite3.connect(folder / FILE) as db:
        db.executescript(OLD_SCHEMA)
        db.executemany(
            "INSERT INTO meta VALUES(?, ?)",
            [(key, "1" if key == "version" else json.dumps(value)) for key, value in meta.items()],
        )
        db.execute(
            "INSERT INTO images(path, sha, bytes, mtime, state, width, height) VALUES('a.png', ?, 1, 1, 'done', 4, 4)",
            (SHA,),
        )
        db.execute("INSERT INTO units VALUES(?, 'eye', ?, 0)", (SHA, pack_detections([])))
        db.executemany(
            "INSERT INTO labels VALUES(?, ?, ?, ?, ?, ?, ?)",
            [(d["id"], SHA, "star", d["route"], d["reviewer"], d["quality"], json.dumps(d)) for d in labels],
        )
        db.executemany(
            "INSERT INTO checks VALUES(?, ?, ?, ?, ?)", [(c[0], c[1], c[5], c[6], json.dumps(c)) for c in OLD_CHECKS]
        )
        db.execute(
            "INSERT INTO decisions(at, reviewer, action, sha, before, after) VALUES('t', 'anna', 'reject', ?, ?, ?)",
            (SHA, json.dumps({"labels": [before]}), json.dumps({"labels": [after]})),
        )
    db.close()
    return folder


def test_a_journal_of_version_1_says_who_decided(tmp_path: Path) -> None:
    journal = Journal.open(old_journal(tmp_path))
    by_id = {each.id.split(".", 1)[1]: each for each in journal.labels()}
    decided = {name: each.decided_by for name, each in by_id.items()}
    assert decided == {
        "0.000": "rule",
        "0.001": "judge",
        "0.002": "agent",
        "0.003": "rule",
        "0.004": "person",
        "i0123456789": "file",
        "h000": "rule",
    }
    assert (by_id["0.003"].repeats, by_id["h000"].source) == ("x", "similar")
    columns = dict(journal.read("SELECT id, decided_by FROM labels"))
    assert columns == {each.id: each.decided_by for each in by_id.values()}
    journal.close()


def test_a_journal_of_version_1_keeps_all_that_it_knew(tmp_path: Path) -> None:
    journal = Journal.open(old_journal(tmp_path))
    evidence = journal.label(f"{SHA[:16]}.0.000").evidence
    assert (evidence.competing_label, evidence.competing_score) == ("cross", 0.4)
    assert (evidence.uncertain_class, evidence.uncertainty) == ("animal", 0.25)
    said = {check.class_name: (check.decided_by, check.completeness) for check in journal.checks()}
    assert said == {
        "star": ("judge", "complete"),
        "moon": ("judge", "absent"),
        "sun": ("judge", "missing"),
        "car": ("judge", "unknown"),
        "bird": ("agent", ""),
        "cat": ("person", ""),
        "dog": ("rule", ""),
    }
    assert thresholds_of(journal)["star"].accept == 0.8
    assert journal.unit(SHA, "detect") is not None
    assert journal.meta("model") == {"name": "tiny"}
    assert journal.meta("eye") is None
    undone = ReviewDecisions(journal, "anna").undo()
    assert undone is not None
    assert "waits for review again" in undone.words
    assert journal.label(f"{SHA[:16]}.0.004").decided_by == "rule"
    journal.close()
    again = Journal.open(tmp_path)  # nothing is left to migrate
    assert again.meta("version") == 2
    again.close()


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(old_journal(tmp_path) / FILE) as db:
        db.execute("UPDATE meta SET value='3' WHERE key='version'")
    db.close()
    with pytest.raises(InputError, match="has version 3; this program reads 1 and 2"):
        Journal.open(tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    write_scenes(folder / "images", COUNT)
    label(folder / "images", folder / "run", knowing_segmenter(COUNT), CONCEPTS).close()
    return folder


@pytest.fixture
def strange(sound: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A run folder after a stranger's SQL."""

    def changed(statement: str) -> Path:
        shutil.copytree(sound / "run", tmp_path / "run")
        with sqlite3.connect(tmp_path / "run" / FILE) as db:
            db.executescript(statement)
        db.close()
        return tmp_path / "run"

    return changed


def everything(folder: Path, out: Path) -> None:
    """Use a run folder in every way."""
    journal = Journal.open(folder)
    try:
        summarize(journal)
        thresholds_of(journal)
        for row in journal.images():
            image_path(journal, row.sha)
            for unit, data in journal.units(row.sha).items():
                unpack = unpack_answer if unit.startswith("query ") else unpack_detections
                unpack(data, (row.height, row.width))
        contents(journal)
        for form in FORMATS:
            export(journal, form, out / form, Selection(val=0.5), pictures=True)
        while ReviewDecisions(journal).undo():
            pass
    finally:
        journal.close()


OUTSIDE = ["/tmp/x.png", "../x.png", "a/../../x.png", "a//x.png", "./x.png", "", ".", "a/..", "x\0.png"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="no path inside"):
        relative_path(path)


@pytest.mark.parametrize("path", ["a.png", "a/b c/ü.png", "..a/...png", "-x", "a\\..\\b.png"])
def test_an_ordinary_path_is_as_it_was(path: str) -> None:
    assert relative_path(path) == path


@pytest.mark.parametrize("path", ["../../escaped.png", "{tmp}/escaped.png", "x/../../../escaped.png"])
def test_a_strangers_paths_write_and_read_nothing_outside(
    strange: Callable[[str], Path], tmp_path: Path, path: str
) -> None:
    folder = strange(f"UPDATE images SET path='{path.format(tmp=tmp_path)}' WHERE path='000.png'")
    Image.new("RGB", (4, 4)).save(tmp_path / "escaped.png")
    before = {each: each.read_bytes() for each in tmp_path.rglob("*escaped*")}
    with pytest.raises(InputError, match="no path inside of the folder of images"):
        everything(folder, tmp_path / "out" / "deep")
    assert {each: each.read_bytes() for each in tmp_path.rglob("*escaped*")} == before


_DECISION = (
    "INSERT INTO decisions(at, reviewer, action, sha, before, after) VALUES('', '', 'x', '', '{before}', '{{}}')"
)
ABSURD = [
    "UPDATE labels SET document='{}'",
    "UPDATE labels SET document='[]'",
    "UPDATE labels SET document='" + "[" * 100_000 + "'",
    "UPDATE labels SET document=x'00ff'",
    "UPDATE labels SET document=json_set(document, '$.score', 'high')",
    'UPDATE labels SET document=replace(document, \'"score":\', \'"score":1e400,"old":\')',
    'UPDATE labels SET document=replace(document, \'"usd":\', \'"usd":Infinity,"old":\')',
    "UPDATE labels SET document=json_set(document, '$.route', 'anywhere')",
    "UPDATE labels SET document=json_set(document, '$.mask.counts', 'zzzz')",
    "UPDATE labels SET document=json_set(document, '$.mask', 7)",
    "UPDATE labels SET document=json_set(document, '$.box', json('[1, 2]'))",
    "UPDATE labels SET document=json_set(document, '$.evidence', json('{}'))",
    "UPDATE labels SET document=json_set(document, '$.evidence.supports', json('[[1]]'))",
    "UPDATE checks SET document='{}'",
    "UPDATE checks SET document='[]'",
    "UPDATE checks SET document='[[[['",
    "UPDATE images SET width='wide'",
    "UPDATE images SET width=-4",
    "UPDATE images SET height=999999999999",
    "UPDATE images SET state='odd' WHERE path='000.png'",
    "UPDATE images SET dhash='zz'",
    "UPDATE images SET seconds=9e999",
    "UPDATE units SET payload=x'00' WHERE unit='detect'",
    "UPDATE meta SET value='{}' WHERE key='ontology'",
    "UPDATE meta SET value='7' WHERE key='ontology'",
    "UPDATE meta SET value='{' WHERE key='ontology'",
    "UPDATE meta SET value='{\"a\": 1}' WHERE key='thresholds'",
    'UPDATE meta SET value=\'{"a": {"threshold": "x"}}\' WHERE key=\'thresholds\'',
    "UPDATE meta SET value='[1]' WHERE key='thresholds'",
    "UPDATE meta SET value='[1]' WHERE key='images'",
    "UPDATE meta SET value='[1]' WHERE key='model'",
    _DECISION.format(before="7"),
    _DECISION.format(before='{"labels":[{}]}'),
    _DECISION.format(before='{"checks":[7]}'),
    _DECISION.format(before='{"thresholds":{"shape":[9, 9, 9]}}'),
    "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
    "DROP TABLE labels; CREATE TABLE labels(x)",
    "DROP TABLE meta",
]


def test_a_sound_journal_can_be_used_in_every_way(strange: Callable[[str], Path], tmp_path: Path) -> None:
    everything(strange("SELECT 1"), tmp_path / "out")
    assert all((tmp_path / "out" / form / "provenance.jsonl").read_text() for form in FORMATS)


@pytest.mark.parametrize("statement", ABSURD)
def test_an_absurd_journal_is_one_clear_line(strange: Callable[[str], Path], tmp_path: Path, statement: str) -> None:
    folder = strange(statement)
    with pytest.raises(Sam3AgentError) as caught:
        everything(folder, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_record_that_unpacks_to_gigabytes_is_refused() -> None:
    bomb = zlib.compress(b"[" + b" " * 300_000_000, 9)
    with pytest.raises(InputError, match="bytes when unpacked"):
        unpack_detections(bomb, (4, 4))
    assert unpack_detections(pack_detections([PhraseDetections("x", 0.5, ())]), (4, 4))[0].phrase == "x"


@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal", f"{FILE}-journal"])
def test_a_journal_behind_a_link_is_refused(strange: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder = strange("SELECT 1")
    target = tmp_path / "target"
    target.write_bytes((folder / FILE).read_bytes())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    if name == FILE:
        with pytest.raises(InputError, match="is a link"):
            Journal.create(folder)
    with pytest.raises(InputError, match="is a link"):
        Journal.open(folder)


def test_the_lock_of_a_run_empties_nothing_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".labeling").symlink_to(tmp_path / "precious")
    with pytest.raises(Sam3AgentError, match="cannot write"), run_lock(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_journal_that_was_deleted_is_gone(strange: Callable[[str], Path]) -> None:
    folder = strange("SELECT 1")
    journal = Journal.open(folder)
    (folder / FILE).unlink()
    with pytest.raises(Sam3AgentError, match="is gone: it was deleted or replaced"):
        journal.labels()
    decisions = ReviewDecisions(journal)
    with pytest.raises(Sam3AgentError, match="is gone"):
        decisions.undo()
    journal.close()


@pytest.mark.parametrize("change", ["UPDATE meta SET value='\"99\"' WHERE key='version'", "CREATE VIEW v AS SELECT 1"])
def test_a_journal_that_is_refused_is_closed_again(tmp_path: Path, change: str) -> None:
    Journal.create(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    db.execute(change)
    db.close()
    with pytest.raises(InputError):
        Journal.open(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE]  # the last connection takes its log along
