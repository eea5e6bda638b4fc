"""Authentication over HTTP: bearer tokens of the operator's own, or those of an OAuth authorization server."""

import hashlib
import hmac
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
import jwt
from mcp.server.auth.provider import AccessToken, TokenVerifier

from sam3_agent.errors import InputError

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "SAM3_MCP_TOKEN"
SHORTEST = 16
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA")


@dataclass(frozen=True, slots=True, repr=False)
class Tokens(TokenVerifier):
    """Fixed tokens, each with the name of its client. Only their hashes are kept, so that no log can show one."""

    hashes: tuple[tuple[str, bytes], ...]
    """(client name, SHA-256 of the token)."""

    @classmethod
    def of(cls, lines: Sequence[str], where: str) -> "Tokens":
        """Read "token" or "name:token" lines; empty lines and those that begin with # are left out.

        Raises:
            InputError: there is no token, one is too short, or a name is given twice.
        """
        found: dict[str, bytes] = {}
        for line in (line.strip() for line in lines):
            if not line or line.startswith("#"):
                continue
            name, mark, token = line.partition(":")
            name, token = (name.strip(), token.strip()) if mark else ("client", line)
            if len(token) < SHORTEST:
                raise InputError(f"{where}: the token of {name!r} is shorter than {SHORTEST} characters")
            if name in found:
                raise InputError(f"{where}: the name {name!r} is given twice")
            found[name] = _digest(token)
        if not found:
            raise InputError(f"{where}: there is no token in it; write one a line, as TOKEN or NAME:TOKEN")
        return cls(tuple(found.items()))

    async def verify_token(self, token: str) -> AccessToken | None:
        """The client whose token it is. Every known token is compared, each in constant time."""
        given, owner = _digest(token), None
        for name, known in self.hashes:
            if hmac.compare_digest(given, known):
                owner = name
        return None if owner is None else AccessToken(token="", client_id=owner, scopes=[])


def load_tokens(file: Path | None, environment: Mapping[str, str] = os.environ) -> Tokens | None:
    """The tokens of a file, else of the variable SAM3_MCP_TOKEN, else None.

    Raises:
        InputError: the file cannot be read, or holds no usable token.
    """
    if file is not None:
        try:
            return Tokens.of(file.read_text(encoding="utf-8").splitlines(), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the token file {file}: {error}") from error
    text = environment.get(TOKEN_VARIABLE)
    return Tokens.of([text], TOKEN_VARIABLE) if text is not None else None


class JwtTokens(TokenVerifier):
    """Access tokens that an OAuth authorization server signed (RFC 9068), checked against its published keys."""

    def __init__(self, issuer: str, audience: str, keys: "jwt.PyJWKClient") -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token's claims if signature, issuer, audience and times are right; nobody gets in without the keys."""
        try:
            claims = await anyio.to_thread.run_sync(self._claims, token)
        except jwt.PyJWKClientConnectionError as error:
            logger.warning("the keys of %s cannot be read, so every token is refused: %s", self._issuer, error)
            return None
        except (jwt.PyJWTError, ValueError):
            return None
        subject = str(claims["sub"])
        scopes = str(claims.get("scope", claims.get("scp", ""))).split()
        client = str(claims.get("client_id") or claims.get("azp") or subject)
        return AccessToken(
            token="",
            client_id=f"{client}/{subject}",
            scopes=scopes,
            expires_at=int(claims["exp"]),
            resource=self._audience,
            subject=subject,
            claims={"iss": self._issuer},
        )

    def _claims(self, token: str) -> dict[str, str]:
        key = self._keys.get_signing_key_from_jwt(token)
        required = ["exp", "iss", "aud", "sub"]
        return jwt.decode(
            token,
            key,
            algorithms=list(_ALGORITHMS),
            issuer=self._issuer,
            audience=self._audience,
            options={"require": required},
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
