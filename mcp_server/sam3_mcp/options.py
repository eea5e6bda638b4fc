"""Options of `sam3-mcp`."""

import argparse
from pathlib import Path

from sam3_agent import __version__
from sam3_agent.model.devices import DEVICE_HELP, names_devices
from sam3_mcp.quota import SHARED, TOTAL

VIDEO_MIB, VIDEO_SECONDS = 2048, 1800
"""Half an hour at 30 frames a second is 54,000 frames: hours of tracking on a GPU."""


def parser() -> argparse.ArgumentParser:
    """Make a parser of all of them, in groups."""
    result = argparse.ArgumentParser(
        prog="sam3-mcp",
        description="Serve SAM 3's tools to an MCP host (Claude, Gemini CLI, Cursor, VS Code, ...).",
        epilog="Example: claude mcp add sam3 -- sam3-mcp --allow-dir ~/Pictures",
    )
    result.add_argument("--version", action="version", version=f"sam3-mcp {__version__}")
    _add_files(result)
    _add_http(result)
    _add_auth(result)
    _add_limits(result)
    _add_model(result)
    return result


def _add_files(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("images and files").add_argument
    add(
        "--allow-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="open only files under DIR; may be given several times (default: the current folder, nothing for http)",
    )
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="fetch images from HOST or HOST:PORT if its address is public; may be given several times",
    )
    add("--out-dir", type=Path, metavar="DIR", help="let export_masks write under DIR (default: it may not write)")
    add("--images", choices=["allow", "omit"], default="allow", help="send pictures in results, or leave them out")
    add("--links", action="store_true", help="add links to masks as resources; some clients cannot read them")


def _add_http(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("transport").add_argument
    add("--transport", choices=["stdio", "http"], default="stdio", help="stdio (default), or http at /mcp")
    add("--host", default="127.0.0.1", help="address for http (default 127.0.0.1); others need a token")
    add("--port", type=int, default=8801, help="port for http (default 8801; 0 for a free one)")
    add(
        "--public-name",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="a name under which clients reach this server; may be given several times",
    )
    add("--stateless", action="store_true", help="http without sessions, for several servers behind one address")
    add("--grace", type=_grace, default=20.0, metavar="S", help="seconds for running calls to finish at the end (20)")
    add("--connect", metavar="URL", help="be a stdio bridge to a running http server, without a model of one's own")


def _add_auth(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("who may call over http").add_argument
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="bearer tokens, one a line: TOKEN or NAME:TOKEN, then limits of its own such as calls=16 weight=2 "
        "(or the variable SAM3_MCP_TOKEN)",
    )
    add("--oauth-issuer", default="", metavar="URL", help="take tokens of this OAuth authorization server instead")
    add("--oauth-keys", default="", metavar="URL", help="its JSON Web Key Set (default: ISSUER/.well-known/jwks.json)")
    add("--oauth-resource", default="", metavar="URL", help="the URL of this server, as tokens name it (audience)")
    add("--oauth-scope", action="append", default=[], metavar="SCOPE", help="a scope that tokens must have")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "limits of each token, or without tokens of each client (on stdio only that of jobs)"
    ).add_argument
    usual = {
        "images": (SHARED.images, "open images"),
        "image-mib": ((SHARED.bytes or 0) // 2**20, "MiB of pixels of open images"),
        "calls": (SHARED.calls, "calls at a time"),
        "jobs": (SHARED.jobs, "jobs at a time"),
        "videos": (SHARED.videos, "open videos"),
        "video-mib": (VIDEO_MIB, "MiB of a video file"),
        "video-seconds": (VIDEO_SECONDS, "seconds of a video"),
    }
    for name, (most, words) in usual.items():
        add(f"--max-{name}", type=_count, default=most, metavar="N", help=f"{words} ({most})")
    in_all = (TOTAL.bytes or 0) // 2**20
    add(
        "--max-total-image-mib",
        type=_count,
        default=in_all,
        metavar="N",
        help=f"MiB of pixels of open images of all clients together ({in_all}); who holds most makes room",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("model and LLM").add_argument
    add(
        "--model",
        "--segmenter",
        default="tiny",
        help="tiny (default), facebook/sam3, a checkpoint's folder, or Meta's sam3.pt; "
        "serve:APP or ray://HOST:PORT/APP for what 'sam3-agent serve model' serves",
    )
    add("--device", type=_device, default="auto", help=DEVICE_HELP)
    add("--dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    add("--fast", choices=["auto", "off"], default="auto", help="auto (default): compile at the start on a CUDA GPU")
    add("--compile", action="store_true", help=argparse.SUPPRESS)  # of 0.1; read for one more version
    add(
        "--llm",
        metavar="SPEC",
        help="offer ask_image and ask_video, answered by this LLM: rules, anthropic:MODEL, openai:MODEL or "
        "chat:MODEL@BASE_URL",
    )
    add(
        "--feature-mib",
        type=_count,
        default=2048,
        metavar="N",
        help="MiB for what the model has seen, of all clients together (2048); what is dropped is encoded anew",
    )
    add(
        "--max-seconds",
        type=_seconds,
        default=120.0,
        metavar="S",
        help="give a call up that waits longer for the model (120); questions to the agent have their own limits",
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="warning", help="for stderr"
    )


def _device(text: str) -> str:
    if not names_devices(text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {DEVICE_HELP}")
    return text


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _grace(text: str) -> float:
    return 0.0 if text.strip() in ("0", "0.0") else _seconds(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return value
