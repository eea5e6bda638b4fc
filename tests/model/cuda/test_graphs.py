"""Recordings: inputs in, outputs out, padding, and what happens where nothing can be recorded."""

import logging

import pytest
import torch

from sam3_agent.model.cuda.graphs import (
    PROMPTS,
    QUERIES,
    Function,
    Graphs,
    Recording,
    Tensors,
    cuda_recorder,
    eager_recorder,
    next_size,
    pad_rows,
    pad_tokens,
)

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")


def double(x: torch.Tensor, y: torch.Tensor) -> Tensors:
    return 2 * x + y, x.sum()[None]


def test_a_recording_answers_for_new_inputs_of_the_same_shape() -> None:
    graphs = Graphs(eager_recorder())
    for value in (1.0, 5.0):
        given = torch.full((3,), value), torch.arange(3.0)
        for found, wanted in zip(graphs.run("double", double, *given), double(*given), strict=True):
            assert torch.equal(found, wanted)
    assert graphs.keys == ("double",)


def test_what_a_recording_has_answered_outlives_the_replay_of_another_one() -> None:
    graphs = Graphs(eager_recorder())
    first, _ = graphs.run("a", double, torch.ones(2), torch.ones(2))
    graphs.run("b", double, torch.ones(4), torch.ones(4))
    again, _ = graphs.run("a", double, torch.zeros(2), torch.zeros(2))
    assert torch.equal(first, torch.full((2,), 3.0))
    assert torch.equal(again, torch.zeros(2))


def test_the_double_overwrites_what_others_left_in_the_pool_as_graphs_do() -> None:
    record = eager_recorder()
    one, other = record(double, (torch.ones(2), torch.ones(2))), record(double, (torch.ones(2), torch.ones(2)))
    other.replay()
    assert one.outputs[0].isnan().all()
    assert not other.outputs[0].isnan().any()


def test_inputs_of_the_caller_are_left_alone() -> None:
    graphs = Graphs(eager_recorder())
    given = torch.ones(2)
    for _ in range(2):
        graphs.run("add", lambda x: (x.add_(1),), given)
    assert torch.equal(given, torch.ones(2))


def test_what_cannot_be_recorded_runs_as_it_is_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(function: Function, inputs: Tensors) -> Recording:
        raise RuntimeError("operation not permitted when stream is capturing\nmore words")

    graphs = Graphs(refuse)
    with caplog.at_level(logging.WARNING):
        for key in ("a", "a", "b"):
            assert torch.equal(graphs.run(key, double, torch.ones(2), torch.ones(2))[0], torch.full((2,), 3.0))
    assert len(caplog.records) == 1
    assert "not permitted when stream is capturing" in caplog.text
    assert "more words" not in caplog.text
    assert set(graphs.failed) == {"a", "b"}
    assert graphs.keys == ()


def test_the_next_size_is_the_smallest_that_holds_all() -> None:
    assert [next_size(count, PROMPTS) for count in (1, 2, 3, 8, 9, 16, 17)] == [1, 2, 4, 8, 16, 16, None]
    assert [next_size(count, QUERIES) for count in (1, 8, 9, 100, 101, 200, 201)] == [8, 8, 32, 100, 200, 200, None]


def test_padded_rows_repeat_a_real_one() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(pad_rows(rows, 4), torch.stack([*rows, rows[-1]]))
    assert pad_rows(rows, 3) is rows


def test_padded_tokens_are_zeros_that_are_masked() -> None:
    tokens, mask = pad_tokens(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), 5)
    assert tokens.shape == (2, 5, 4)
    assert mask.tolist() == [[True] * 3 + [False] * 2] * 2
    assert not tokens[:, 3:].any()


@pytest.mark.gpu
@GPU
def test_a_captured_graph_equals_the_function_to_the_bit() -> None:
    device = torch.device("cuda")
    graphs = Graphs(cuda_recorder(device))
    with torch.inference_mode():
        for size in (3, 5, 3):
            given = torch.randn(size, device=device), torch.randn(size, device=device)
            for found, wanted in zip(graphs.run(size, double, *given), double(*given), strict=True):
                assert torch.equal(found, wanted)
    assert graphs.failed == ()
