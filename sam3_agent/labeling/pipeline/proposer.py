"""Proposals for one image: one encode, all phrases of all classes together, then the queries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError, LLMError
from sam3_agent.labeling.ontology.ontology import ExampleSource, LabelClass, Ontology, attribute_phrases, distinct
from sam3_agent.labeling.store.detections import (
    PhraseDetections,
    QueryAnswer,
    asked_phrases,
    detection_of,
    learned_name,
)
from sam3_agent.llm.base import LLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.masks import Box, Rle
from sam3_agent.model.devices import Fast
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.query import TileMode

FLOOR = 0.2
"""Detections that score less are not kept, as each is a mask in the journal; the slider of the review page reaches down
to here."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Classes and options that a run asks about, whoever asks."""

    ontology: Ontology
    tiles: TileMode = "auto"
    judged: bool = False
    """Whether a judge looks at the labels."""

    @property
    def floor(self) -> float:
        """Least score of what is kept."""
        return min(FLOOR, *(each.thresholds.threshold for each in self.ontology.classes))

    def to_json(self) -> dict[str, object]:
        """Give what decides which labels are proposed; only thresholds, and the judge, may change later."""
        document = self.ontology.to_json()["classes"]
        later = ("threshold", "review", "accept")
        classes = [{key: value for key, value in each.items() if key not in later} for each in document]
        return {"classes": classes, "tiles": self.tiles, "floor": self.floor}


@dataclass(frozen=True, slots=True)
class Proposer:
    """Proposer over a model and an LLM, for what one run asks; holds no state of its own."""

    workspace: Workspace
    ontology: Ontology
    loaded_llm: Callable[[], LLM] | None = None
    """Loads the LLM that answers queries; None where no class has one."""
    tiles: TileMode = "auto"
    max_turns: int = 24
    judge: Callable[[], LLM] | None = None
    """Loads the LLM that looks at every label that the score rule does not reject; None where the rule decides."""

    pictures: Mapping[Path, bytes] = field(default_factory=dict[Path, bytes])
    """Contents of exemplars' images that do not lie on this machine."""

    @property
    def inquiry(self) -> Inquiry:
        """Classes and options that are asked about."""
        return Inquiry(self.ontology, self.tiles, self.judge is not None)

    @property
    def floor(self) -> float:
        """Least score of what is kept."""
        return self.inquiry.floor

    def phrases(self) -> tuple[str, ...]:
        """List every phrase that is asked about every image, each once."""
        asked: list[str] = []
        for each in self.ontology.classes:
            asked += each.phrases if each.taught is None else ()
            asked += [*each.negatives, *(phrase for _, _, phrase in attribute_phrases(each))]
        learned = [
            asked_phrases(each)[-1] for each in self.ontology.classes if each.exemplars or each.taught is not None
        ]
        return (*distinct(asked), *learned)

    def learn(self) -> None:
        """Teach the workspace what the exemplars of each class show, or its taught version.

        Raises:
            InputError: an image of an exemplar cannot be used, or its box or mask does not fit.
        """
        for each in self.ontology.classes:
            if each.taught is not None:
                self.workspace.add_concept(each.taught)
            elif each.exemplars:
                learn_class(self.workspace, each, self.pictures)

    def look(self, image_id: str, phrases: Sequence[str] | None = None) -> list[PhraseDetections]:
        """Detect phrases, or every one, on an open image, over the floor."""
        phrases = self.phrases() if phrases is None else phrases
        if not phrases:
            return []
        found = self.workspace.segment(image_id, phrases, threshold=self.floor, tiles=self.tiles)
        return [
            PhraseDetections(phrase, answer.presence, tuple(detection_of(instance) for instance in answer.instances))
            for phrase, answer in zip(phrases, found, strict=True)
        ]

    def ask(self, image_id: str, each: LabelClass, max_usd: float | None) -> QueryAnswer:
        """Ask the agent the query of a class; a run that fails is an answer too.

        Raises:
            LLMError: there is no LLM.
        """
        if each.query is None or self.loaded_llm is None:
            raise LLMError(f"class {each.name!r} has a query, and no LLM was given; add --llm")
        agent = Agent(self.workspace, self.loaded_llm(), budget=Budget(self.max_turns, max_usd=max_usd))
        answer = agent.ask(image_id, each.query)
        if answer.interrupted:
            raise KeyboardInterrupt
        found = tuple(detection_of(instance) for instance in answer.instances)
        return QueryAnswer(answer.outcome, answer.reason, found, round(answer.usage.usd, 6))


