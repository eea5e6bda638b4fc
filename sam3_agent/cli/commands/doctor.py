"""`sam3-agent doctor`: what is there, what is missing, and what to do about it, one line each."""

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sam3_agent import __version__
from sam3_agent.cli.output import print_line

State = Literal["ok", "note", "missing"]
"""`note`: something optional is not there; `missing`: something without which nothing works."""

STYLES: dict[State, tuple[str, str]] = {
    "ok": ("ok      ", "green"),
    "note": ("note    ", "yellow"),
    "missing": ("MISSING ", "bold red"),
}

KNOWN = {
    "torch": "2.14.1",
    "torchvision": "0.29.1",
    "transformers": "5.24.0",
    "mcp": "2.3.0",
    "numpy": "2.5.5",
    "pydantic": "2.14.4",
}
"""Versions that this release was tested with, those of uv.lock."""

LLM_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "GEMINI_API_KEY", "SAM3_CHAT_API_KEY")
PORT = 8801
"""Of `sam3-mcp --transport http` unless --port says another."""
GATED = "facebook/sam3"
_GIB = 2**30
_ENOUGH_MEMORY = 3 * _GIB
"""The tiny model with torch takes about 1 GiB; facebook/sam3 on a CPU in bfloat16 2.5."""
_ENOUGH_DISK = 8 * _GIB
"""Twice the weights: Meta's own file is kept a second time under other names."""
_REAL_ON_GPU = 6 * _GIB
"""facebook/sam3 in bfloat16 with the features of some images."""
_TIMEOUT = 5.0
"""Seconds to wait for the hub, which is a question on the side."""
_BROKEN = (ImportError, OSError, RuntimeError)
"""Raised by an import of torch or torchvision that do not belong together."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    state: State
    says: str
    todo: str = ""
    """Remedy where it is not ok."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was looked at."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing essential is missing."""
        return all(check.state != "missing" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """One document; no value of a token is in it."""
        return {"ok": self.ok, "version": __version__, "checks": [asdict(check) for check in self.checks]}


def examine(*, online: bool) -> Report:
    """Look at everything; only the question for access to the gated weights leaves this machine."""
    checks: list[Check] = []
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        *(_python, _distributions, _versions, _devices, _memory, _embedded),
        *(lambda: _gated(online=online), _llms, _ports, _programs, _extras),
    )
    for part in parts:
        checks += part()
    return Report(tuple(checks))


def print_report(report: Report) -> None:
    """Print a line for each thing, for a person."""
    for check in report.checks:
        todo = f" -> {check.todo}" if check.todo else ""
        print_line(f"{check.name}: {check.says}{todo}", before=STYLES[check.state])
    print_line("everything essential is there" if report.ok else "something essential is missing, see above")


def _python() -> Iterator[Check]:
    place = f"{platform.system()} {platform.machine()}, {sys.prefix}"
    yield Check("python", "ok", f"{platform.python_version()} on {place}")


def _distributions() -> Iterator[Check]:
    if _version("sam3-agent") and _version("sam3-eval"):
        todo = "they share files: pip uninstall sam3-eval, then pip install --force-reinstall --no-deps sam3-agent"
        yield Check("sam3-agent", "note", f"{__version__}, beside the distribution sam3-eval", todo)
    else:
        yield Check("sam3-agent", "ok", f"{__version__}, {Path(__file__).parents[2]}")


def _versions() -> Iterator[Check]:
    for name, known in KNOWN.items():
        installed = _version(name)
        if not installed:
            yield Check(name, "missing", "not installed", "pip install sam3-agent")
        elif _release(installed) > _release(known):
            yield Check(name, "note", f"{installed}, newer than {known}, which this release was tested with")
        else:
            yield Check(name, "ok", installed)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _release(version: str) -> tuple[int, ...]:
    """Major and minor number: later patches are expected to work."""
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())


def _devices() -> Iterator[Check]:
    from sam3_agent.model.device_report import report_devices

    try:
        found = report_devices()
    except _BROKEN as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        todo = "install torch and torchvision of the same build: pip install --force-reinstall torch torchvision"
        yield Check("device", "missing", f"torch or torchvision does not work ({first[:160]})", todo)
        return
    driver = _driver()
    if not found.devices[:-1]:
        yield _no_gpu(found.cuda_build, driver)
    for device in found.devices[:-1]:
        free = device.free_bytes
        little = free is not None and free < _REAL_ON_GPU
        said = device.words + (f", {free / _GIB:.1f} GiB free" if free is not None else "")
        said += f", driver {driver}" if driver else ""
        todo = f"{GATED} takes about {_REAL_ON_GPU // _GIB} GiB: end what uses the GPU" if little else ""
        yield Check(device.name, "note" if little else "ok", said, todo)


def _no_gpu(cuda_build: str, driver: str) -> Check:
    if driver:
        built = f"torch is built for CUDA {cuda_build}" if cuda_build else "torch is a build without CUDA"
        todo = "install a newer driver" if cuda_build else "pip install --force-reinstall torch torchvision"
        return Check("device", "note", f"torch sees no GPU; driver {driver}, {built}", todo)
    todo = f"enough for --model tiny; {GATED} then takes seconds to minutes an image"
    return Check("device", "note", "no GPU: the CPU is used", todo)


def _driver() -> str:
    """The version of NVIDIA's driver, empty without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.splitlines() or [""])[0].strip() if done.returncode == 0 else ""


