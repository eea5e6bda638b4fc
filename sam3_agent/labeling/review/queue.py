"""Which image a person should see next."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sam3_agent.errors import InputError
from sam3_agent.labeling.store.journal import Journal

Filter = Literal["review", "missed", "accepted", "rejected", "all"]

_COUNTS = """
SELECT images.sha, path, width, height, COALESCE(l.review, 0), COALESCE(l.accepted, 0), COALESCE(l.rejected, 0),
    COALESCE(c.missed, 0), COALESCE(l.decided, 0), COALESCE(l.doubt, 0)
FROM images
LEFT JOIN (SELECT sha, SUM(route='review') review, SUM(route='accepted') accepted, SUM(route='rejected') rejected,
    SUM(reviewer NOT IN ('', 'import')) decided, MAX(CASE route WHEN 'review' THEN 1-ABS(2*quality-1) END) doubt
    FROM labels {by_class} GROUP BY sha) l ON l.sha=images.sha
LEFT JOIN (SELECT sha, SUM(route='review') missed FROM checks {by_class} GROUP BY sha) c ON c.sha=images.sha
WHERE state='done'
"""
_WHERE = {
    "review": "COALESCE(l.review, 0) > 0",
    "missed": "COALESCE(c.missed, 0) > 0",
    "accepted": "COALESCE(l.accepted, 0) > 0",
    "rejected": "COALESCE(l.rejected, 0) > 0",
    "all": "1",
}


@dataclass(frozen=True, slots=True)
class Queue:
    """A part of the images that fit a filter, the most doubtful first."""

    total: int
    items: tuple[dict[str, Any], ...]


def queue_of(journal: Journal, kind: str, class_name: str | None, offset: int, limit: int) -> Queue:
    """Images `offset` to `offset + limit` of those with something to see.

    Raises:
        InputError: an unknown filter.
    """
    if kind not in get_args(Filter):
        raise InputError(f"unknown filter {kind!r}; one of {', '.join(get_args(Filter))}")
    by_class = "WHERE class=?" if class_name else ""
    values = (class_name, class_name) if class_name else ()
    query = f"{_COUNTS.format(by_class=by_class)} AND {_WHERE[kind]}"
    ordered = f"SELECT *, COUNT(*) OVER () FROM ({query}) ORDER BY 10 DESC, path LIMIT ? OFFSET ?"
    rows = journal.read(ordered, (*values, limit, offset))
    names = ("sha", "path", "width", "height", "review", "accepted", "rejected", "missed", "decided", "doubt")
    total = int(rows[0][10]) if rows else 0
    return Queue(total, tuple(dict(zip(names, row, strict=False)) for row in rows))


def progress_of(journal: Journal) -> dict[str, int]:
    """How many labels wait, are accepted, are rejected, and were decided by a person."""
    rows = journal.read("SELECT route, COUNT(*), SUM(reviewer NOT IN ('', 'import')) FROM labels GROUP BY route")
    counts = {"review": 0, "accepted": 0, "rejected": 0} | {row[0]: int(row[1]) for row in rows}
    missed = int(journal.read("SELECT COUNT(*) FROM checks WHERE route='review'")[0][0])
    return {**counts, "decided": sum(int(row[2]) for row in rows), "missed": missed}
