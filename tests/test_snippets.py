"""Every command and every line of Python that the README and the manual show is one that works.

Nothing is left out unsaid: what a test cannot run (`NOT_RUN`) is still parsed by the real command line, and says why.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from sam3_evals.__main__ import app as eval_app
from sam3_mcp.options import parser as server_parser

from sam3_agent.cli.app import app
from sam3_agent.cli.commands import demo
from sam3_agent.cli.main import main
from sam3_agent.scenes import generate_scene

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md"]
PAGES += sorted(f"docs/{path.name}" for path in (CHECKOUT / "docs").glob("*.md"))
PAGES += sorted(path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "sam3_agent/skill").rglob("*.md"))
OUTSIDE = ("bash", "cd", "claude", "curl", "docker", "gemini", "git", "hf", "node", "npm", "pip", "source", "uv", "uvx")
OUTSIDE += ("cvat-cli", "lmms-eval")
"""Programs of others, whose command lines nothing here can check."""
STAND_INS = (("facebook/sam3", "tiny"), ("cuda:0,cuda:1", "cpu,cpu"))
"""What no test has -> what takes its place when Python is run."""
SCRIPTED = (
    ('Sam3.load("tiny")', "scripted_model()"),
    ('"street.mp4"', "scripted_video()"),
    ("person", "cat"),
    ("car", "dog"),
)
"""The same for tracking, which takes minutes with real weights."""
NOT_RUN = {
    r"anthropic:|openai:|chat:": "needs an LLM behind an API",
    r"facebook/sam3": "needs Meta's weights",
    r"^sam3-mcp\b|^sam3-agent (review|demo|serve)\b": "serves until it is stopped, or has a test of its own",
    r"^sam3-eval ": "takes minutes, and has tests of its own",
    r"^python -m |^make ": "takes minutes to hours, and has tests of its own",
    r"^sam3-agent (track|ask) street\.mp4 ": "takes minutes, and has tests of its own",
    r"^sam3-agent (teach|finetune) |@gear|(gear|crack)\.adapter": "trains for minutes, and has tests of its own",
    r"^sam3-agent geo ": "needs a GeoTIFF, and has tests of its own",
    r"sam3\.pt": "needs Meta's weights",
    r"serve:": "needs a model that Ray serves, and has tests of its own",
    r"--target claude-code": "writes into the home folder",
    r"--tiles always": "takes a minute for its many tiles",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, those within HTML as well."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@dataclass(frozen=True)
class Line:
    """A command of a page, as a shell splits it."""

    block: Block
    text: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {self.text}"


def lines_of(block: Block) -> Iterator[Line]:
    """The commands of a block; what is set for one call, `&&` and brackets stand before and after them."""
    for raw in re.sub(r"\\\n\s*", "", block.text).splitlines():
        for text in raw.strip("() ").split(" && "):
            words = shlex.split(text, comments=True)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words:
                yield Line(block, shlex.join(words), tuple(words))


LINES = [line for block in BLOCKS if block.language == "sh" for line in lines_of(block)]


def parse_line(line: Sequence[str]) -> None:
    """Parse a command as it would be parsed if it were run; raises what the command line raises."""
    program, rest = Path(line[0]).name, list(line[1:])
    if program in ("sam3-agent", "sam3-eval"):
        parse_typer(app if program == "sam3-agent" else eval_app, rest)
    elif program == "sam3-mcp":
        server_parser().parse_args(rest)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert [word for word in rest if "=" not in word and word not in targets] == []
    elif program in ("python", "python3"):
        parse_python(rest)
    else:
        assert program in OUTSIDE, f"{program}: neither ours nor known as another's"
        if "--" in rest:
            parse_line(rest[rest.index("--") + 1 :])


def parse_typer(group: typer.Typer, words: list[str]) -> None:
    """Parse the arguments of a command with subcommands, without running it."""
    command: Any = typer.main.get_command(group)
    with command.make_context("command", [*words], resilient_parsing=False, allow_extra_args=True) as context:
        name, found, rest = command.resolve_command(context, words)
        while hasattr(found, "commands"):  # a group, such as `serve`
            name, found, rest = found.resolve_command(context, rest)
        found.make_context(name, rest, parent=context).close()


def parse_python(words: list[str]) -> None:
    """Check that the module or file exists, and that its source names every option."""
    if words[0] != "-m":
        assert (CHECKOUT / words[0]).is_file()
        return
    spec = find_spec(words[1])
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))
    options = [word.split("=")[0] for word in words[2:] if word.startswith("--")]
    assert [option for option in options if f'"{option}"' not in source] == []


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the manual's examples, for those who only read there."""
    folder = tmp_path_factory.mktemp("examples")
    lay_out(folder)
    return folder


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_command_of_the_manual_exists_with_all_of_its_options(
    line: Line, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(examples)
    parse_line(line.words)


def test_no_block_of_commands_hides_without_its_language() -> None:
    commands = re.compile(r"^(sam3-\w+|make|python|pip|claude) ", flags=re.MULTILINE)
    assert [str(block) for block in BLOCKS if block.language == "" and commands.search(block.text)] == []


def test_every_json_and_yaml_block_can_be_read() -> None:
    import json

    import yaml

    read: dict[str, Callable[[str], object]] = {"json": json.loads, "yaml": yaml.safe_load}
    for block in BLOCKS:
        if block.language in read:
            assert read[block.language](block.text) is not None, str(block)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_is_still_shown(pattern: str) -> None:
    assert [line for line in LINES if re.search(pattern, line.text)] != []


def test_there_are_commands_that_are_run() -> None:
    assert len([line for line in LINES if is_run(line)]) >= 8


def is_run(line: Line) -> bool:
    """Whether a line is one of ours that a test can run to its end."""
    return line.words[0] == "sam3-agent" and not any(re.search(pattern, line.text) for pattern in NOT_RUN)


def lay_out(folder: Path) -> None:
    """Write the files that the manual's examples are about: drawings under the names of photographs."""
    scene = Image.fromarray(generate_scene(demo.SEED, demo.OPTIONS).image)
    for name in ("photo.jpg", "street.jpg", "aerial.jpg", "a.jpg", "a.png", "b.png", "c.png", "demo/scene.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        scene.save(folder / name)
    (folder / "photos").mkdir()
    for name in ("1.jpg", "2.jpg"):
        scene.save(folder / "photos" / name)
    (folder / "concepts.yaml").write_text("classes:\n  - name: house\n  - name: lamp\n", encoding="utf-8")


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", sorted({line.block.page for line in LINES if is_run(line)}))
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in LINES:
        if line.block.page == page and is_run(line):
            status = main([*line.words[1:]])
            assert status == 0, f"{line}\n{capfd.readouterr().err}"


GIVEN = {
    "docs/loop.md": """
from sam3_agent import Agent, Sam3, Workspace, load_llm
ws = Workspace(Sam3.load("tiny"))
image, agent = ws.open("photo.jpg"), Agent(ws, load_llm("rules"))
""",
    "docs/concepts.md": """
from sam3_agent import Sam3, Workspace
ws = Workspace(Sam3.load("tiny"))
image, other = ws.open("a.png"), ws.open("b.png")
ws.segment(image.id, ["heart", "house", "lamp"])
""",
    "docs/video.md": """
from pathlib import Path
import numpy as np
from sam3_agent.video import write_video
n, path = 0, Path("copy.mp4")
frames = [np.full((48, 64, 3), shade, np.uint8) for shade in range(0, 250)]
write_video(Path("clip.mp4"), frames, fps=25.0)
""",
}
"""Python that a page takes for granted, as its text says."""
GIVEN["docs/tracks.md"] = "from tests.workspace.tracking.scripted import scripted_model, scripted_video\n"


def is_light(page: str) -> bool:
    """Whether the Python of a page loads no model."""
    return page in ("docs/video.md", "docs/evals.md", "docs/tracks.md")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if is_light(page) else [pytest.mark.integration, pytest.mark.timeout(900)])
        for page in sorted({block.page for block in BLOCKS if block.language == "python"})
    ],
)
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "docs/video.md":
        pytest.importorskip("av", reason="PyAV is not installed: H.264 and AV1 cannot be written")
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(GIVEN.get(page, ""), names)
    for text in (block.text for block in BLOCKS if (block.page, block.language) == (page, "python")):
        for word, stand_in in SCRIPTED if page == "docs/tracks.md" else STAND_INS:
            text = text.replace(word, stand_in)
        exec(compile(text, page, "exec"), names)
    if page == "README.md":
        assert names["answer"].outcome == "answered"
        assert f"{names['diamond'].presence:.2f}" in (CHECKOUT / page).read_text(encoding="utf-8")
    if page == "docs/evals.md":
        assert len(names["solve"](np.zeros((4, 8, 8, 3), np.uint8), "a star")) == 1
