"""Measure what installing costs: bytes downloaded, bytes on disk, seconds. Run by a person, for the README.

    python docs/measure_install.py [--extra dev] [--index-url URL]

Everything is downloaded anew into a virtual environment that is deleted afterwards.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Install by plain pip and print one line with the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", default="", help="an extra of the package, such as dev or video")
    parser.add_argument("--index-url", default="", help="where torch and torchvision are taken from first")
    options = parser.parse_args()
    package = f"{ROOT}[{options.extra}]" if options.extra else str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        downloaded = 0.0
        if options.index_url:
            downloaded += install(venv, ["--index-url", options.index_url, "torch", "torchvision"])
        downloaded += install(venv, [package])
        seconds = time.perf_counter() - began
        size = sum(path.stat().st_size for path in venv.rglob("*") if path.is_file() and not path.is_symlink())
        check = [venv / "bin" / "python", "-c", "import sam3_agent, torch, torchvision; print(torch.__version__)"]
        done = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
        torch = done.stdout.strip() or f"does not import: {done.stderr.strip().splitlines()[-1]}"
    print(f"{downloaded / 1e9:.2f} GB downloaded, {size / 1e9:.2f} GB on disk, {seconds:.0f} s; torch {torch}")
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def install(venv: Path, what: list[str]) -> float:
    """Download with pip and no cache, install that, and return the bytes downloaded, wherever they came from."""
    wheels = venv.parent / "wheels"
    for call in (["download", "--dest", wheels], ["install", "--find-links", wheels]):
        pip = [venv / "bin" / "pip", *call, "--no-cache-dir", "--progress-bar", "off", *what]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
    size = sum(path.stat().st_size for path in wheels.iterdir())
    shutil.rmtree(wheels)
    return float(size)


if __name__ == "__main__":
    main()
