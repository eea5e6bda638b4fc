"""Runs end whatever a server does: by their limit of seconds, or because the reply is refused; always with a trace."""

import pytest

from benchmarks.loop.bad_servers import KINDS, ask


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_behaves_badly_cannot_hold_a_run(kind: str) -> None:
    row = ask(kind, seconds=1.5)  # each of them would go on for an hour, or for ever
    assert row["outcome"] in ("budget", "failed")
    assert row["trace"]
    assert row["reason"]
