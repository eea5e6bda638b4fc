"""Many clients over HTTP: isolation, quotas, tokens, health and metrics, with the deterministic model."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from sam3_mcp.auth import Tokens
from sam3_mcp.http_app import HttpOptions, build_app, http_config
from sam3_mcp.metrics import Metrics
from sam3_mcp.quota import Limits
from sam3_mcp.server import build_server
from sam3_mcp.tool_handler import Backend
from starlette.types import ASGIApp

from sam3_agent.errors import InputError
from tests.mcp_server.fixtures_server import make_backend, text_of

pytestmark = pytest.mark.anyio
ACCEPT = {"Accept": "application/json, text/event-stream"}
OPEN = HttpOptions()
Serving = Callable[..., str]


@contextmanager
def serving(backend: Backend, options: HttpOptions, **settings: Any) -> Iterator[str]:
    """The application on a free port, in a thread of its own; gives its address without a path."""
    app = build_app(build_server(backend), options, backend.loading, Metrics(backend), ended=backend.end_session)
    with serving_app(app, **settings) as url:
        yield url


@contextmanager
def serving_app(app: ASGIApp, **settings: Any) -> Iterator[str]:
    """Any application on a free port."""
    server = uvicorn.Server(http_config(app, port=0, **{"log_level": "error", **settings}))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def serve(folder: Path, request: pytest.FixtureRequest) -> Serving:
    def begin(options: HttpOptions = OPEN, **sessions: Any) -> str:
        running = serving(make_backend(folder, shared=True, **sessions), options)
        url = running.__enter__()
        request.addfinalizer(lambda: running.__exit__(None, None, None))
        return url

    return begin


@asynccontextmanager
async def client(url: str, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        httpx2.AsyncClient(headers=given, timeout=30) as session,
        Client(streamable_http_client(f"{url}/mcp", http_client=session), mode=mode) as found,
    ):
        yield found


async def open_square(who: Client, folder: Path) -> tuple[str, str]:
    """Ids of the picture and of one mask on it."""
    opened = await who.call_tool("open_image", {"source": str(folder / "square.png")})
    assert not opened.is_error, text_of(opened)
    image_id = opened.structured_content["image_id"]
    found = await who.call_tool("segment_concepts", {"image_id": image_id, "concepts": ["square"]})
    return image_id, found.structured_content["results"][0]["instances"][0]["id"]


def without_cookies() -> httpx2.AsyncClient:
    """Like the clients of other languages, which keep no cookies."""

    async def forget(response: httpx2.Response) -> None:
        response.headers.pop("set-cookie", None)

    return httpx2.AsyncClient(timeout=30, event_hooks={"response": [forget]})


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_ids_of_another_client_are_unknown(serve: Serving, folder: Path, mode: str) -> None:
    url = serve()
    async with client(url, mode) as mine, client(url, mode) as other:
        image_id, mask_id = await open_square(mine, folder)
        assert len(image_id) == len("img1-") + 10
        for name, arguments in (
            ("look", {"image_id": image_id}),
            ("segment_concepts", {"image_id": image_id, "concepts": ["square"]}),
            ("combine_masks", {"mask_ids": [mask_id, mask_id + "x"], "operation": "union"}),
            ("forget_image", {"image_id": image_id}),
            ("learn_concept", {"name": "mine", "positive_masks": [mask_id]}),
        ):
            refused = await other.call_tool(name, arguments)
            assert refused.is_error
            assert "unknown" in text_of(refused)
        assert (await other.call_tool("list_images", {})).structured_content["images"] == []
        with pytest.raises(Exception, match="unknown"):
            await other.read_resource(f"sam3://masks/{mask_id}.png")
        assert [r.name for r in (await other.list_resources()).resources] == ["viewer"]
        assert len((await mine.list_resources()).resources) == 5  # viewer, image, overlay, two masks
        theirs, _ = await open_square(other, folder)
        assert theirs != image_id
        assert not (await mine.call_tool("look", {"image_id": image_id})).is_error


async def test_short_ids_mean_ones_own(serve: Serving, folder: Path) -> None:
    async with client(serve(), "legacy") as mine:
        image_id, mask_id = await open_square(mine, folder)
        looked = await mine.call_tool("look", {"image_id": "img1", "mask_ids": ["m1"]})
        assert looked.structured_content["image_id"] == image_id
        assert looked.structured_content["mask_ids"] == [mask_id]


async def test_a_client_without_session_and_cookie_is_known_by_its_ids_alone(serve: Serving, folder: Path) -> None:
    url = serve(limits=Limits(images=2))
    async with (
        without_cookies() as session,
        Client(streamable_http_client(f"{url}/mcp", http_client=session)) as mine,
        client(url, "legacy") as other,
    ):
        image_id, mask_id = await open_square(mine, folder)
        measured = await mine.call_tool("measure_masks", {"image_id": image_id, "mask_ids": [mask_id]})
        assert not measured.is_error, text_of(measured)
        assert "unknown" in text_of(await other.call_tool("look", {"image_id": image_id}))
        await open_square(mine, folder)
        full = await mine.call_tool("open_image", {"source": str(folder / "square.png")})
        assert "2 images open, as many as one client may" in text_of(full)


async def test_a_client_that_names_itself_is_known_over_reconnects(serve: Serving, folder: Path) -> None:
    url = serve()
    async with client(url, "legacy", Sam3_Client="a-secret-of-some-length") as mine:
        image_id, _ = await open_square(mine, folder)
    async with client(url, "auto", Sam3_Client="a-secret-of-some-length") as again:
        assert not (await again.call_tool("look", {"image_id": image_id})).is_error
    async with client(url, "auto", Sam3_Client="short") as bad:
        assert "16 to 200" in text_of(await bad.call_tool("list_images", {}))


async def test_what_a_session_held_is_freed_when_its_client_ends_it(folder: Path) -> None:
    backend = make_backend(folder, shared=True)
    with serving(backend, OPEN) as url:
        async with client(url, "legacy", sam3_client="a-secret-of-mine" * 2) as named:
            await open_square(named, folder)
        async with client(url, "legacy") as stays:
            await open_square(stays, folder)
            async with client(url, "legacy") as leaves:
                await open_square(leaves, folder)
                assert backend.sessions.statistics()["images"] == 3
            assert backend.sessions.statistics()["images"] == 2  # a client that names itself may come back
            assert not (await stays.call_tool("measure_masks", {"image_id": "img1"})).is_error


async def test_quotas_are_told_in_one_line_each(serve: Serving, folder: Path) -> None:
    url = serve(limits=Limits(images=2, bytes=500_000, masks=3, calls=4, jobs=1))
    source = {"source": str(folder / "square.png")}
    async with client(url, "legacy") as mine:
        for _ in range(2):
            assert not (await mine.call_tool("open_image", source)).is_error
        words = text_of(await mine.call_tool("open_image", source))
        assert words == "you have 2 images open, as many as one client may; free one with forget_image first"
        await mine.call_tool("forget_image", {"image_id": "img2"})
        assert not (await mine.call_tool("open_image", source)).is_error
        for concepts in (["square"], ["square"], ["cat"]):
            await mine.call_tool("segment_concepts", {"image_id": "img1", "concepts": concepts})
        full = text_of(await mine.call_tool("segment_concepts", {"image_id": "img1", "concepts": ["square"]}))
        assert "you hold 3 masks, as many as one client may" in full
    async with client(serve(limits=Limits(bytes=300_000)), "legacy") as small:
        assert not (await small.call_tool("open_image", source)).is_error  # 240 x 320 x 3 = 230 400 bytes
        assert "forget_image" in text_of(await small.call_tool("open_image", source))


def counted(backend: Backend) -> int:
    """Calls that hold a place; those before them still wait for the imports of the first one."""
    made = "sessions" in vars(backend)
    return sum(row["calls"] for row in backend.sessions.statistics()["principals"].values()) if made else 0


async def test_calls_at_a_time_are_bounded_for_each_client(folder: Path) -> None:
    release = threading.Event()

    def load() -> Any:
        from sam3_agent.model.fake import FakeSegmenter
        from tests.mcp_server.fixtures_server import answers

        assert release.wait(30)
        return FakeSegmenter(answers)

    backend = make_backend(folder, make_segmenter=load, shared=True, limits=Limits(calls=2))
    with serving(backend, HttpOptions()) as url:
        async with client(url, "legacy") as mine, client(url, "legacy") as other, anyio.create_task_group() as tasks:
            for who in (mine, mine, other):
                tasks.start_soon(who.call_tool, "list_images", {})
            with anyio.fail_after(20):
                while backend.running < 3 or counted(backend) < 3:
                    await anyio.sleep(0.01)
            words = text_of(await mine.call_tool("list_images", {}))
            assert words == "2 of your calls are running, as many as one client may; wait for one"
            release.set()


async def test_a_token_is_asked_for_and_is_a_client_of_its_own(serve: Serving, folder: Path) -> None:
    tokens = Tokens.of(["ann:" + "a" * 20, "bob:" + "b" * 20, "# nobody"], "tokens.txt")
    url = serve(HttpOptions(verifier=tokens))
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    async with httpx2.AsyncClient() as plain:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer " + "a" * 19}):
            refused = await plain.post(f"{url}/mcp", json=body, headers={**ACCEPT, **headers})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await plain.get(f"{url}/metrics")).status_code == 401
        assert (await plain.get(f"{url}/healthz")).status_code == 200
    key = "the-same-client-key"
    async with (
        client(url, "legacy", Authorization="Bearer " + "a" * 20, Sam3_Client=key) as ann,
        client(url, "auto", Authorization="Bearer " + "b" * 20, Sam3_Client=key) as bob,
    ):
        image_id, _ = await open_square(ann, folder)
        assert "unknown image" in text_of(await bob.call_tool("look", {"image_id": image_id}))


def test_tokens_are_checked_when_they_are_read_and_never_shown() -> None:
    for lines in ([], ["# none"], ["short"], ["ann:short"], ["ann:" + "a" * 20, "ann:" + "b" * 20]):
        with pytest.raises(InputError, match=r"tokens.txt: "):
            Tokens.of(lines, "tokens.txt")
    assert "a" * 20 not in repr(Tokens.of(["a" * 20], "x"))
    with pytest.raises(InputError, match="give --token-file"):
        HttpOptions(host="0.0.0.0").check()
    HttpOptions(host="0.0.0.0", verifier=Tokens.of(["a" * 20], "x")).check()
    HttpOptions(host="::1").check()


async def test_health_and_metrics_are_told_and_guarded_like_the_rest(serve: Serving, folder: Path) -> None:
    url = serve()
    async with client(url) as mine:
        await open_square(mine, folder)
        await mine.call_tool("no_such_tool_" + "x" * 50, {})
    async with httpx2.AsyncClient() as plain:
        health = await plain.get(f"{url}/healthz")
        text = (await plain.get(f"{url}/metrics")).text
        foreign = [
            await plain.get(f"{url}{path}", headers={"Host": "evil.example"}) for path in ("/healthz", "/metrics")
        ]
    assert health.json() == {"status": "ok", "model": "ready"}
    for line in (
        'sam3_tool_calls_total{outcome="ok",tool="segment_concepts"} 1.0',
        'sam3_tool_calls_total{outcome="error",tool="unknown"} 1.0',
        'sam3_tool_seconds_count{tool="open_image"} 1.0',
        "sam3_model_ready 1.0",
        "sam3_images 1.0",
        "sam3_masks 2.0",
        "sam3_feature_cache_misses 1.0",
    ):
        assert line in text, text
    assert "no_such_tool" not in text
    assert [answer.status_code for answer in foreign] == [421, 421]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_server_without_sessions_works_for_both_eras(serve: Serving, folder: Path, mode: str) -> None:
    url = serve(HttpOptions(stateless=True))
    async with client(url, mode, Sam3_Client="a-secret-of-some-length") as mine:
        image_id, mask_id = await open_square(mine, folder)
        assert not (await mine.call_tool("look", {"image_id": image_id, "mask_ids": [mask_id]})).is_error


async def test_requests_that_are_too_large_or_no_json_are_refused(serve: Serving) -> None:
    url = serve()
    async with httpx2.AsyncClient() as plain:
        large = await plain.post(
            f"{url}/mcp", content=b"x" * 5_000_000, headers={**ACCEPT, "Content-Type": "application/json"}
        )
        broken = await plain.post(f"{url}/mcp", content=b"{", headers={**ACCEPT, "Content-Type": "application/json"})
        other = await plain.post(f"{url}/mcp", content=b"<a/>", headers={**ACCEPT, "Content-Type": "text/xml"})
    assert (large.status_code, broken.status_code, other.status_code) == (413, 400, 400)
