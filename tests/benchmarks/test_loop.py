"""The loop's measurements run, on small numbers, and hold what they are there to show."""

import pytest

from benchmarks.loop import crowd, faults, price, rules


@pytest.mark.integration
def test_runs_with_faults_all_end_in_an_answer_and_no_request_is_a_bad_one() -> None:
    figures = faults.measure(12, 0.5, jobs=4)
    assert (figures["answers"], figures["exceptions"]) == (12, [])
    assert figures["requests_that_the_api_would_refuse"] == []
    assert sum(figures["replies"].values()) > figures["replies"]["sound"] > 0


def test_a_crowd_takes_little_longer_than_one() -> None:
    figures = crowd.measure(6, pictures=2, seconds=0.1, segmenter="perfect")
    assert figures["ended"] == 7
    assert figures["all_at_once"] < figures["one_after_the_other"]


def test_the_perfect_llm_is_right_on_a_perfect_model_for_a_quarter_of_the_tokens() -> None:
    figures = price.measure(6, "perfect")
    ours, theirs = figures["this loop"], figures["Meta's, verifying"]
    assert ours["giou"] > 0.99
    assert ours["encodes"] == 1
    assert ours["llm_calls"] <= 3
    assert ours["input_tokens"] <= theirs["input_tokens"] / 4


def test_the_rules_are_right_on_a_perfect_model() -> None:
    figures = rules.measure(8, "perfect")
    assert figures["giou"] > 0.9
    assert figures["beyond_the_rules"] == 0
