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
from typing import TYPE_CHECKING

import anyio

from sam3_agent.errors import InputError, LLMError
from sam3_mcp.malloc_tuning import keep_memory_flat
from sam3_mcp.options import parser

if TYPE_CHECKING:
    from sam3_agent.llm.base import LLM
    from sam3_agent.model.scheduler import Scheduler
    from sam3_mcp.http_app import Door
    from sam3_mcp.sessions import Sessions
    from sam3_mcp.tool_handler import Backend

logger = logging.getLogger(__name__)

_USAGE, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the client leaves; returns the exit status (0, 2 on a usage error, 130 on Ctrl-C)."""
    options = parser().parse_args(argv)
    # stderr: on stdio, stdout belongs to the protocol.
    logging.basicConfig(stream=sys.stderr, level=options.log_level.upper(), format="sam3-mcp: %(message)s")
    keep_memory_flat()
    try:
        status = _connect(options) if options.connect else _serve(options)
    except (InputError, LLMError) as error:
        sys.stderr.write(f"sam3-mcp: error: {error}\n")
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    if options.transport == "http" and not options.connect:
        from sam3_mcp.http_app import leave

        leave(status)
    return status


def _connect(options: argparse.Namespace) -> int:
    from sam3_mcp.auth import TOKEN_VARIABLE
    from sam3_mcp.stdio_bridge import serve_bridge

    if not options.connect.startswith(("http://", "https://")):
        raise InputError(f"--connect {options.connect}: expected the URL of a server, http://127.0.0.1:8801/mcp")
    token = os.environ.get(TOKEN_VARIABLE)
    if options.token_file is not None:
        try:
            token = options.token_file.read_text(encoding="utf-8").strip().rpartition(":")[2]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the token file {options.token_file}: {error}") from error
    anyio.run(serve_bridge, options.connect, token)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from sam3_mcp.model_loader import Loading
    from sam3_mcp.results import Settings
    from sam3_mcp.tool_handler import Backend

    def load() -> "Scheduler":
        return closing.enter_context(_scheduled_segmenter(options))

    def load_llm() -> "LLM":
        from sam3_agent.loop.load_llm import load_llm

        return load_llm(options.llm)

    make_sessions = _session_maker(options)
    settings = Settings(options.images, options.links, fetches=bool(options.allow_host), seconds=options.max_seconds)
    with ExitStack() as closing:
        backend = Backend(Loading(load, options.model), make_sessions, settings, load_llm if options.llm else None)
        if options.transport == "stdio":
            from sam3_mcp.server import build_server
            from sam3_mcp.stdio_server import serve_stdio

            anyio.run(serve_stdio, build_server(backend))
            return 0
        return _serve_http(options, backend)


def _serve_http(options: argparse.Namespace, backend: "Backend") -> int:
    from functools import partial

    from sam3_mcp.http_app import build_app, serve_http
    from sam3_mcp.metrics import Metrics
    from sam3_mcp.server import build_server

    door = _door(options)
    door.check()
    app = build_app(build_server(backend), door, backend.loading, Metrics(backend))
    run = partial(serve_http, app, backend, door.host, door.port, grace=options.grace)
    return _INTERRUPTED if anyio.run(run) == signal.SIGINT else 0


def _door(options: argparse.Namespace) -> "Door":
    from sam3_mcp.auth import JwtTokens, load_tokens
    from sam3_mcp.http_app import Door

    verifier = load_tokens(options.token_file)
    if options.oauth_issuer:
        import jwt

        if not options.oauth_resource:
            raise InputError("--oauth-issuer needs --oauth-resource, the URL of this server as its tokens name it")
        keys = options.oauth_keys or f"{options.oauth_issuer.rstrip('/')}/.well-known/jwks.json"
        verifier = JwtTokens(options.oauth_issuer, options.oauth_resource, jwt.PyJWKClient(keys, timeout=5))
    return Door(
        options.host,
        options.port,
        tuple(options.public_name),
        verifier,
        options.oauth_issuer,
        options.oauth_resource,
        tuple(options.oauth_scope),
        options.stateless,
    )


def _session_maker(options: argparse.Namespace) -> "Callable[[], Sessions]":
    """Return the maker of sessions, used at the first call; what is wrong with the folders or hosts is told now."""
    from sam3_mcp.path_allowlist import Access
    from sam3_mcp.url_fetcher import Fetcher

    shared = options.transport == "http"
    access, fetcher = Access.of(options.allow_dir, default_here=not shared), Fetcher.of(options.allow_host)

    def make() -> "Sessions":
        from sam3_mcp.image_access import Pictures
        from sam3_mcp.quota import SHARED, Limits
        from sam3_mcp.sessions import Sessions

        limits = Limits(jobs=options.max_jobs)
        if shared:
            size = options.max_image_mib * 2**20
            limits = Limits(options.max_images, size, SHARED.masks, options.max_calls, options.max_jobs)
        pictures = Pictures(access, fetcher)
        memory = options.feature_mib * 2**20
        return Sessions(pictures, limits=limits, out_dir=options.out_dir, shared=shared, feature_bytes=memory)

    return make


@contextmanager
def _scheduled_segmenter(options: argparse.Namespace) -> Generator["Scheduler"]:
    """The model for many clients at once, warm; at the end nobody waits for what it still does."""
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
