"""`sam3-agent demo`: the main job on embedded parts, with the truth beside it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from sam3_agent import masks
from sam3_agent.cli.loading import write_picture
from sam3_agent.cli.output import model_words, print_line, print_notes, progress_console
from sam3_agent.cli.scene_files import target_mask
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing
from sam3_agent.llm.base import LLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.trace import write_trace
from sam3_agent.render import Mark, Picture, draw_picture, viewer_page
from sam3_agent.scenes import Query, Scene, SceneOptions, generate_scene, queries_of
from sam3_agent.types import Answer, Instance, ModelInfo, Trace
from sam3_agent.workspace import Workspace

_STRIP = 76
_GAP = 14
_SHEET = (14, 16, 20)
_DARK = (26, 29, 36)
_WHITE = (245, 246, 248)
_QUIET = (160, 166, 178)
_RIGHT = (96, 200, 130)
_WRONG = (235, 105, 95)
_CELL = 640


def scene_picture(scene: Scene) -> Image.Image:
    """The scene as it was drawn, under a title."""
    words = f"{len(scene.objects)} objects, every mask known"
    return _titled(Image.fromarray(scene.image), "a scene, drawn by the program", words, _QUIET)


def answer_picture(
    scene: Scene, question: str, verdict: str, instances: Sequence[Instance], *, right: bool
) -> Image.Image:
    """The scene with the found masks filled, under the question and the verdict."""
    marks = [Mark(instance.id, instance.rle, instance.box) for instance in instances]
    longest = max(scene.width, scene.height)
    picture = draw_picture(scene.image, marks, style="fill", longest=longest).image
    return _titled(picture, f"“{question}”", verdict, _RIGHT if right else _WRONG)


def answer_page(scene: Scene, instances: Sequence[Instance]) -> str:
    """The scene with the found masks as one HTML document, for any browser."""
    picture = Picture(Image.fromarray(scene.image), "", 1.0)
    return viewer_page(picture, [instance.to_json() for instance in instances])


def overview(cells: Sequence[Image.Image]) -> Image.Image:
    """All pictures, two beside each other."""
    small = [cell.resize((_CELL, round(cell.height * _CELL / cell.width)), Image.Resampling.LANCZOS) for cell in cells]
    height = max(cell.height for cell in small)
    rows = (len(small) + 1) // 2
    sheet = Image.new("RGB", (2 * _CELL + 3 * _GAP, rows * height + (rows + 1) * _GAP), _SHEET)
    for index, cell in enumerate(small):
        sheet.paste(cell, (_GAP + index % 2 * (_CELL + _GAP), _GAP + index // 2 * (height + _GAP)))
    return sheet


def _titled(picture: Image.Image, title: str, line: str, color: tuple[int, int, int]) -> Image.Image:
    canvas = Image.new("RGB", (picture.width, picture.height + _STRIP), _DARK)
    canvas.paste(picture, (0, _STRIP))
    draw = ImageDraw.Draw(canvas)
    room = picture.width - 32
    draw.text((16, 12), title, fill=_WHITE, font=_fitting(title, 25, room))
    draw.ellipse((17, 51, 27, 61), fill=color)
    draw.text((36, 46), line, fill=color, font=_fitting(line, 17, room - 20))
    return canvas


def _fitting(text: str, size: int, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The built-in font, smaller where the text would be too long."""
    while size > 9 and ImageFont.load_default(size).getlength(text) > width:
        size -= 1
    return ImageFont.load_default(size)


SEED = 32
QUESTIONS_SEED = 1
"""Both picked among many: a pleasant picture, and three questions unlike each other that the embedded model gets right.

A demo shows what works; how often it works is what `python -m benchmarks.tiny` and `sam3-eval` say.
"""
OPTIONS = SceneOptions(min_objects=8, max_objects=10, min_side=768, max_side=768, max_aspect=1.34)
KINDS = (("relation", "superlative"), ("exclusion",), ("no_target",))
"""One question for each: its kind, in the order of preference."""
RIGHT_IOU = 0.7
"""An answer is right when there are as many masks as objects meant, and each overlaps its own object this much."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One concept that the LLM had the model look for."""

    concept: str
    presence: float
    found: int | None
    """None where only the presence was read."""


@dataclass(frozen=True, slots=True, eq=False)
class DemoAnswer:
    """One question with its answer, and how near that is to the truth."""

    query: Query
    answer: Answer
    asked: tuple[Asked, ...]
    iou: float
    """Of the worst pair of mask and object meant; 0 where their numbers differ, 1 where rightly nothing was found."""

    @property
    def right(self) -> bool:
        """Whether the answer is the truth."""
        return self.iou >= RIGHT_IOU

    def verdict(self) -> str:
        """One line: what came out, and whether it is true."""
        if self.answer.outcome == "no_match":
            return "no match; " + (
                "right, nothing in the scene is meant" if self.right else "wrong, something is meant"
            )
        count = len(self.answer.instances)
        found = f"{count} mask{'' if count == 1 else 's'}" if self.answer.outcome == "answered" else self.answer.outcome
        meant = len(self.query.target_ids)
        if len(self.answer.instances) != meant:
            return f"{found}; wrong, {meant} object{'' if meant == 1 else 's'} meant"
        return f"{found}; {'right' if self.right else 'wrong'}, IoU with the truth {self.iou:.2f} or more"


