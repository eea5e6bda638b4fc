"""Memory that a process freed goes back to the system, and garbage in cycles is found soon."""

import subprocess
import sys

import pytest

_PROGRAM = """
import time
from sam3_mcp import malloc_tuning
malloc_tuning.TRIM_SECONDS = 0.2
malloc_tuning.keep_memory_flat()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

started = resident()
blocks = [bytearray(60_000) for _ in range(4000)]  # 229 MiB on the heap, small enough not to be mapped apart
full = resident()
keep = blocks[::50]  # holes everywhere: nothing at the top of the heap to be cut off
del blocks
end = time.monotonic() + 20
while resident() > started + 60 and time.monotonic() < end:
    time.sleep(0.1)
print(full - started > 150, resident() - started < 60)
"""


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told to give memory back")
def test_what_was_freed_between_what_stays_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["True", "True"], ran.stderr


_COLLECTED = """
import gc, sys
from sam3_mcp.malloc_tuning import set_apart_what_lasts

class Cycle:
    def __init__(self):
        self.itself = self

def full_collections():
    before = gc.get_stats()[2]["collections"]
    recent = []
    for number in range(200_000):  # each lives for a while, as what belongs to a session does
        recent.append(Cycle())
        if len(recent) > 10_000:
            del recent[:5_000]
    return gc.get_stats()[2]["collections"] - before

lasting = [[] for _ in range(1_000_000)]
gc.collect()
usual = full_collections()
set_apart_what_lasts()
print(full_collections() > usual, gc.get_freeze_count() >= 1_000_000)
"""


@pytest.mark.integration
def test_garbage_in_cycles_is_found_soon_however_much_was_loaded_before() -> None:
    ran = subprocess.run([sys.executable, "-c", _COLLECTED], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.split() == ["True", "True"], ran.stderr
