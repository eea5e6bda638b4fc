"""Make the clip of the README, docs/clip.webp: an MCP client calls the real server, then a person reviews labels.

    python docs/clip.py [--chromium /usr/bin/chromium]

The calls are made over stdio as any host makes them, in an order that is written here; texts and pictures are what came
back. The review page is a screenshot of `sam3-agent review` over a folder that `sam3-agent label` labeled. Needs
playwright and a Chromium.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from PIL import Image, ImageDraw, ImageFont

from sam3_agent.scenes import generate_scene

ROOT = Path(__file__).resolve().parent.parent
SIZE = (960, 540)
TEXT = 452
"""Width of the transcript; the picture has the rest."""
GROUND, INK, QUIET, ACCENT = (24, 26, 31), (236, 238, 242), (150, 157, 170), (120, 200, 255)
SEED, SENTENCE = 65, "Which is the third star from the left?"
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("open_image", {"source": "scene.png"}),
    ("segment_concepts", {"image_id": "img1", "concepts": ["star"]}),
    ("measure_masks", {"image_id": "img1", "order_by": "left"}),
    ("look", {"image_id": "img1", "mask_ids": ["third"], "style": "fill"}),
)
CONCEPTS = "accept: 0.97\nclasses:\n  - name: cat\n  - name: diamond\n  - name: house\n  - name: bird\n"


@dataclass(frozen=True)
class Turn:
    """A call with what came back."""

    call: str
    text: str
    picture: Image.Image | None


def main() -> None:
    """Make the clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = [(host_frame(turns), 2200) for turns in told(folder)]
        frames += [(fitted(shot), 1800) for shot in review(folder, options.chromium)]
    images = [image for image, _ in frames]
    times = [time for _, time in frames]
    images[0].save(
        ROOT / "docs" / "clip.webp",
        save_all=True,
        append_images=images[1:],
        duration=times,
        loop=0,
        quality=72,
        method=6,
    )


def told(folder: Path) -> list[list[Turn]]:
    """The transcript after each call."""
    from docs.pictures import OPTIONS

    Image.fromarray(generate_scene(SEED, OPTIONS).image).save(folder / "scene.png")
    turns = asyncio.run(converse(folder))
    return [turns[: count + 1] for count in range(len(turns))]


async def converse(folder: Path) -> list[Turn]:
    """Make the calls over stdio."""
    command = ["-m", "sam3_mcp", "--allow-dir", str(folder)]
    server = StdioServerParameters(command=sys.executable, args=command, env=environment(), cwd=folder)
    turns: list[Turn] = []
    async with Client(stdio_client(server)) as client:
        for name, given in CALLS:
            arguments = {**given, **({"mask_ids": [third(turns)]} if "mask_ids" in given else {})}
            sent = {**arguments, "source": str(folder / "scene.png")} if name == "open_image" else arguments
            result = await client.call_tool(name, sent)
            text = "\n".join(block.text for block in result.content if block.type == "text")
            text = text.replace(f"{folder}/", "")
            pictures = [block.data for block in result.content if block.type == "image"]
            picture = Image.open(io.BytesIO(base64.b64decode(pictures[0]))).convert("RGB") if pictures else None
            turns.append(Turn(f"{name} {json.dumps(arguments)}", text, picture))
    return turns


def third(turns: Sequence[Turn]) -> str:
    """The third id of the table that is ordered from the left."""
    return re.findall(r"^\W*(m\d+)\b", turns[-1].text, flags=re.MULTILINE)[2]


def environment() -> dict[str, str]:
    """Environment in which the programs of this checkout are found."""
    path = os.pathsep.join(str(ROOT / part) for part in ("", "mcp_server", "evals"))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def host_frame(turns: Sequence[Turn]) -> Image.Image:
    """Transcript on the left, the newest picture on the right."""
    frame = Image.new("RGB", SIZE, GROUND)
    draw = ImageDraw.Draw(frame)
    draw.text((24, 20), f"“{SENTENCE}”", fill=INK, font=ImageFont.load_default(24))
    y = 66
    for number, turn in enumerate(turns):
        for line in textwrap.wrap(turn.call, 50)[:2]:
            draw.text((24, y), line, fill=ACCENT, font=ImageFont.load_default(16))
            y += 21
        shown = 7 if number == len(turns) - 1 else 2
        for line in [line for part in turn.text.splitlines() for line in textwrap.wrap(part, 60)][:shown]:
            draw.text((38, y), line, fill=QUIET, font=ImageFont.load_default(14))
            y += 18
        y += 8
    picture = next((turn.picture for turn in reversed(turns) if turn.picture is not None), None)
    if picture is not None:
        side = SIZE[0] - TEXT - 48
        picture = picture.resize((side, round(picture.height * side / picture.width)), Image.Resampling.LANCZOS)
        frame.paste(picture, (TEXT + 24, 66))
    return frame


def review(folder: Path, chromium: str) -> list[Image.Image]:
    """Screenshots of the review page before and after some keys."""
    from playwright.sync_api import sync_playwright

    from docs.pictures import OPTIONS

    (folder / "images").mkdir()
    for seed in (150, 144, 71):
        Image.fromarray(generate_scene(seed, OPTIONS).image).save(folder / "images" / f"{seed}.png")
    (folder / "concepts.yaml").write_text(CONCEPTS, encoding="utf-8")
    program = [sys.executable, "-c", "import sys; from sam3_agent.cli.main import main; sys.exit(main())"]
    label = [*program, "label", "images", "--concepts", "concepts.yaml", "--out", "run"]
    subprocess.run(label, cwd=folder, env=environment(), check=True, capture_output=True)
    page_server = subprocess.Popen(
        [*program, "review", "run"], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert page_server.stdout is not None
    try:
        url = next(found[0] for line in page_server.stdout if (found := re.search(r"http://\S+", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 810})
            page.goto(url)
            page.wait_for_timeout(4000)
            shots = [page.screenshot()]
            for key in "aa":
                page.keyboard.press(key)
                page.wait_for_timeout(1500)
                shots.append(page.screenshot())
            browser.close()
    finally:
        page_server.terminate()
        page_server.wait()
    return [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]


def fitted(shot: Image.Image) -> Image.Image:
    """A screenshot at the clip's size."""
    return shot.resize(SIZE, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
