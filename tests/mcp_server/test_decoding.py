"""Decoding: judged by the header first, then in workers that are killed when they take too long or too much."""

import io
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from sam3_mcp.decoding import MAX_SCANS, DecodePool, Decoder, decode_here

from sam3_agent.errors import InputError, ToolError

PATIENCE = 60.0


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    made = DecodePool(2)
    yield made
    made.close()


@pytest.fixture(params=["here", "pool"])
def decode(request: pytest.FixtureRequest, pool: DecodePool) -> Decoder:
    return decode_here if request.param == "here" else pool


def encoded(form: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, form, **options)
    return buffer.getvalue()


def with_more_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated; decoders take all of them."""
    data = encoded("JPEG", (640, 480), progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * count + b"\xff\xd9"


def ignore(_: int) -> None:
    pass


def refuse(count: int) -> None:
    raise ToolError(f"{count} bytes are too many")


def children() -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "decode_worker" in line]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_both_decoders_give_the_same_pixels(pool: DecodePool, form: str) -> None:
    data = encoded(form)
    found = pool(data, 10_000, ignore, "ann")
    assert found.shape == (30, 40, 3)
    assert np.array_equal(found, decode_here(data, 10_000, ignore, "ann"))


def test_what_is_no_image_is_refused_in_one_line_and_the_next_one_is_read(decode: Decoder) -> None:
    for data in (b"GIF89a", b"not an image", encoded("PNG")[:60], encoded("JPEG")[:40], b"\xff\xd8\xff\xda" * 9):
        with pytest.raises(InputError) as caught:
            decode(data, 10_000, ignore, "ann")
        assert "\n" not in str(caught.value)
    assert decode(encoded("PNG"), 10_000, ignore, "ann").shape == (30, 40, 3)


def test_the_header_says_what_an_image_weighs_before_it_is_decoded(decode: Decoder) -> None:
    with pytest.raises(ToolError, match="3600 bytes are too many"):
        decode(encoded("PNG"), 10_000, refuse, "ann")
    damaged = bytearray(encoded("PNG"))
    damaged[60:200] = bytes(140)
    with pytest.raises(ToolError, match="3600 bytes are too many"):
        decode(bytes(damaged), 10_000, refuse, "ann")
    with pytest.raises(InputError, match=r"the limit is 0\.001"):
        decode(encoded("PNG"), 1000, ignore, "ann")
    assert decode(encoded("PNG"), 10_000, ignore, "ann").shape == (30, 40, 3)


def test_a_progressive_jpeg_may_have_usual_scans_and_not_hundreds(decode: Decoder) -> None:
    assert decode(encoded("JPEG", progressive=True), 10_000, ignore, "ann").shape == (30, 40, 3)
    with pytest.raises(InputError, match=f"the limit is {MAX_SCANS}"):
        decode(with_more_scans(400), 1_000_000, ignore, "ann")


@pytest.mark.integration
def test_an_image_that_takes_too_long_is_given_up_and_the_next_one_is_decoded() -> None:
    hasty = DecodePool(1, base=0.001, rate=0.0)
    try:
        for _ in range(2):
            with pytest.raises(InputError, match="takes too long to decode"):
                hasty(encoded("JPEG", (2000, 1500), progressive=True), 100_000_000, ignore, "ann")
    finally:
        hasty.close()


@pytest.mark.integration
def test_one_client_never_has_all_workers() -> None:
    pool = DecodePool(2)
    weighing, go_on = threading.Event(), threading.Event()

    def hold(_: int) -> None:
        weighing.set()
        assert go_on.wait(PATIENCE)

    threads = [threading.Thread(target=pool, args=(encoded("PNG"), 10_000, hold, "ann"), daemon=True) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        assert weighing.wait(PATIENCE)
        assert pool(encoded("PNG"), 10_000, ignore, "bob").shape == (30, 40, 3)
        assert not go_on.is_set()
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    finally:
        go_on.set()
        pool.close()


@pytest.mark.integration
def test_an_image_that_needs_more_memory_than_allowed_is_refused() -> None:
    pool = DecodePool(1, memory=700 * 2**20)
    try:
        assert pool(encoded("PNG"), 10_000, ignore, "ann").shape == (30, 40, 3)
        large = io.BytesIO()
        Image.new("RGB", (16_000, 16_000), "red").save(large, "PNG", compress_level=1)
        with pytest.raises(InputError, match="memory"):
            pool(large.getvalue(), 400_000_000, ignore, "ann")
        assert pool(encoded("PNG"), 10_000, ignore, "ann").shape == (30, 40, 3)
    finally:
        pool.close()


@pytest.mark.integration
def test_a_worker_that_is_killed_costs_one_image_and_is_replaced() -> None:
    pool = DecodePool(1)
    try:
        assert pool(encoded("PNG"), 10_000, ignore, "ann").shape == (30, 40, 3)

        def kill(_: int) -> None:
            for child in children():
                os.kill(child, signal.SIGKILL)

        with pytest.raises(InputError, match="the decoder broke down"):
            pool(encoded("PNG"), 10_000, kill, "ann")
        assert pool(encoded("PNG"), 10_000, ignore, "ann").shape == (30, 40, 3)
    finally:
        pool.close()


@pytest.mark.integration
def test_workers_end_with_the_pool() -> None:
    before = set(children())
    pool = DecodePool(1)
    pool(encoded("PNG"), 10_000, ignore, "ann")
    mine = set(children()) - before
    assert len(mine) == 1
    pool.close()
    assert not mine & set(children())
