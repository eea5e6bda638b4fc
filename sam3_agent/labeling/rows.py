"""Labels, checks and images as rows of the journal."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, cast

from sam3_agent.errors import InputError
from sam3_agent.labeling.label import Check, Evidence, Label
from sam3_agent.masks import Box, Rle, from_json

IMAGE = "path, sha, bytes, mtime, state, reason, width, height, dhash, seconds"
PUT_IMAGE = f"INSERT OR REPLACE INTO images({IMAGE}) VALUES({', '.join('?' * 10)})"
PUT_LABEL = "INSERT OR REPLACE INTO labels VALUES(?, ?, ?, ?, ?, ?, ?)"
PUT_CHECK = "INSERT OR REPLACE INTO checks VALUES(?, ?, ?, ?, ?)"


def of(images: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of image values."""
    return [astuple(image) for image in images]


def drop_machine_labels(db: sqlite3.Connection, sha: str) -> None:
    """Remove from an image what no person and no file decided or asked for (".h": more like this)."""
    db.execute("DELETE FROM labels WHERE sha=? AND reviewer='' AND id NOT GLOB '*.h*'", (sha,))
    db.execute("DELETE FROM checks WHERE sha=? AND reviewer=''", (sha,))


def label_row(label: Label) -> tuple[Any, ...]:
    """The row of a label."""
    document = json.dumps(label_json(label), separators=(",", ":"), ensure_ascii=False)
    return (label.id, label.sha, label.class_name, label.route, label.reviewer, label.quality, document)


def label_json(label: Label) -> dict[str, Any]:
    """A label in plain values; `label_of` reads it back."""
    return {
        "id": label.id,
        "sha": label.sha,
        "class": label.class_name,
        "mask": label.rle.to_json(),
        "box": [round(v, 3) for v in label.box],
        "score": label.score,
        "object_score": label.object_score,
        "presence": label.presence,
        "source": label.source,
        "phrase": label.phrase,
        "evidence": label.evidence.to_json(),
        "attributes": dict(label.attributes),
        "quality": label.quality,
        "verdict": label.verdict,
        "reason": label.reason,
        "route": label.route,
        "reviewer": label.reviewer,
        "proposed_class": label.proposed_class,
        "model": label.model,
        "usd": label.usd,
    }


def label_of(value: dict[str, Any]) -> Label:
    """What `label_json` wrote."""
    return Label(
        id=value["id"],
        sha=value["sha"],
        class_name=value["class"],
        rle=_mask(value),
        box=cast(Box, tuple(value["box"])),
        score=value["score"],
        object_score=value["object_score"],
        presence=value["presence"],
        source=value["source"],
        phrase=value["phrase"],
        evidence=Evidence.from_json(value["evidence"]),
        attributes=value["attributes"],
        quality=value["quality"],
        verdict=value["verdict"],
        reason=value["reason"],
        route=value["route"],
        reviewer=value["reviewer"],
        proposed_class=value["proposed_class"],
        model=value["model"],
        usd=value["usd"],
    )


def _mask(value: dict[str, Any]) -> Rle:
    try:
        return from_json(value["mask"])
    except InputError as error:
        raise InputError(f"the journal holds a damaged label {value['id']}: {error}") from error


def label(document: str) -> Label:
    """The label of a row's document."""
    return label_of(json.loads(document))


def check_row(check: Check) -> tuple[Any, ...]:
    """The row of a check."""
    document = json.dumps([*astuple(check)], ensure_ascii=False)
    return (check.sha, check.class_name, check.route, check.reviewer, document)


def check(document: str) -> Check:
    """The check of a row's document."""
    return Check(*json.loads(document))
