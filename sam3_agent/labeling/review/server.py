"""Server of the review pages: loopback only, every address behind a token, nothing from elsewhere."""

import mimetypes
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.formats.reading import parse_json
from sam3_agent.labeling.review.page import ReviewPage

STATIC = Path(__file__).parent / "static"
MOST_BODY = 1_000_000
"""Bytes of one call: the ids of 10,000 labels are 400 kB."""
_SAFE = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_app(page: ReviewPage, token: str) -> Starlette:
    """Serve a page and its calls under /TOKEN/; any other address is not found, foreign Host headers are refused."""
    prefix, calls = f"/{token}", page.by_name()
    routes = [
        Route(f"{prefix}/", _page(page.page)),
        Route(f"{prefix}/static/{{name}}", _static),
        Route(f"{prefix}/picture/{{key}}", _picture(page)),
        *(Route(f"{prefix}/api/{name}", _answering(call), methods=["POST"]) for name, call in calls.items()),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=routes, middleware=[hosts])


def new_token() -> str:
    """Draw an unguessable part of the page's address."""
    return secrets.token_urlsafe(16)


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return FileResponse(STATIC / name, headers=_SAFE)

    return page


async def _static(request: Request) -> Response:
    name = str(request.path_params["name"])
    known = {path.name: path for path in STATIC.iterdir()}
    if name not in known:
        return Response(status_code=404)
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    return FileResponse(known[name], media_type=kind, headers=_SAFE)


def _picture(page: ReviewPage) -> Callable[[Request], Awaitable[Response]]:
    async def picture(request: Request) -> Response:
        try:
            found = await run_in_threadpool(page.picture, str(request.path_params["key"]))
        except (Sam3AgentError, OSError) as error:
            return JSONResponse({"error": str(error)}, status_code=404, headers=_SAFE)
        headers = {**_SAFE, "Cache-Control": "private, max-age=3600"} if found.keep else _SAFE
        if isinstance(found.content, Path):
            return FileResponse(found.content, media_type=found.media_type, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    return picture


def _answering(call: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Awaitable[Response]]:
    """Answer a call of the page: JSON in, JSON out; what the caller can repair comes back as {"error"}."""

    async def answer(request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return JSONResponse({"error": "send application/json"}, status_code=415, headers=_SAFE)
        try:
            given: object = parse_json(await _body(request), "the call")
            if not isinstance(given, dict):
                raise InputError("send a JSON object")
            return JSONResponse(await run_in_threadpool(call, cast(dict[str, Any], given)), headers=_SAFE)
        except (Sam3AgentError, ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400, headers=_SAFE)

    return answer


async def _body(request: Request) -> bytes:
    """Read the body of a call, and no more of it than one can have."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BODY:
            raise InputError(f"a call has at most {MOST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)
