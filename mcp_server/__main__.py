"""`sam3-mcp`: start the MCP server.

argparse rather than typer: hosts start this command and wait for it, and every import counts against the handshake.
"""

import argparse
import json
import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sam3_agent.errors import InputError
from sam3_agent.model.devices import DEVICE_HELP, names_devices

if TYPE_CHECKING:
    from sam3_agent.model.scheduler import Scheduler
    from sam3_agent.workspace import Workspace

logger = logging.getLogger(__name__)

_USAGE, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the client leaves; returns the exit status (0, 2 on a usage error, 130 on Ctrl-C)."""
    options = _parser().parse_args(argv)
    # stderr: on stdio, stdout belongs to the protocol.
    logging.basicConfig(stream=sys.stderr, level=options.log_level.upper(), format="sam3-mcp: %(message)s")
    try:
        _serve(options)
    except InputError as error:
        sys.stderr.write(f"sam3-mcp: error: {error}\n")
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _serve(options: argparse.Namespace) -> None:
    from mcp_server.access import Access
    from mcp_server.loading import Loading
    from mcp_server.server import Backend, build_server
    from mcp_server.transport import serve_http, serve_stdio

    def load() -> "Workspace":
        from sam3_agent.workspace import Workspace

        return Workspace(closing.enter_context(_scheduled_eye(options)))

    access = Access.of(options.allow_dir)
    with ExitStack() as closing:
        server = build_server(Backend(Loading(load, options.model), access, options.images))
        if options.transport == "stdio":
            anyio.run(serve_stdio, server)
        else:
            anyio.run(serve_http, server, options.port)


@contextmanager
def _scheduled_eye(options: argparse.Namespace) -> Generator["Scheduler"]:
    """The eye for many clients at once, warm; at the end nobody waits for what it still does."""
    from sam3_agent.model.replicas import load_replicas
    from sam3_agent.model.scheduler import Scheduler

    replicas = load_replicas(options.model, options.device, options.dtype, compile_vision=options.compile)
    for replica in replicas:
        if options.compile or replica.info.device != "cpu":  # a CPU has nothing to warm up
            logger.info("warmed up %s in %.1f s", replica.info.device, replica.warm_up())
    scheduler = Scheduler(replicas)
    try:
        yield scheduler
    finally:
        logger.info("served: %s", json.dumps(scheduler.statistics()))
        scheduler.close(timeout=0)


def _device(text: str) -> str:
    if not names_devices(text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {DEVICE_HELP}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sam3-mcp",
        description="Serve SAM 3's tools to an MCP host (Claude, Gemini CLI, Cursor, VS Code, ...).",
        epilog="Example: claude mcp add sam3 -- sam3-mcp --allow-dir ~/Pictures",
    )
    add = parser.add_argument
    add("--transport", choices=["stdio", "http"], default="stdio", help="stdio (default), or http on 127.0.0.1 only")
    add("--port", type=int, default=8801, help="port for http (default 8801); the address is http://127.0.0.1:PORT/mcp")
    add(
        "--allow-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="open only files under DIR; may be given several times (default: the current folder)",
    )
    add("--images", choices=["allow", "omit"], default="allow", help="send pictures in results, or leave them out")
    add("--model", default="tiny", help="tiny (default), facebook/sam3, or the folder of a checkpoint")
    add("--device", type=_device, default="auto", help=DEVICE_HELP)
    add("--dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    add("--compile", action="store_true", help="compile the image encoder: minutes at the start, faster on a GPU")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="warning", help="for stderr")
    return parser


if __name__ == "__main__":
    sys.exit(main())
