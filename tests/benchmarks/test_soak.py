"""Verdict of the soak: growth after settling, errors, and what the server says it holds."""

from collections import Counter

import pytest

from benchmarks.mcp.soak import Seen, judged, sum_of, sums_of

SECONDS = 1800.0


def seen(later: int, outcomes: dict[str, int]) -> Seen:
    """Samples of a server that fills up within five minutes, to 1000 MiB, and ends with `later`."""
    memory = [(second, 500 + 2 * second if second < 250 else 1000) for second in range(0, 1200, 10)]
    memory += [(second, later) for second in range(1200, 1800, 10)]
    return Seen(Counter(outcomes), [(float(second), mib, 50, 20) for second, mib in memory])


@pytest.mark.parametrize(("later", "passed"), [(1000, True), (1049, True), (1060, False)])
def test_growth_counts_from_the_time_at_which_its_clients_hold_all_they_may(later: int, passed: bool) -> None:
    document = judged(seen(later, {"ok": 9, "declared": 1}), SECONDS)
    assert (document["passed"], document["growth"]) == (passed, later / 1000)


@pytest.mark.parametrize("what", ["error: internal error in 'look'", "broken: ReadError"])
def test_an_error_that_is_not_declared_fails_it(what: str) -> None:
    assert not judged(seen(1000, {"ok": 9, what: 1}), SECONDS)["passed"]


def test_what_is_held_is_summed_over_principals_and_not_over_other_metrics() -> None:
    metrics = """
# HELP sam3_images Images now.
sam3_principal_bytes{principal="ann"} 5.0
sam3_principal_bytes{principal="bob smith"} 7.5
sam3_principal_bytes_more{principal="bob"} 100.0
sam3_images 3.0
"""
    assert (sum_of(metrics, "sam3_principal_bytes"), sum_of(metrics, "sam3_images")) == (12.5, 3.0)


def test_refusals_are_summed_for_each_limit() -> None:
    metrics = """
sam3_principal_refused_total{limit="images",principal="ann"} 5.0
sam3_principal_refused_total{limit="images",principal="bob"} 2.0
sam3_principal_refused_total{limit="calls",principal="bob"} 1.0
"""
    assert sums_of(metrics, "sam3_principal_refused_total", "limit") == {"images": 7.0, "calls": 1.0}
