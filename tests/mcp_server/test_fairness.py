"""Fairness: what one token does costs another neither its session nor its images nor its turn."""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sam3_mcp.auth import Tokens
from sam3_mcp.client_identity import Caller
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.output_quota import LimitedFolder
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.quota import SHARED, Account, Limits, Totals, Usage
from sam3_mcp.sessions import LEFT_ALONE_SECONDS, Session, Sessions

from sam3_agent.errors import Busy, InputError, ToolError, UnknownHandle
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.model.request_context import current_caller

SIDE = 100
BYTES = 3 * SIDE * SIDE
SEGMENTER = FakeSegmenter({})
MakeSessions = Callable[..., Sessions]


def image(shade: int = 0) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.full((SIDE, SIDE, 3), shade, dtype=np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def make_sessions(**options: object) -> Sessions:
    return Sessions(ImageAccess(PathAllowlist(())), shared=True, **options)  # type: ignore[arg-type]


def by(principal: str, key: object = "one", address: str = "") -> Caller:
    return Caller(principal, f"header:{key}", address=address)


def open_image(sessions: Sessions, caller: Caller) -> tuple[Session, str]:
    with sessions.using(caller, {}) as session, session.account.call("image"):
        return session, sessions.workspace(session, SEGMENTER).open(image()).id


def has(session: Session, image_id: str) -> bool:
    assert session.workspace is not None
    try:
        session.workspace.image(image_id)
    except UnknownHandle:
        return False
    return True


def test_a_token_that_invents_clients_wipes_its_own_sessions_and_nobody_elses() -> None:
    sessions = make_sessions(limits=Limits(sessions=8), total=Limits(sessions=16))
    mine, image_id = open_image(sessions, by("bob"))
    for number in range(200):
        with sessions.using(by("ann", number), {}):
            pass
    assert has(mine, image_id)
    assert sessions.of(by("bob"), {}) is mine
    assert sessions.statistics()["principals"]["ann"]["sessions"] == 8


def test_without_tokens_invented_clients_wipe_empty_sessions_before_those_with_images() -> None:
    sessions = make_sessions(total=Limits(sessions=16))
    mine, image_id = open_image(sessions, by("", "mine"))
    for number in range(200):
        with sessions.using(by("", number), {}):
            pass
    assert has(mine, image_id)
    assert sessions.of(by("", "mine"), {}) is mine
    assert sessions.statistics()["sessions"] == 16


def test_invented_clients_of_one_token_share_its_limits() -> None:
    sessions = make_sessions(limits=Limits(images=3, bytes=10 * BYTES, masks=10, calls=2, jobs=1))
    for number in range(3):
        open_image(sessions, by("ann", number))
    with pytest.raises(ToolError, match="3 images open"):
        open_image(sessions, by("ann", 4))
    first, second, third = (sessions.of(by("ann", number), {}) for number in (5, 6, 7))
    with first.account.call(), second.account.call(), pytest.raises(Busy, match="2 of your calls"):
        third.account.call().__enter__()
    with second.account.call():
        second.account.begin_job()
        with pytest.raises(Busy, match="1 of your jobs"):
            first.account.begin_job()
    open_image(sessions, by("bob"))


def test_invented_clients_of_one_token_share_its_bytes() -> None:
    sessions = make_sessions(limits=Limits(bytes=2 * BYTES))
    for number in range(2):
        open_image(sessions, by("ann", number))
    with pytest.raises(ToolError, match="yours may take"):
        open_image(sessions, by("ann", 3))


def test_images_that_a_client_left_alone_for_long_make_room_for_its_new_ones() -> None:
    """A host that connects anew for each conversation cannot reach what it left behind, and would be locked out."""
    now = [0.0]
    sessions = make_sessions(limits=Limits(images=2), clock=lambda: now[0])
    theirs, their_image = open_image(sessions, by("ann"))
    left, first = open_image(sessions, by("bob", "of yesterday"))
    used, second = open_image(sessions, by("bob", "of now"))
    with pytest.raises(ToolError, match="you have 2 images open"):
        open_image(sessions, by("bob", "new"))
    now[0] = LEFT_ALONE_SECONDS + 1.0
    with sessions.using(by("bob", "of now"), {}):
        pass
    open_image(sessions, by("bob", "new"))
    assert (has(left, first), has(used, second), has(theirs, their_image)) == (False, True, True)
    with pytest.raises(ToolError, match="you have 2 images open"):
        open_image(sessions, by("bob", "newer"))


def test_nothing_is_freed_for_an_image_that_is_too_large_even_then() -> None:
    now = [0.0]
    sessions = make_sessions(limits=Limits(bytes=2 * BYTES), clock=lambda: now[0])
    left, first = open_image(sessions, by("bob", "of yesterday"))
    now[0] = LEFT_ALONE_SECONDS + 1.0
    with sessions.using(by("bob", "new"), {}) as session, session.account.call("image"):
        with pytest.raises(ToolError, match="this image needs"):
            session.account.weigh(3 * BYTES)
        assert has(left, first)
        session.account.weigh(2 * BYTES)
    assert not has(left, first)


def test_a_session_that_ended_is_cleared_when_the_last_of_its_calls_is_over() -> None:
    sessions = make_sessions()
    with sessions.using(by("bob"), {}):
        sessions.end(by("bob"))
        assert sessions.statistics()["sessions"] == 1
    sessions.end(by("bob"))
    sessions.end(by("ann"))  # never began
    assert sessions.statistics()["sessions"] == 0


def test_where_the_sum_is_full_whoever_holds_most_loses_its_oldest_image() -> None:
    sessions = make_sessions(total=Limits(bytes=6 * BYTES))
    held = [open_image(sessions, by("ann", number)) for number in range(4)]
    bobs = [open_image(sessions, by("bob")) for _ in range(3)]
    assert [has(*each) for each in held] == [False, True, True, True]
    assert all(has(*each) for each in bobs)
    assert sessions.statistics()["principals"]["ann"]["refused"] == {"evicted": 1}
    with pytest.raises(ToolError, match="the server holds as much as it may"):
        open_image(sessions, by("bob"))
    carls = [open_image(sessions, by("carl")) for _ in range(2)]
    assert all(has(*each) for each in carls)
    assert sum(has(*each) for each in [*held, *bobs]) == 4


def test_calls_in_sum_are_bounded_but_who_has_none_running_gets_one() -> None:
    totals = Totals(Limits(calls=2))
    ann, bob = (Account(Limits(calls=8), Usage, totals, name) for name in ("ann", "bob"))
    with ann.call(), ann.call():
        with pytest.raises(Busy, match="as many as the server may"):
            ann.call().__enter__()
        with bob.call(), pytest.raises(Busy):
            bob.call().__enter__()
    assert totals.calls == 0


def test_limits_of_a_token_stand_in_the_token_file_and_hold() -> None:
    lines = ["ann:" + "a" * 20 + " images=1 image-mib=2 weight=2.5", "bob:" + "b" * 20, "c" * 20 + " calls=3"]
    found = dict(Tokens.of(lines, "tokens.txt").limits)
    assert found == {"ann": {"images": 1, "bytes": 2**21, "weight": 2.5}, "client": {"calls": 3}}
    for word in ("images", "images=", "images=0", "images=nan", "cows=3", "weight=inf", "calls=1.5"):
        with pytest.raises(InputError, match=r"tokens.txt: the token of 'ann'"):
            Tokens.of(["ann:" + "a" * 20 + " " + word], "tokens.txt")
    sessions = make_sessions(limits=SHARED, limits_of={"ann": Limits(images=1, weight=2.5)})
    open_image(sessions, by("ann"))
    with pytest.raises(ToolError, match="1 images open"):
        open_image(sessions, by("ann"))
    for _ in range(2):
        open_image(sessions, by("bob"))


def test_the_model_is_told_whose_call_it_is_and_its_weight() -> None:
    sessions = make_sessions(limits_of={"ann": Limits(weight=3.0)})
    with sessions.using(by("ann"), {}):
        assert (current_caller().principal.name, current_caller().principal.weight) == ("ann", 3.0)
    with sessions.using(by("", "key"), {}):
        assert current_caller().principal.name == ""


def test_exports_of_a_token_are_bounded_over_all_of_its_clients(tmp_path: Path) -> None:
    sessions = make_sessions(limits=Limits(exports=100), out_dir=tmp_path)
    folders = [open_image(sessions, by(*who))[0] for who in (("ann", 1), ("ann", 2), ("bob", 1))]
    first, second, other = (each.workspace.output for each in folders if each.workspace is not None)
    assert isinstance(first, LimitedFolder)
    first.write({"a.txt": bytes(60)})
    with pytest.raises(ToolError, match="your exported files may take"):
        second.write({"b.txt": bytes(60)})
    second.write({"b.txt": bytes(40)})
    other.write({"c.txt": bytes(100)})
    assert len(list(tmp_path.rglob("*.txt"))) == 3


def test_sessions_in_use_are_not_cleared_away() -> None:
    sessions = make_sessions(limits=Limits(sessions=1))
    with sessions.using(by("ann", 1), {}), pytest.raises(Busy, match="as many sessions are in use"):
        sessions.of(by("ann", 2), {})
    sessions.of(by("bob"), {})
