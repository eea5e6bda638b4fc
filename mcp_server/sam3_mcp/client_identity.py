"""Identity of the client behind a request."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sam3_agent.errors import ToolError

CLIENT_HEADER = "sam3-client"
SESSION_HEADER = "mcp-session-id"
COOKIE = "sam3_client"
OFFERED = "sam3.offered_key"
"""In the scope of a request that does not say who calls: the key that its answer offers as a cookie."""
SHORTEST_KEY = 16
_KEY = re.compile(r"[\x21-\x7e]{16,200}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Client, as far as a request tells it from others.

    Its key is, in this order: the header Sam3-Client (any secret of 16 characters or more, kept over reconnects), the
    session of the 2025 protocols, the cookie that this server offered. The 2026 protocol has no sessions; a client of
    it that sends neither header nor cookie is unproven, and is known by nothing but the unguessable ids that it uses.
    """

    principal: str = ""
    """Name of the token; empty where none is asked for."""
    key: str = "local"
    proven: bool = True
    """The request itself brought the key, rather than being offered it."""
    address: str = ""
    """Address that it calls from: unproven callers of one address share one account."""


LOCAL = Caller()
"""Client of a server on stdin and stdout."""


def principal_of(scope: Mapping[str, Any]) -> str:
    """Name of the token with which a request (its ASGI scope) came; empty where none was asked for."""
    user = scope.get("user")
    return str(user.username) if user is not None and user.is_authenticated else ""


def session_caller(principal: str, session: str, address: str = "") -> Caller:
    """Return the caller that a session of the 2025 protocols is."""
    return Caller(principal, f"session:{session}", address=address)


def caller_of(request: Any) -> Caller:
    """The caller of an HTTP request (starlette's), or LOCAL where there is none.

    Raises:
        ToolError: the header Sam3-Client is too short to be a secret.
    """
    if request is None:
        return LOCAL
    principal = principal_of(request.scope)
    address = request.client.host if request.client else ""
    given = request.headers.get(CLIENT_HEADER)
    if given is not None:
        if not _KEY.fullmatch(given):
            raise ToolError(f"the header Sam3-Client must be a secret of {SHORTEST_KEY} to 200 printable characters")
        return Caller(principal, f"header:{given}", address=address)
    if session := request.headers.get(SESSION_HEADER):
        return session_caller(principal, session, address)
    if cookie := request.cookies.get(COOKIE, ""):
        return Caller(principal, f"cookie:{cookie}", address=address)
    offered = request.scope.get(OFFERED) or secrets.token_urlsafe(24)
    return Caller(principal, f"cookie:{offered}", proven=False, address=address)
