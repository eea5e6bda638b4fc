"""Draw the pictures of the README with the embedded model and the planner `rules`: docs/pair.webp and docs/demo.webp.

    python docs/pictures.py

Nothing is retouched: what the model finds in a procedural scene is what is drawn.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sam3_agent import Agent, Sam3, Workspace, load_llm
from sam3_agent.cli.commands import demo
from sam3_agent.render import Mark, draw_picture
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.types import Instance

FOLDER = Path(__file__).resolve().parent
SEED, NOUN, SENTENCE = 150, "cat", "the fourth cat from the left"
"""A scene with several things of one kind: how often such a sentence is answered rightly is a table of the README."""
OPTIONS = SceneOptions(min_objects=9, max_objects=12, min_side=800, max_side=900, max_aspect=1.3)
PANEL, HEAD, BAR, GAP = 640, 88, 92, 16
INK, QUIET, GROUND = (24, 26, 31), (96, 102, 114), (255, 255, 255)


def main() -> None:
    """Write both pictures."""
    workspace = Workspace(Sam3.load("tiny"))
    save(pair(workspace), FOLDER / "pair.webp", 1640)
    report = demo.run_demo(workspace, load_llm("rules"), loading=0.0)
    save(demo.overview(demo.pictures(report)), FOLDER / "demo.webp", 960)


def save(picture: Image.Image, path: Path, width: int) -> None:
    """Write a picture at a given width."""
    small = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    small.save(path, quality=88, method=6)


def pair(workspace: Workspace) -> Image.Image:
    """The same scene three times: the sentence as a prompt, its noun as a prompt, the sentence through the agent."""
    scene = generate_scene(SEED, OPTIONS)
    image = workspace.open(scene.image)
    whole, noun = (workspace.segment(image.id, [phrase])[0] for phrase in (SENTENCE, NOUN))
    answer = Agent(workspace, load_llm("rules")).ask(image.id, SENTENCE)
    return side_by_side(
        [
            panel(scene.image, whole.instances, "SAM 3 alone", found(whole.instances, whole.presence)),
            panel(
                scene.image, noun.instances, f"SAM 3 alone, asked for “{NOUN}”", found(noun.instances, noun.presence)
            ),
            panel(scene.image, answer.instances, "with sam3-agent", found(answer.instances)),
        ]
    )


def found(instances: Sequence[Instance], presence: float | None = None) -> str:
    """Say how much was found."""
    words = f"{len(instances)} mask{'s' * (len(instances) > 1)}" if instances else "nothing found"
    return words if presence is None else f"{words}, presence {presence:.2f}"


def panel(pixels: object, instances: Sequence[Instance], title: str, line: str) -> Image.Image:
    """One scene under a title."""
    marks = [Mark("", instance.rle, instance.box) for instance in instances]
    drawn = draw_picture(pixels, marks, style="fill").image  # pyright: ignore[reportArgumentType]
    drawn = drawn.resize((PANEL, round(drawn.height * PANEL / drawn.width)), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (PANEL, drawn.height + BAR), GROUND)
    canvas.paste(drawn, (0, BAR))
    draw = ImageDraw.Draw(canvas)
    draw.text((2, 8), title, fill=INK, font=ImageFont.load_default(36))
    draw.text((2, 52), line, fill=QUIET, font=ImageFont.load_default(28))
    return canvas


def side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    """All panels in a row, under the sentence."""
    width = sum(each.width for each in panels) + GAP * (len(panels) + 1)
    sheet = Image.new("RGB", (width, max(each.height for each in panels) + HEAD + GAP), GROUND)
    ImageDraw.Draw(sheet).text((GAP, 14), f"“{SENTENCE}”", fill=INK, font=ImageFont.load_default(50))
    x = GAP
    for each in panels:
        sheet.paste(each, (x, HEAD))
        x += each.width + GAP
    return sheet


if __name__ == "__main__":
    main()
