"""An LLM that knows the truth of a scene and can act only through the tools: what is left is the price of the loop."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.image_encoding import jpeg
from sam3_agent.render import Picture
from sam3_agent.scenes import Query, Scene, SceneObject
from sam3_agent.tools import ToolSpec

Box = tuple[float, float, float, float]
_LINE = re.compile(r"(m\d+)\b[^\[\n]*box \[(\d+), (\d+), (\d+), (\d+)\]")
MOST_BOXES = 4
"""Objects that are asked for by a box each, in one turn."""
LONGEST, MOST_PIXELS = 1568, 1_150_000
"""Providers reduce larger pictures to this before they count."""


@dataclass
class Bill:
    """Cost of one query in tokens, pictures and dollars."""

    llm_calls: int = 0
    input_tokens: int = 0
    pictures: int = 0
    encodes: int = 0
    sizes: list[int] = field(default_factory=list[int])

    def charge(self, characters: int, pictures: Sequence[tuple[int, int]]) -> None:
        """Count one call: its whole input, as every call sends all of it again."""
        self.llm_calls += 1
        self.pictures += len(pictures)
        self.input_tokens += text_tokens(characters) + sum(picture_tokens(*size) for size in pictures)


def text_tokens(characters: int) -> int:
    """About four characters a token, for both protocols alike."""
    return math.ceil(characters / 4)


def picture_tokens(width: int, height: int) -> int:
    """Width x height / 750, after reduction to 1568 px and 1.15 megapixels (Anthropic's published rule)."""
    scale = min(1.0, LONGEST / max(width, height), math.sqrt(MOST_PIXELS / (width * height)))
    return math.ceil(width * scale * height * scale / 750)


class PerfectLLM:
    """Asks for the nouns of the targets, takes the masks whose boxes are the targets' own, and judges by them too.

    What the nouns do not find it asks for once more, in one turn: in other words, and by a box around it. It knows
    that nothing is tiny, and asks for no tiles.
    """

    name = "perfect"
    sees = True

    def __init__(self, scene: Scene, query: Query) -> None:
        self.targets = [obj for obj in scene.objects if obj.id in query.target_ids]
        self.asks = phrases_for(self.targets) or [head_of(query.text)]
        self.bill = Bill()

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next call; its price goes on the bill."""
        self.bill.charge(*_size_of(messages, tools))
        if any(tool.name == "give_verdict" for tool in tools):
            return self._judge(messages)
        if any(tool.name == "prefer_answer" for tool in tools):
            return call_of("prefer_answer", better=self.better(messages[1].text))
        if any(tool.name == "propose_candidates" for tool in tools):
            phrases = [*self.asks, *fallbacks_for(self.targets)][:MOST_BOXES] if self.targets else []
            return call_of("propose_candidates", phrases=phrases, boxes=[list(obj.box) for obj in self.targets])
        image_id = messages[1].text.split()[1]
        results = [result for message in messages for result in message.results]
        if not results:
            return _calls(self._segment(image_id, self.asks))
        found = boxes_in("\n".join(result.text for result in results))
        chosen = [choose(obj.box, found) for obj in self.targets]
        if not self.targets:
            return call_of("report_no_match", reason=f"there is no {self.asks[0]} of that kind")
        if "" in chosen and len(results) == 1:
            missing = [obj for obj, mask_id in zip(self.targets, chosen, strict=True) if not mask_id]
            boxes: list[tuple[str, dict[str, object]]] = [
                ("segment_at", {"image_id": image_id, "box": list(obj.box)}) for obj in missing[:MOST_BOXES]
            ]
            return _calls(self._segment(image_id, fallbacks_for(self.targets)), *boxes)
        ids = [mask_id for mask_id in dict.fromkeys(chosen) if mask_id]
        if not ids:
            return call_of("report_no_match", reason="the model finds none of it")
        return call_of("submit_answer", mask_ids=ids, reason="these")

    def _segment(self, image_id: str, concepts: list[str]) -> tuple[str, dict[str, object]]:
        return "segment_concepts", {"image_id": image_id, "concepts": concepts, "tiles": "never"}

    def better(self, text: str) -> str:
        """The answer with more targets and fewer other masks; the first of equals."""
        boxes = boxes_in(text)
        answers = [re.findall(r"m\d+", line) for line in text.splitlines() if " answer: " in line]
        worth = [self._worth([boxes[i] for i in ids if i in boxes]) for ids in answers]
        return "second" if worth[1] > worth[0] else "first"

    def _worth(self, boxes: Sequence[Box]) -> int:
        hits = sum(any(overlap(box, obj.box) >= 0.5 for box in boxes) for obj in self.targets)
        return 2 * hits - len(boxes)

    def _judge(self, messages: Sequence[Message]) -> Reply:
        shown = boxes_in(messages[1].text)
        right = [mask_id for mask_id, box in shown.items() if any(overlap(box, obj.box) >= 0.5 for obj in self.targets)]
        return call_of("give_verdict", accepted=right, rejected=[mask_id for mask_id in shown if mask_id not in right])


def phrases_for(targets: Sequence[SceneObject]) -> list[str]:
    """The nouns of the targets."""
    return list(dict.fromkeys(obj.noun for obj in targets))


def fallbacks_for(targets: Sequence[SceneObject]) -> list[str]:
    """Other wordings: with the color, and the most general one."""
    return list(dict.fromkeys([*(f"{obj.color} {obj.noun}" for obj in targets), "object"]))[:8]


def head_of(text: str) -> str:
    """A plain word to look for where nothing is meant."""
    words = re.findall(r"[a-z]+", text.lower())
    return max(words[-4:], key=len) if words else "object"


def choose(box: Box, found: dict[str, Box]) -> str:
    """The mask whose box fits best, if one fits at all."""
    best = max(found, key=lambda mask_id: overlap(box, found[mask_id]), default="")
    return best if best and overlap(box, found[best]) >= 0.5 else ""


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two xyxy boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / total if total > 0 else 0.0


def boxes_in(text: str) -> dict[str, Box]:
    """Every mask in a result's text, with its box."""
    return {m: (float(a), float(b), float(c), float(d)) for m, a, b, c, d in _LINE.findall(text)}


def call_of(name: str, **arguments: object) -> Reply:
    """A reply that makes one call."""
    return _calls((name, dict(arguments)))


def _calls(*calls: tuple[str, dict[str, object]]) -> Reply:
    named = tuple(ToolCall(f"c{number}", name, arguments) for number, (name, arguments) in enumerate(calls))
    return Reply(Message("assistant", calls=named))


def _size_of(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[int, list[tuple[int, int]]]:
    """Characters and pictures of one request, tool descriptions and schemas included."""
    characters = sum(len(tool.name) + len(tool.description) + len(str(tool.json_schema)) for tool in tools)
    pictures: list[Picture] = []
    for message in messages:
        characters += len(message.text) + sum(len(str(call.arguments)) + len(call.name) for call in message.calls)
        characters += sum(len(result.text) for result in message.results)
        pictures += [*message.pictures, *(picture for result in message.results for picture in result.pictures)]
    for picture in pictures:
        jpeg(picture)  # encoding is part of what a request costs
    return characters, [picture.size for picture in pictures]
