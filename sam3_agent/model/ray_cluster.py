"""Connection of this process to a Ray cluster; Ray is an optional package, and nothing of it is imported before."""

import importlib
import logging
import os
import re
from dataclasses import dataclass
from typing import Any

from sam3_agent.errors import InputError, Sam3AgentError

APP = "sam3"
"""Name of the application of Ray Serve unless another is given."""
SERVED_HELP = "serve:APP or ray://HOST:PORT[/APP] for one that 'sam3-agent serve model' serves"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_SAID = 300


@dataclass(frozen=True, slots=True)
class ServedAddress:
    """Address of a served model: an application of Ray Serve, and the cluster that it runs on."""

    app: str = APP
    cluster: str = ""
    """"ray://HOST:PORT" of a Ray Client server; empty for the cluster of RAY_ADDRESS, or the one of this machine."""

    def __post_init__(self) -> None:
        """Raise InputError for a name that is none."""
        if not _NAME.fullmatch(self.app):
            raise InputError(f"{self.app!r:.80} is no name of a served model: letters, digits, '.', '_' and '-'")

    def __str__(self) -> str:
        return f"{self.cluster}/{self.app}" if self.cluster else f"serve:{self.app}"


def served_address(name: str) -> ServedAddress | None:
    """Read "serve:APP" or "ray://HOST:PORT[/APP]"; None for the name of any other model.

    Raises:
        InputError: it begins like one of them and is none.
    """
    if name.startswith("serve:"):
        return ServedAddress(name.removeprefix("serve:") or APP)
    if not name.startswith("ray://"):
        return None
    host, _, app = name.removeprefix("ray://").partition("/")
    if not re.fullmatch(r"[^/\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", host):
        raise InputError(f"{name!r:.120} is no address of a Ray Client server: ray://HOST:PORT or ray://HOST:PORT/APP")
    return ServedAddress(app or APP, f"ray://{host}")


def import_ray() -> Any:
    """Import Ray; raises Sam3AgentError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise Sam3AgentError(f"this needs Ray ({error}): pip install 'sam3-agent[ray]'") from error


def import_serve() -> Any:
    """Import Ray Serve; raises Sam3AgentError where it is not installed."""
    import_ray()
    try:
        serve = importlib.import_module("ray.serve")
    except ImportError as error:
        raise Sam3AgentError(f"this needs Ray Serve ({error}): pip install 'sam3-agent[ray]'") from error
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # INFO tells of every deployment and handle
    return serve


def connect(address: str = "", **options: Any) -> bool:
    """Connect this process, unless it is connected already; gives whether it was done now, and so is to be undone.

    Args:
        address: "ray://HOST:PORT" or "auto", a cluster that is running. Empty for that of RAY_ADDRESS, else the one
            that runs on this machine, else a new one of this machine, which ends with the connection.
        options: of `ray.init`, for a new cluster.

    Raises:
        Sam3AgentError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = import_ray()
    if ray.is_initialized():
        return False
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": True}
    if address.startswith("ray://"):
        quiet = {"logging_level": "ERROR"}  # all that a Ray Client takes of it
    try:
        if address or os.environ.get("RAY_ADDRESS"):
            ray.init(**({"address": address} if address else {}), **quiet)
        elif options or not _joined(ray, quiet):
            ray.init(**{**quiet, "include_dashboard": False, **options})
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise Sam3AgentError(f"no Ray cluster: {first_words(error)}; check RAY_ADDRESS") from error
    return True


def _joined(ray: Any, quiet: dict[str, Any]) -> bool:
    """Connect to the cluster that runs on this machine; gives whether there is one."""
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        return False
    return True


def first_words(error: BaseException) -> str:
    """Put what an error says into one line of at most 300 characters."""
    return " ".join(str(error).split())[:_MOST_SAID].rstrip(".")