def _memory() -> Iterator[Check]:
    cores = os.cpu_count() or 1
    free = _free_memory()
    if free is None:
        yield Check("memory", "ok", f"{cores} cores; this system does not say how much memory is free")
    elif free < _ENOUGH_MEMORY:
        todo = "end other programs; the model of --model tiny needs about 1 GiB"
        yield Check("memory", "note", f"{cores} cores, only {free / _GIB:.1f} GiB free", todo)
    else:
        yield Check("memory", "ok", f"{cores} cores, {free / _GIB:.1f} GiB free")
    disk = shutil.disk_usage(Path.home()).free
    todo = f"{GATED} takes 3.4 GB in the cache" if disk < _ENOUGH_DISK else ""
    yield Check("disk", "note" if todo else "ok", f"{disk / _GIB:.0f} GiB free in {Path.home()}", todo)


def _free_memory() -> int | None:
    table = Path("/proc/meminfo")
    if not table.is_file():
        return None
    for line in table.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _embedded() -> Iterator[Check]:
    weights = Path(__file__).parents[2] / "model" / "weights" / "tiny" / "model.safetensors"
    if weights.is_file():
        yield Check("tiny", "ok", f"the embedded model, {weights.stat().st_size / 1e6:.0f} MB; it knows drawings only")
    else:
        yield Check("tiny", "missing", "the embedded model is not here", "reinstall sam3-agent")


def _gated(*, online: bool) -> Iterator[Check]:
    from huggingface_hub import get_token, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE

    if isinstance(try_to_load_from_cache(GATED, "config.json"), str):
        yield Check(GATED, "ok", f"is in the cache, {HF_HUB_CACHE}")
        return
    token = get_token()
    held = "a token of the hub is here" if token else "no token of the hub is here"
    page = (
        f"ask for access on https://huggingface.co/{GATED}, then run: hf auth login; or give --model /path/to/sam3.pt"
    )
    if not online:
        yield Check(GATED, "note", f"not on this machine; {held}; the hub was not asked", page)
        return
    status = _ask_hub(token)
    if status is None:
        yield Check(GATED, "note", f"not on this machine; {held}; the hub does not answer", page)
    elif status < 400:
        yield Check(GATED, "ok", f"not on this machine yet, but may be downloaded (3.4 GB); {held}")
    else:
        yield Check(GATED, "note", f"not on this machine; {held}; the hub says {status}", page)


def _ask_hub(token: str | None) -> int | None:
    """The hub's answer to a request for the gated configuration; None where it gives none."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        return None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{endpoint}/{GATED}/resolve/main/config.json", headers=headers, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError):
        return None


def _llms() -> Iterator[Check]:
    held = [name for name in LLM_KEYS if os.environ.get(name, "").strip()]
    if held:
        yield Check("llm", "ok", f"set: {', '.join(held)} (not shown, not tried)")
    else:
        todo = "--llm rules needs none; for others set ANTHROPIC_API_KEY, OPENAI_API_KEY or what docs/llms.md names"
        yield Check("llm", "note", "no key of an LLM is set", todo)


def _ports() -> Iterator[Check]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            todo = "give sam3-mcp --transport http another --port, or use what serves there"
            yield Check("port", "note", f"{PORT} is taken ({error.strerror})", todo)
            return
    yield Check("port", "ok", f"{PORT} is free for sam3-mcp --transport http")


def _programs() -> Iterator[Check]:
    if path := shutil.which("sam3-mcp"):
        yield Check("sam3-mcp", "ok", path)
    else:
        todo = f"give hosts its whole path, such as {Path(sys.executable).with_name('sam3-mcp')}"
        yield Check("sam3-mcp", "note", "not on PATH", todo)
    browsers = ("chromium", "chromium-browser", "google-chrome")
    if path := next((found for name in browsers if (found := shutil.which(name))), None):
        yield Check("chromium", "ok", path)
    else:
        todo = "any browser shows the review page; only its tests need one: apt-get install chromium"
        yield Check("chromium", "note", "not here", todo)


EXTRAS = (
    ("av", "video", "videos by every codec; OpenCV reads most files without it"),
    ("pillow-heif", "heif", "HEIC and AVIF photographs"),
    ("ray", "ray", "serve model, --segmenter serve:APP, --engine ray"),
)
"""(distribution, extra, what it is for)."""


def _extras() -> Iterator[Check]:
    for distribution, extra, purpose in EXTRAS:
        if installed := _version(distribution):
            yield Check(distribution, "ok", installed)
        else:
            yield Check(distribution, "note", f"not installed: {purpose}", f"pip install 'sam3-agent[{extra}]'")
