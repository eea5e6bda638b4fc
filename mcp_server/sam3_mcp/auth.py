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
"""Characters of a token: 80 bits where they are random letters and digits."""
LIMIT_WORDS = {
    "sessions": ("sessions", 1),
    "images": ("images", 1),
    "image-mib": ("bytes", 2**20),
    "masks": ("masks", 1),
    "calls": ("calls", 1),
    "jobs": ("jobs", 1),
    "export-mib": ("exports", 2**20),
    "weight": ("weight", 1),
}
"""Words of the token file -> (field of `Limits`, factor)."""
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA")


@dataclass(frozen=True, slots=True, repr=False)
class Tokens(TokenVerifier):
    """Fixed tokens, each with the name of its client. Only their hashes are kept, so that no log can show one."""

    hashes: tuple[tuple[str, bytes], ...]
    """(client name, SHA-256 of the token)."""
    limits: tuple[tuple[str, dict[str, float]], ...] = ()
    """(client name, fields of its `Limits` that are not the usual ones)."""

    @classmethod
    def of(cls, lines: Sequence[str], where: str) -> "Tokens":
        """Read "token" or "name:token" lines; empty lines and those that begin with # are left out.

        Limits of its own may follow a token, as in "name:token calls=16 image-mib=2048 weight=2".

        Raises:
            InputError: there is no token, one is too short, a name is given twice, or a limit is none.
        """
        found: dict[str, bytes] = {}
        limits: dict[str, dict[str, float]] = {}
        for line in (line.strip() for line in lines):
            if not line or line.startswith("#"):
                continue
            name, mark, rest = line.partition(":")
            name, rest = (name.strip(), rest.strip()) if mark else ("client", line)
            token, *words = rest.split() or [""]
            if words:
                limits[name] = dict(_limit(word, f"{where}: the token of {name!r}") for word in words)
            if len(token) < SHORTEST:
                raise InputError(f"{where}: the token of {name!r} is shorter than {SHORTEST} characters")
            if name in found:
                raise InputError(f"{where}: the name {name!r} is given twice")
            found[name] = _digest(token)
        if not found:
            raise InputError(f"{where}: there is no token in it; write one a line, as TOKEN or NAME:TOKEN")
        return cls(tuple(found.items()), tuple(limits.items()))

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


def _limit(word: str, where: str) -> tuple[str, float]:
    """A field of `Limits` with its value, from a word such as "calls=16".

    Raises:
        InputError: there is no such limit, or it is no number above 0.
    """
    name, _, text = word.partition("=")
    if name not in LIMIT_WORDS:
        raise InputError(f"{where}: {word!r} is no limit; there are {', '.join(LIMIT_WORDS)}, as in calls=16")
    field, factor = LIMIT_WORDS[name]
    try:
        value = float(text) if field == "weight" else int(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise InputError(f"{where}: {word!r}: expected a number above 0")
    return field, value * factor


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
