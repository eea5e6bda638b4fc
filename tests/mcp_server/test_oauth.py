"""The server as an OAuth resource server, with an authorization server of the test's own on this machine."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from sam3_mcp.auth import JwtTokens
from sam3_mcp.http_app import HttpOptions

from tests.mcp_server.fixtures_server import make_backend, text_of
from tests.mcp_server.test_http import open_square, serving

pytestmark = pytest.mark.anyio
ISSUER, RESOURCE = "https://login.example", "https://sam3.example/mcp"
ACCEPT = {"Accept": "application/json, text/event-stream"}
INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


class Issuer:
    """Signs tokens, and publishes its key on a port of this machine."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        document = json.dumps({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES256"}]}).encode()

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"

    def token(self, **changes: Any) -> str:
        """A good token, but for these claims; None leaves a claim out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": RESOURCE,
            "sub": "alice",
            "client_id": "laptop",
            "scope": "sam3 other",
            "iat": now,
            "exp": now + 300,
        }
        kept = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(kept, self._key, algorithm="ES256", headers={"kid": "k1"})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    threading.Thread(target=lambda: found.server.serve_forever(poll_interval=0.02), daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def url(issuer: Issuer, folder: Path) -> Iterator[str]:
    """A server that wants tokens of this issuer, for itself, with the scope "sam3"."""
    verifier = JwtTokens(ISSUER, RESOURCE, jwt.PyJWKClient(issuer.url, timeout=5))
    options = HttpOptions(verifier=verifier, issuer=ISSUER, resource=RESOURCE, scopes=("sam3",))
    with serving(make_backend(folder, shared=True), options) as address:
        yield address


async def ask(url: str, token: str | None) -> httpx2.Response:
    headers = ACCEPT if token is None else ACCEPT | {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(timeout=30) as session:
        return await session.post(f"{url}/mcp", json=INITIALIZE, headers=headers)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_good_token_opens_the_tools(url: str, issuer: Issuer, folder: Path, mode: str) -> None:
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as session,
        Client(streamable_http_client(f"{url}/mcp", http_client=session), mode=mode) as client,
    ):
        _, mask_id = await open_square(client, folder)
    assert mask_id.startswith("m1-")


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example/mcp"},
        {"aud": None},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"nbf": int(time.time()) + 10**9},
        {"iss": "https://evil.example"},
        {"sub": None},
    ],
    ids=["other audience", "no audience", "expired", "no end", "not yet", "other issuer", "no subject"],
)
async def test_a_token_that_is_not_for_this_server_now_is_refused(
    url: str, issuer: Issuer, changes: dict[str, Any]
) -> None:
    answer = await ask(url, issuer.token(**changes))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_token_of_another_key_or_of_none_is_refused(url: str, issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    other = Issuer()
    other.server.server_close()
    forged = [
        other.token(),
        jwt.encode(claims, "", algorithm="none", headers={"kid": "k1"}),
        jwt.encode(claims, "a secret that is long enough for HS256", algorithm="HS256", headers={"kid": "k1"}),
        jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "unknown"}),
        "not.a.token",
        "x",
    ]
    for token in forged:
        assert (await ask(url, token)).status_code == 401, token


async def test_a_token_without_the_scope_is_told_which_it_lacks(url: str, issuer: Issuer) -> None:
    answer = await ask(url, issuer.token(scope="other"))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_a_host_without_a_token_is_led_to_the_authorization_server(url: str) -> None:
    answer = await ask(url, None)
    assert answer.status_code == 401
    assert "resource_metadata=" in answer.headers["www-authenticate"]
    async with httpx2.AsyncClient() as session:
        found = (await session.get(f"{url}/.well-known/oauth-protected-resource/mcp")).json()
    assert found["resource"] == RESOURCE
    assert [server.rstrip("/") for server in found["authorization_servers"]] == [ISSUER]
    assert found["scopes_supported"] == ["sam3"]


async def test_metrics_want_the_token_too(url: str, issuer: Issuer) -> None:
    async with httpx2.AsyncClient() as session:
        refused = await session.get(f"{url}/metrics")
        given = await session.get(f"{url}/metrics", headers={"Authorization": f"Bearer {issuer.token()}"})
    assert (refused.status_code, given.status_code) == (401, 200)


async def test_two_people_with_the_same_client_key_do_not_share_a_session(
    url: str, issuer: Issuer, folder: Path
) -> None:
    key = {"Sam3-Client": "the same secret of both".replace(" ", "-")}
    sessions = [
        httpx2.AsyncClient(headers=key | {"Authorization": f"Bearer {issuer.token(sub=name)}"}, timeout=30)
        for name in ("alice", "bob")
    ]
    async with (
        sessions[0],
        sessions[1],
        Client(streamable_http_client(f"{url}/mcp", http_client=sessions[0])) as alice,
        Client(streamable_http_client(f"{url}/mcp", http_client=sessions[1])) as bob,
    ):
        image_id, _ = await open_square(alice, folder)
        refused = await bob.call_tool("look", {"image_id": image_id})
    assert refused.is_error
    assert "unknown image" in text_of(refused)


async def test_without_the_keys_nobody_gets_in(issuer: Issuer, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    verifier = JwtTokens(ISSUER, RESOURCE, jwt.PyJWKClient("http://127.0.0.1:9/jwks.json", timeout=2))
    token = issuer.token()
    assert await verifier.verify_token(token) is None
    assert "cannot be read" in caplog.text
    assert token not in caplog.text
