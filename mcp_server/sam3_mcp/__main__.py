"""`sam3-mcp`: start the MCP server.

argparse rather than typer: hosts start this command and wait for it, and every import counts against the handshake.
"""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from sam3_agent.errors import InputError, LLMError
from sam3_agent.formats.control_characters import VisibleFormatter, visible_line
from sam3_mcp.malloc_tuning import keep_memory_flat, set_apart_what_lasts
from sam3_mcp.options import parser

if TYPE_CHECKING:
    from mcp.server.auth.provider import TokenVerifier

    from sam3_agent.llm.base import LLM
    from sam3_agent.model.scheduler import Scheduler
    from sam3_agent.model.served_segmenter import ServedSegmenter
    from sam3_mcp.auth import Tokens
    from sam3_mcp.http_app import HttpOptions
    from sam3_mcp.quota import Limits
    from sam3_mcp.sessions import Sessions
    from sam3_mcp.tool_handler import Backend

logger = logging.getLogger(__name__)

_USAGE, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the client leaves; returns the exit status (0, 2 on a usage error, 130 on Ctrl-C)."""
    options = parser().parse_args(argv)
    # stderr: on stdio, stdout belongs to the protocol.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("sam3-mcp: %(principal)s%(message)s"))
    handler.addFilter(name_principal)
    logging.basicConfig(handlers=[handler], level=options.log_level.upper())
    keep_memory_flat()
    try:
        status = _connect(options) if options.connect else _serve(options)
    except (InputError, LLMError) as error:
        sys.stderr.write(f"sam3-mcp: error: {visible_line(str(error))}\n")
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    if not options.connect:
        from sam3_mcp.stdio_server import leave

        leave(status)
    return status


def name_principal(record: logging.LogRecord) -> bool:
    """Put the name of the principal whose call it is into a record of the log; never its token."""
    from sam3_agent.model.request_context import current_caller

    name = current_caller().principal.name
    record.principal = f"[{name}] " if name else ""
    return True


def _connect(options: argparse.Namespace) -> int:
    from sam3_mcp.auth import TOKEN_VARIABLE
    from sam3_mcp.stdio_bridge import serve_bridge

    if not options.connect.startswith(("http://", "https://")):
        raise InputError(f"--connect {options.connect}: expected the URL of a server, http://127.0.0.1:8801/mcp")
    token = os.environ.get(TOKEN_VARIABLE)
    if options.token_file is not None:
        try:
            token = options.token_file.read_text(encoding="utf-8").strip().rpartition(":")[2].split(" ")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the token file {options.token_file}: {error}") from error
    anyio.run(serve_bridge, options.connect, token)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from sam3_mcp.model_loader import Loading
    from sam3_mcp.results import Settings
    from sam3_mcp.tool_handler import Backend

    def load() -> "Scheduler | ServedSegmenter":
        segmenter = closing.enter_context(_scheduled_segmenter(options))
        set_apart_what_lasts()
        return segmenter

    def load_llm() -> "LLM":
        from sam3_agent.loop.load_llm import load_llm

        return load_llm(options.llm)

    from sam3_mcp.auth import load_tokens

    tokens = load_tokens(options.token_file) if options.transport == "http" else None
    make_sessions = _session_maker(options, tokens)
    settings = Settings(options.images, options.links, fetches=bool(options.allow_host), seconds=options.max_seconds)
    with ExitStack() as closing:
        backend = Backend(Loading(load, options.model), make_sessions, settings, load_llm if options.llm else None)
        if options.transport == "stdio":
            from sam3_mcp.server import build_server
            from sam3_mcp.stdio_server import serve_stdio

            anyio.run(serve_stdio, build_server(backend), backend.close)
            backend.close()
            return 0
        return _serve_http(options, backend, tokens)


def _serve_http(options: argparse.Namespace, backend: "Backend", tokens: "Tokens | None") -> int:
    from functools import partial

    from sam3_mcp.http_app import build_app, serve_http
    from sam3_mcp.metrics import Metrics
    from sam3_mcp.server import build_server

    http = _http_options(options, tokens)
    http.check()
    app = build_app(build_server(backend), http, backend.loading, Metrics(backend), ended=backend.end_session)
    run = partial(serve_http, app, backend, http.host, http.port, grace=options.grace)
    status = _INTERRUPTED if anyio.run(run) == signal.SIGINT else 0
    backend.close()
    return status


def _http_options(options: argparse.Namespace, tokens: "Tokens | None") -> "HttpOptions":
    from sam3_mcp.auth import JwtTokens
    from sam3_mcp.http_app import HttpOptions

    verifier: TokenVerifier | None = tokens
    if options.oauth_issuer:
        import jwt

        if not options.oauth_resource:
            raise InputError("--oauth-issuer needs --oauth-resource, the URL of this server as its tokens name it")
        keys = options.oauth_keys or f"{options.oauth_issuer.rstrip('/')}/.well-known/jwks.json"
        verifier = JwtTokens(options.oauth_issuer, options.oauth_resource, jwt.PyJWKClient(keys, timeout=5))
    return HttpOptions(
        options.host,
        options.port,
        tuple(options.public_name),
        verifier,
        options.oauth_issuer,
        options.oauth_resource,
        tuple(options.oauth_scope),
        options.stateless,
        _limits(options),
        _limits_of(options, tokens),
    )


def _limits(options: argparse.Namespace) -> "Limits":
    """Limits of each client: on stdio only that of jobs, as the client is the user."""
    from sam3_mcp.quota import SHARED, Limits

    if options.transport != "http":
        return Limits(jobs=options.max_jobs)
    size = options.max_image_mib * 2**20
    return replace(
        SHARED,
        images=options.max_images,
        bytes=size,
        calls=options.max_calls,
        jobs=options.max_jobs,
        videos=options.max_videos,
    )


def _limits_of(options: argparse.Namespace, tokens: "Tokens | None") -> "dict[str, Limits]":
    """Limits of the tokens that have their own."""
    if tokens is None:
        return {}
    return {name: replace(_limits(options), **changed) for name, changed in tokens.limits}


def _session_maker(options: argparse.Namespace, tokens: "Tokens | None") -> "Callable[[], Sessions]":
    """Return the maker of sessions, used at the first call; what is wrong with the folders or hosts is told now."""
    from sam3_mcp.path_allowlist import PathAllowlist
    from sam3_mcp.url_fetcher import Fetcher

    shared = options.transport == "http"
    files, fetcher = PathAllowlist.of(options.allow_dir, default_here=not shared), Fetcher.of(options.allow_host)

    def make() -> "Sessions":
        from sam3_mcp.decoding import DecodePool, decode_here
        from sam3_mcp.image_access import ImageAccess
        from sam3_mcp.quota import TOTAL, UNLIMITED
        from sam3_mcp.sessions import Sessions
        from sam3_mcp.video_access import VideoAccess
        from sam3_mcp.video_decoding import VideoPool

        images = ImageAccess(files, fetcher, decode=DecodePool() if shared else decode_here)
        videos = VideoAccess(files, images)
        if shared:
            size, seconds = options.max_video_mib * 2**20, options.max_video_seconds
            videos = replace(videos.bounded(), max_bytes=size, max_seconds=seconds, decode=VideoPool())
        total = replace(TOTAL, bytes=options.max_total_image_mib * 2**20) if shared else UNLIMITED
        return Sessions(
            images,
            videos,
            limits=_limits(options),
            limits_of=_limits_of(options, tokens),
            total=total,
            out_dir=options.out_dir,
            shared=shared,
            feature_bytes=options.feature_mib * 2**20,
        )

    return make


@contextmanager
def _scheduled_segmenter(options: argparse.Namespace) -> Generator["Scheduler | ServedSegmenter"]:
    """Load the model for many clients at once, warm; at the end nobody waits for what it still does."""
    from sam3_agent.model.ray_cluster import served_address

    address = served_address(options.model)
    if address is not None:
        from sam3_agent.model.replicas import check_served
        from sam3_agent.model.served_segmenter import open_served

        check_served(address, options.device, options.dtype)
        served = open_served(address, patience=0.0)  # a host is told at once that there is too much to do
        yield served
        logger.info("asked: %s", json.dumps(served.statistics()))
        return
    from sam3_agent.model.replicas import load_replicas
    from sam3_agent.model.scheduler import Scheduler

    replicas = load_replicas(options.model, options.device, options.dtype, fast=options.fast)
    if options.compile:
        logger.warning("--compile is no longer needed: --fast auto, the default, compiles on a CUDA GPU")
    for replica in replicas:
        if replica.info.device != "cpu":  # a CPU has nothing to warm up
            logger.info("warmed up %s in %.1f s", replica.info.device, replica.warm_up())
    scheduler = Scheduler(replicas)
    try:
        yield scheduler
    finally:
        logger.info("served: %s", json.dumps(scheduler.statistics()))
        scheduler.close(timeout=0)


if __name__ == "__main__":
    sys.exit(main())
