"""`sam3-agent serve`: the model for a labeling tool, until Ctrl-C."""

import ipaddress
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sam3_agent.cli.concept_names import read_prompt
from sam3_agent.cli.loading import open_workspace
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.label_studio.backend import Answering, Backend
from sam3_agent.labeling.label_studio.server import build_app
from sam3_agent.labeling.label_studio.task_images import TaskImages

TOKEN = "LABEL_STUDIO_API_KEY"
"""Variable of the environment that Label Studio's own backends read their token from."""


@dataclass(frozen=True, slots=True)
class Service:
    """Place of the service, its images and its answers."""

    host: str = "127.0.0.1"
    port: int = 9090
    images: Path | None = None
    label_studio: str = ""
    allowed: tuple[str, ...] = ()
    login_file: Path | None = None
    concepts: tuple[str, ...] = ()
    answering: Answering = field(default_factory=Answering)


def serve_label_studio(service: Service, model: ModelOptions) -> None:
    """Serve Label Studio's ML backend until Ctrl-C.

    Raises:
        Sam3AgentError: an option is not usable, or the port is taken.
    """
    import uvicorn

    login = _login(service)
    images = _images(service)
    concepts = [read_prompt(text, model=model.model).learned for text in service.concepts]
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with _listening(service.host, service.port) as listener:
        workspace = open_workspace(model)
        for concept in concepts:
            if concept is None:
                raise InputError("--concept takes '@NAME' or FILE.concept.json; phrases are the labels of the project")
            workspace.add_concept(concept)
        app = build_app(Backend(workspace, images, service.answering), login)
        host = f"[{service.host}]" if ":" in service.host else service.host
        print_line(f"http://{host}:{listener.getsockname()[1]}", before=("label-studio: ", "bold"))
        print_line("add it under Settings > Model, with interactive preannotations; Ctrl-C ends")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[listener])


def _login(service: Service) -> str | None:
    """Read "user:password"; raises InputError where others could reach the service without one."""
    if service.login_file is None:
        if not _is_loopback(service.host):
            raise InputError(f"--host {service.host} lets other machines in: give --login-file FILE with user:password")
        return None
    login = service.login_file.read_text(encoding="utf-8").strip()
    user, colon, password = login.partition(":")
    if not (user and colon and password) or "\n" in login:
        raise InputError(f"{service.login_file} must hold one line, user:password")
    return login


def _images(service: Service) -> TaskImages:
    if service.images is not None and not service.images.is_dir():
        raise InputError(f"--images {service.images} is no folder")
    if service.label_studio and not service.label_studio.startswith(("http://", "https://")):
        raise InputError(f"--label-studio {service.label_studio!r} is no http:// or https:// address")
    token = os.environ.get(TOKEN, "").strip()
    return TaskImages(service.images, service.label_studio, token, service.allowed)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    try:
        addresses: Sequence[tuple[int, int, int, str, tuple[object, ...]]] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        family, kind, protocol, _, address = addresses[0]
    except OSError as error:
        raise Sam3AgentError(f"--host {host!r:.80} is no address of this machine ({error.strerror})") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise Sam3AgentError(f"port {port} of {host} cannot be used ({error.strerror}); give another --port") from error
    return listener
