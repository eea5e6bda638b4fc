"""Memory of running processes and who their children are, as Linux's /proc tells."""

from pathlib import Path


def status_of(pid: int, name: str) -> int:
    """A number of /proc/PID/status such as VmRSS (kB) or Threads; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def resident_mib(pid: int) -> int:
    """MiB of memory that a process holds now; 0 for one that has ended."""
    return status_of(pid, "VmRSS") // 1024


def children_of(pid: int) -> list[int]:
    """Processes that any thread of a process has started, and which have not ended."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):  # a file for each thread, of those that it started
        try:
            found += map(int, listed.read_text().split())
        except OSError:  # the thread has ended meanwhile
            continue
    return found
