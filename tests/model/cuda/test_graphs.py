"""Recordings: inputs in, outputs out, padding, and what happens where nothing can be recorded."""

import logging
import threading

import numpy as np
import pytest
import torch

from sam3_agent.model.cuda.graphs import (
    PROMPTS,
    QUERIES,
    CudaRecorder,
    Function,
    Graphs,
    NotRecorded,
    Recording,
    Tensors,
    eager_recorder,
    next_size,
    pad_rows,
    pad_tokens,
)
from sam3_agent.model.cuda.resize import DevicePreparer, taken
from sam3_agent.model.cuda.transfer import fetch

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
        raise NotRecorded("operation not permitted when stream is capturing")

    graphs = Graphs(refuse)
    with caplog.at_level(logging.WARNING):
        for key in ("a", "a", "b"):
            assert torch.equal(graphs.run(key, double, torch.ones(2), torch.ones(2))[0], torch.full((2,), 3.0))
    assert len(caplog.records) == 1
    assert "not permitted when stream is capturing" in caplog.text
    assert set(graphs.failed) == {"a", "b"}
    assert graphs.keys == ()


def test_memory_that_runs_out_is_no_reason_not_to_record_another_time(caplog: pytest.LogCaptureFixture) -> None:
    full = [True]
    record = eager_recorder()

    def crowded(function: Function, inputs: Tensors) -> Recording:
        if full.pop():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return record(function, inputs)

    graphs = Graphs(crowded)
    with pytest.raises(torch.OutOfMemoryError):
        graphs.run("a", double, torch.ones(2), torch.ones(2))
    full.append(False)
    assert torch.equal(graphs.run("a", double, torch.ones(2), torch.ones(2))[0], torch.full((2,), 3.0))
    assert graphs.keys == ("a",)
    assert graphs.failed == ()
    assert not caplog.records


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
    graphs = Graphs(CudaRecorder(device))
    with torch.inference_mode():
        for size in (3, 5, 3):
            given = torch.randn(size, device=device), torch.randn(size, device=device)
            for found, wanted in zip(graphs.run(size, double, *given), double(*given), strict=True):
                assert torch.equal(found, wanted)
    assert graphs.failed == ()


def waits(x: torch.Tensor) -> Tensors:
    return (x + float(x.sum()),)


@pytest.mark.gpu
@GPU
@pytest.mark.filterwarnings("default")  # torch may have its own words about a broken capture
def test_a_failed_capture_leaves_stream_and_allocator_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    device = torch.device("cuda")
    graphs = Graphs(CudaRecorder(device))
    before = torch.cuda.current_stream()
    with torch.inference_mode():
        one = torch.ones(3, device=device)
        graphs.run("good", double, one, one)
        for _ in range(2):
            assert torch.equal(graphs.run("waits", waits, one)[0], torch.full((3,), 4.0, device=device))
        assert torch.cuda.current_stream() == before
        for key in ("good", "later"):
            assert torch.equal(graphs.run(key, double, one, one)[0], torch.full((3,), 3.0, device=device))
    assert graphs.failed == ("waits",)
    assert graphs.keys == ("good", "later")
    assert len(caplog.records) == 1


@pytest.mark.gpu
@GPU
def test_other_threads_upload_while_one_captures() -> None:
    device = torch.device("cuda")
    graphs = Graphs(CudaRecorder(device))
    over = threading.Event()
    failed: list[Exception] = []

    def uploads() -> None:
        prepare = DevicePreparer(device, torch.bfloat16, 96)
        image = np.zeros((300, 400, 3), np.uint8)
        try:
            while not over.is_set():
                fetch(taken(prepare(image)).sum()[None])
        except RuntimeError as error:
            failed.append(error)

    threads = [threading.Thread(target=uploads) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with torch.inference_mode():
            for size in range(1, 40):
                given = torch.randn(size, device=device), torch.randn(size, device=device)
                for found, wanted in zip(graphs.run(size, double, *given), double(*given), strict=True):
                    assert torch.equal(found, wanted)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert graphs.failed == ()