@dataclass(frozen=True, slots=True, eq=False)
class DemoReport:
    """All that the demo did; seconds."""

    scene: Scene
    info: ModelInfo
    llm: str
    loading: float
    encoding: float
    answers: tuple[DemoAnswer, ...]

    def to_json(self, out: Path) -> dict[str, Any]:
        """One document for `--json`."""
        return {
            "scene": {"seed": self.scene.seed, "width": self.scene.width, "height": self.scene.height},
            "model": self.info.to_json(),
            "llm": self.llm,
            "answers": [
                {
                    "query": a.query.text,
                    "kind": a.query.kind,
                    "outcome": a.answer.outcome,
                    "reason": a.answer.reason,
                    "iou": round(a.iou, 4),
                    "right": a.right,
                    "usage": a.answer.usage.to_json(),
                }
                for a in self.answers
            ],
            "seconds": {"load": round(self.loading, 3), "encode": round(self.encoding, 3)},
            "out": str(out),
        }


def check_folder(out: Path) -> None:
    """Refuse early what cannot become a folder."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder with --out")


def run_demo(workspace: Workspace, llm: LLM, *, loading: float) -> DemoReport:
    """Draw the scene, encode it once, ask the questions; `loading` is how long the model took to load."""
    scene = generate_scene(SEED, OPTIONS)
    began = time.perf_counter()
    image = workspace.open(scene.image)
    encoding = time.perf_counter() - began
    agent = Agent(workspace, llm)
    answers = tuple(_ask(agent, image.id, scene, query) for query in questions(scene))
    return DemoReport(scene, workspace.info, llm.name, loading, encoding, answers)


def questions(scene: Scene) -> list[Query]:
    """One question of each of KINDS that the scene has, out of its truth."""
    known = queries_of(scene, np.random.default_rng(QUESTIONS_SEED), limit_per_kind=3)
    known.sort(key=lambda query: query.is_sentence)  # short ones first
    found = ([query for kind in kinds for query in known if query.kind == kind] for kinds in KINDS)
    return [queries[0] for queries in found if queries]


def pictures(report: DemoReport) -> list[Image.Image]:
    """The scene and each answer, in the order of the overview."""
    answers = [
        answer_picture(report.scene, item.query.text, item.verdict(), item.answer.instances, right=item.right)
        for item in report.answers
    ]
    return [scene_picture(report.scene), *answers]


def write_demo(report: DemoReport, out: Path) -> None:
    """Write the pictures, the traces and beside each trace its masks as a page for the browser, each atomically."""
    write_picture(Image.fromarray(report.scene.image), out / "scene.png")
    cells = pictures(report)
    for number, (item, picture) in enumerate(zip(report.answers, cells[1:], strict=True), 1):
        write_picture(picture, out / f"answer-{number}.png")
        write_trace(item.answer.trace, out / "traces" / f"answer-{number}.jsonl")
        with replacing(out / "traces" / f"answer-{number}.html") as page:
            page.write_text(answer_page(report.scene, item.answer.instances), encoding="utf-8")
    write_picture(overview(cells), out / "overview.png")


def print_report(report: DemoReport, out: Path) -> None:
    """Print what was done, in a few lines."""
    scene = report.scene
    print_line(f"scene   {scene.width}x{scene.height}, {len(scene.objects)} objects, drawn by seed {scene.seed}")
    times = f"loaded in {report.loading:.1f} s, picture encoded once in {report.encoding:.2f} s"
    print_line(f"model     {model_words(report.info)}, {times}")
    for number, item in enumerate(report.answers, 1):
        print_line("")
        print_line(f'{number}. "{item.query.text}"', style="bold")
        print_line(f"   asked   {_asked_words(item.asked)}")
        print_line(f"   answer  {item.answer.reason}")
        mark = ("   ok      ", "green") if item.right else ("   not ok  ", "red")
        print_line(f"{item.verdict()} ({item.answer.usage.seconds:.2f} s)", before=mark)
    print_line("")
    print_line(f"look at {out / 'overview.png'}; each step is in {out / 'traces'}")
    print_notes(report.info, llm=report.llm)


def _ask(agent: Agent, image_id: str, scene: Scene, query: Query) -> DemoAnswer:
    with progress_console().status(f"asking “{query.text}”"):
        answer = agent.ask(image_id, query.text)
    if answer.interrupted:
        raise KeyboardInterrupt
    return DemoAnswer(query, answer, tuple(_asked(answer.trace)), _iou(scene, query, answer))


def _iou(scene: Scene, query: Query, answer: Answer) -> float:
    """The worst IoU of the best one-to-one pairing."""
    meant = [masks.encode(target_mask(scene, [target])) for target in query.target_ids]
    if len(meant) != len(answer.instances):
        return 0.0
    if not meant:
        return 1.0
    table = masks.iou([instance.rle for instance in answer.instances], meant)
    rows, columns = cast(Any, linear_sum_assignment)(table, maximize=True)
    return float(table[rows, columns].min())


def _asked(trace: Trace) -> Iterator[Asked]:
    """The concepts in the tools' results, each the first time it was asked."""
    seen: set[str] = set()
    for step in trace.steps:
        for result in step.data.get("data", {}).get("results", ()) if step.kind == "tool" else ():
            if result["concept"] not in seen:
                seen.add(result["concept"])
                found = len(result["instances"]) if "instances" in result else None
                yield Asked(result["concept"], result["presence"], found)


def _asked_words(asked: Sequence[Asked]) -> str:
    words = [f"{a.concept} (presence {a.presence:.2f}{'' if a.found is None else f', {a.found} found'})" for a in asked]
    return ", ".join(words) or "nothing"