def learn_class(workspace: Workspace, each: LabelClass, pictures: Mapping[Path, bytes] | None = None) -> None:
    """Learn the exemplars of a class under its "@name"; masks speak by their boxes."""
    contents = pictures or {}
    opened: dict[Path, str] = {}
    positive: list[tuple[str, Box]] = []
    negative: list[tuple[str, Box]] = []
    try:
        for source in each.exemplars:
            if source.image not in opened:
                opened[source.image] = workspace.open(contents.get(source.image, source.image)).id
            image_id = opened[source.image]
            (positive if source.positive else negative).append((image_id, _box(workspace, image_id, source)))
        workspace.learn(learned_name(each)[1:], positive_boxes=positive, negative_boxes=negative)
    except InputError as error:
        raise InputError(
            f"{f'{each.place}: ' if each.place else ''}the exemplars of class {each.name!r}: {error}"
        ) from error
    finally:
        for image_id in opened.values():
            workspace.forget(image_id)


def _box(workspace: Workspace, image_id: str, source: ExampleSource) -> Box:
    if source.box is not None:
        return source.box
    image = workspace.image(image_id)
    rle = source.mask if isinstance(source.mask, masks.Rle) else read_mask(source.mask)
    if rle.size != (image.height, image.width):
        raise InputError(f"a mask of size {list(rle.size)} on a {image.width}x{image.height} image {source.image}")
    if not masks.area(rle):
        raise InputError(f"an empty mask on {source.image}")
    return masks.box(rle)


def read_mask(path: Path | None) -> masks.Rle:
    """Read the mask of an exemplar: every pixel that is not black; raises InputError where there is none."""
    if path is None:
        raise InputError("an exemplar needs a box or a mask")
    try:
        with Image.open(path) as picture:
            return masks.encode(np.asarray(picture.convert("L")) > 0)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the mask {path}: {error}") from error


def difference_hash(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> str:
    """Hash pixels to 16 hex digits that differ in few bits between near duplicates: whether each of 8 x 8 gray cells is
    lighter than its left neighbor (dHash).
    """
    small = Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.LANCZOS)
    gray = np.asarray(small, dtype=np.int16)  # (8, 9)
    return np.packbits(gray[:, 1:] > gray[:, :-1]).tobytes().hex()


@dataclass(frozen=True, slots=True)
class ProposerConfig:
    """Names of a model and an LLM, and what they are asked; call it for a new proposer."""

    inquiry: Inquiry
    llm: str = ""
    """The spec of the LLM; "" where neither a query nor the judge needs one."""
    model: str = "tiny"
    device: str = "auto"
    dtype: str = "auto"
    fast: Fast = "auto"
    pictures: Mapping[Path, bytes] = field(default_factory=dict[Path, bytes])

    def __call__(self) -> Proposer:
        """Load the LLM and the model.

        Raises:
            ModelUnavailable: the model cannot be loaded.
            LLMConfigError: the LLM cannot.
        """
        from sam3_agent.model.replicas import load_segmenter  # imports torch

        loaded_llm = load_llm(self.llm) if self.llm else None
        workspace = Workspace(load_segmenter(self.model, device=self.device, dtype=self.dtype, fast=self.fast))
        load = None if loaded_llm is None else lambda: loaded_llm
        judge = load if self.inquiry.judged else None
        ontology, tiles = self.inquiry.ontology, self.inquiry.tiles
        return Proposer(workspace, ontology, load, tiles, judge=judge, pictures=self.pictures)


def portable(config: ProposerConfig) -> ProposerConfig:
    """Add the images and masks of its exemplars to a config, which another machine does not have.

    Raises:
        InputError: one of them cannot be read.
    """
    pictures = {
        source.image: _contents(source.image) for each in config.inquiry.ontology.classes for source in each.exemplars
    }
    classes = tuple(_with_masks(each) for each in config.inquiry.ontology.classes)
    return replace(config, inquiry=replace(config.inquiry, ontology=Ontology(classes)), pictures=pictures)


def _with_masks(each: LabelClass) -> LabelClass:
    sources = [
        source if source.mask is None or isinstance(source.mask, Rle) else replace(source, mask=read_mask(source.mask))
        for source in each.exemplars
    ]
    return replace(each, exemplars=tuple(sources))


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the exemplar {path}: {error.strerror or error}") from error
