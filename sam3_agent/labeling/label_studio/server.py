"""HTTP server of the ML backend, by the contract of Label Studio's SDK (label_studio_ml/api.py)."""

import base64
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.formats.reading import parse_json
from sam3_agent.labeling.label_studio.backend import Backend

MOST_BODY = 50_000_000
"""Bytes of one call: tasks come with their annotations, whose brush masks take up to a megabyte each."""

_Call = Callable[[dict[str, Any]], Any]


def build_app(backend: Backend, login: str | None = None) -> Starlette:
    """Serve the calls that Label Studio makes; with `login` ("user:password") only to those who give it."""
    events = _answering(lambda _: {"result": {}, "status": "ok"}, login, status=201)
    up = {"status": "UP", "model_class": "SAM 3", "model_version": backend.version, "v2": True}
    routes = [
        Route("/", _telling(up), methods=["GET"]),
        Route("/health", _telling(up), methods=["GET"]),
        Route("/metrics", _telling({}), methods=["GET"]),
        Route("/versions", _telling({"versions": [backend.version]}), methods=["GET", "POST"]),  # POST: its SDK 1.0
        Route("/is_training", _telling({"is_training": False}), methods=["GET"]),
        Route("/setup", _answering(backend.setup, login), methods=["POST"]),
        Route("/predict", _answering(backend.predict, login), methods=["POST"]),
        # Annotations are taken note of and teach nothing: `sam3-agent teach` does, when a person wants it.
        Route("/webhook", events, methods=["POST"]),
        Route("/train", events, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def _telling(value: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    async def tell(_: Request) -> Response:
        return JSONResponse(value)

    return tell


def _answering(call: _Call, login: str | None, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
    """Answer a call: JSON in, JSON out; what the caller can repair comes back as {"error"}."""

    async def answer(request: Request) -> Response:
        if login is not None and not _is_known(request.headers.get("authorization", ""), login):
            return JSONResponse({"error": "unknown user or password"}, 401, {"WWW-Authenticate": "Basic"})
        # A page in a browser cannot send this type to another site unasked, so it cannot make us read images.
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return JSONResponse({"error": "send application/json"}, 415)
        try:
            given: object = parse_json(await _body(request), "the call")
            if not isinstance(given, dict):
                raise InputError("send a JSON object")
            return JSONResponse(await run_in_threadpool(call, cast(dict[str, Any], given)), status)
        except (Sam3AgentError, ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


def _is_known(header: str, login: str) -> bool:
    expected = f"Basic {base64.b64encode(login.encode()).decode()}"
    return secrets.compare_digest(header.encode(), expected.encode())


async def _body(request: Request) -> bytes:
    """Read the body of a call, and no more of it than one can have."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise InputError(f"a call has at most {MOST_BODY} bytes; send fewer tasks at a time")
    return bytes(data)
