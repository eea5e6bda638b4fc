"""Pictures, and ways to run the terminal, for its tests."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sam3_agent.cli.main import main
from sam3_agent.scenes import Scene, SceneOptions, generate_scene

CHECKOUT = Path(__file__).resolve().parents[2]
WEIGHTS = CHECKOUT / "sam3_agent" / "model" / "weights" / "tiny"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    def error(self) -> str:
        """The one line on stderr, checked to be one, after nothing on stdout."""
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: "), self.err
        return self.err.removeprefix("error: ").strip()


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `sam3-agent` with these arguments in this process."""

    def running(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return running


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts `sam3-agent` with these arguments as a process of its own."""

    def starting(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sam3_agent", *(str(argument) for argument in arguments)]
        return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return starting


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A scene of a few objects."""
    return generate_scene(82, SceneOptions(min_objects=8, max_objects=10, min_side=384, max_side=384, max_aspect=1.34))


@pytest.fixture
def picture(scene: Scene, tmp_path: Path) -> Path:
    """The scene as a file."""
    path = tmp_path / "scene.png"
    Image.fromarray(scene.image).save(path)
    return path


@pytest.fixture
def tiny() -> None:
    """Asks for the embedded model."""
    if not WEIGHTS.is_dir():
        pytest.skip("the embedded weights are not in this checkout")
