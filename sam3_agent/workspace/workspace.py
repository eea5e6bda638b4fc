"""The desk on which images, features and masks lie: the only mutable state of the package."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.masks import Box
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.render import Picture, Style, draw_picture
from sam3_agent.types import ConceptPrompt, Detection, Exemplar, Instance, ModelInfo, Segmentation
from sam3_agent.workspace.colours import ColourShare
from sam3_agent.workspace.combination import Operation, combined
from sam3_agent.workspace.facts import Facts, colours_of
from sam3_agent.workspace.measure import MeasurementTable, OrderBy, measure
from sam3_agent.workspace.memory import FeatureMemory, Window
from sam3_agent.workspace.prompts import distinct_prompts
from sam3_agent.workspace.records import Finding, Record, Records
from sam3_agent.workspace.sightings import concept_scores, facts_of, marks_of
from sam3_agent.workspace.source import Source, read_source
from sam3_agent.workspace.windows import candidate_in_image, prompt_in_window, window_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image on the desk."""

    id: str
    width: int
    height: int
    source: str


class Workspace:
    """Opens images, asks the eye about them and keeps every mask by an id that never changes.

    Images are named by id in every call; there is no current image. Pixels and masks stay until `forget`; features
    only up to `max_bytes`, after which the least recently used are encoded again when needed. Safe to call from
    several threads.
    """

    def __init__(self, segmenter: Segmenter, *, max_bytes: int = 2 * 2**30) -> None:
        self._segmenter = segmenter
        self._memory = FeatureMemory(segmenter, max_bytes)
        self._records = Records()
        self._images: dict[str, OpenImage] = {}
        self._pixels: dict[str, NDArray[np.uint8]] = {}
        self._colours: dict[str, tuple[ColourShare, ...]] = {}
        self._opened = 0
        self._segmentations = 0
        self._lock = threading.Lock()

    @property
    def info(self) -> ModelInfo:
        """Which eye looks."""
        return self._segmenter.info

    @property
    def encodes(self) -> int:
        """Pictures encoded so far, regions and re-encodings included."""
        return self._memory.encodes

    def open(self, source: Source) -> OpenImage:
        """Decode and encode a picture: a path, file URL, data URI, bytes, PIL image or (H, W, 3) uint8 array.

        Raises:
            InputError: it is not a usable picture; nothing is kept of it.
        """
        pixels, name = read_source(source)
        height, width = pixels.shape[:2]
        with self._lock:
            self._opened += 1
            image = OpenImage(f"img{self._opened}", width, height, name)
        self._memory.get((image.id, (0, 0, width, height)), lambda: pixels)
        with self._lock:
            self._images[image.id] = image
            self._pixels[image.id] = pixels
        _log.debug("opened %s as %s, %dx%d", name, image.id, width, height)
        return image

    def segment(
        self,
        image_id: str,
        concepts: Sequence[str | ConceptPrompt],
        *,
        threshold: float = 0.5,
        region: Box | None = None,
    ) -> list[Segmentation]:
        """Find all instances of each concept in one batched call; a concept given twice is answered once.

        With a `region` only that part is looked at, at its own full resolution; masks and boxes are still those of the
        whole image.

        Raises:
            InputError: no concepts, an unusable one, or a region outside the image.
        """
        image = self.image(image_id)
        prompts = distinct_prompts(concepts, threshold)
        window = window_of(region, image.width, image.height)
        local = [prompt_in_window(prompt, window, image.width, image.height) for prompt in prompts]
        features = self._features(image, window)
        found = self._segmenter.detect(features, local, threshold=threshold)
        return [self._record(image, window, p, d, threshold) for p, d in zip(prompts, found, strict=True)]

    def presence(self, image_id: str, phrases: Sequence[str]) -> dict[str, float]:
        """How strongly the eye believes that each phrase is in the image, 0-1: the cheapest question."""
        image = self.image(image_id)
        prompts = distinct_prompts(phrases)
        features = self._features(image, (0, 0, image.width, image.height))
        found = self._segmenter.detect(features, prompts, threshold=2.0, near_misses=0)
        return {prompt.label: detection.presence for prompt, detection in zip(prompts, found, strict=True)}

    def refine(
        self,
        image_id: str,
        concept: str | None,
        *,
        positive_masks: Sequence[str] = (),
        negative_masks: Sequence[str] = (),
        positive_boxes: Sequence[Box] = (),
        negative_boxes: Sequence[Box] = (),
        threshold: float = 0.5,
    ) -> Segmentation:
        """Find everything like the positive examples and unlike the negative ones, with or without a phrase.

        Raises:
            InputError: there is no example, or only negative ones without a phrase, or a box outside the image.
        """
        self.image(image_id)
        positive = [*self._boxes(image_id, positive_masks), *positive_boxes]
        negative = [*self._boxes(image_id, negative_masks), *negative_boxes]
        if not positive and not negative:
            raise InputError(
                "give at least one example: positive_masks, negative_masks, positive_boxes or negative_boxes"
            )
        if concept is None and not positive:
            raise InputError(
                "negative examples alone say nothing to look for; give a concept or a positive example too"
            )
        exemplars = [Exemplar(box, True) for box in positive] + [Exemplar(box, False) for box in negative]
        return self.segment(image_id, [ConceptPrompt(concept, tuple(exemplars))], threshold=threshold)[0]

    def combine(self, mask_ids: Sequence[str], operation: Operation) -> Instance:
        """Unite or intersect masks of one image, or subtract all others from the first; gives a new mask.

        Raises:
            InputError: fewer than two masks, masks of several images, or nothing is left.
        """
        ids = list(dict.fromkeys(mask_ids))
        image_id = self.image_of(ids[0]) if ids else ""
        finding = combined([record.instance for record in self._records.on_image(image_id, ids)], operation)
        return self._records.add(image_id, f"{operation} of {', '.join(ids)}", [finding])[0]

    def measure(self, image_id: str, mask_ids: Sequence[str] = (), order_by: OrderBy = "left") -> MeasurementTable:
        """Geometry of the masks as a table; without ids, of all masks of the image that are above their threshold."""
        records = self._chosen(image_id, mask_ids)
        instances = [record.instance for record in records]
        return measure(image_id, instances, self.facts([i.id for i in instances]), order_by)

    def look(
        self,
        image_id: str,
        mask_ids: Sequence[str] = (),
        region: Box | None = None,
        style: Style = "marks",
        *,
        longest: int = 1024,
    ) -> Picture:
        """Draw the image, or a region at full resolution, with masks; without ids, with all above their threshold."""
        image = self.image(image_id)
        window = window_of(region, image.width, image.height) if region is not None else None
        marks = marks_of(self._chosen(image_id, mask_ids)) if style != "plain" else []
        return draw_picture(self.pixels(image_id), marks, style=style, region=window, longest=longest)

    def facts(self, mask_ids: Sequence[str]) -> list[Facts]:
        """Centre, area, colours and the scores under every phrase asked, of each mask."""
        records = [self._records.get(mask_id) for mask_id in mask_ids]
        scores: dict[str, dict[str, float]] = {}
        for image_id in {record.image_id for record in records}:
            wanted = [record for record in records if record.image_id == image_id]
            scores |= concept_scores(wanted, self._records.of_image(image_id))
        return [facts_of(record, self._colours_of(record), scores[record.instance.id]) for record in records]

    def forget(self, image_id: str) -> None:
        """Free an image, its features and its masks; their ids are not used again."""
        with self._lock:
            if image_id not in self._images:
                raise UnknownHandle("image", image_id, self._images)
            del self._images[image_id], self._pixels[image_id]
            for record in self._records.of_image(image_id):
                self._colours.pop(record.instance.id, None)
            self._records.forget(image_id)
        self._memory.forget(image_id)

    def images(self) -> list[OpenImage]:
        """All open images, oldest first."""
        with self._lock:
            return list(self._images.values())

    def image(self, image_id: str) -> OpenImage:
        """An open image.

        Raises:
            UnknownHandle: no such image.
        """
        with self._lock:
            if image_id not in self._images:
                raise UnknownHandle("image", image_id, self._images)
            return self._images[image_id]

    def pixels(self, image_id: str) -> NDArray[np.uint8]:
        """The (H, W, 3) RGB pixels of an image, read-only."""
        self.image(image_id)
        view = self._pixels[image_id].view()
        view.setflags(write=False)
        return view

    def instance(self, mask_id: str) -> Instance:
        """A mask by its id."""
        return self._records.get(mask_id).instance

    def image_of(self, mask_id: str) -> str:
        """The id of the image that a mask lies on."""
        return self._records.get(mask_id).image_id

    def phrase_of(self, mask_id: str) -> str:
        """What was asked when the mask was found, or how it was combined."""
        return self._records.get(mask_id).phrase

    def is_near_miss(self, mask_id: str) -> bool:
        """Whether the mask was below its threshold when it was last found."""
        return not self._records.get(mask_id).kept

    def masks_of(self, image_id: str, *, near_misses: bool = True) -> list[Instance]:
        """All masks of an image, oldest first."""
        self.image(image_id)
        return [r.instance for r in self._records.of_image(image_id) if near_misses or r.kept]

    def _features(self, image: OpenImage, window: Window) -> Features:
        x0, y0, x1, y1 = window
        whole = self._pixels_or_raise(image.id)
        return self._memory.get((image.id, window), lambda: np.ascontiguousarray(whole[y0:y1, x0:x1]))

    def _pixels_or_raise(self, image_id: str) -> NDArray[np.uint8]:
        with self._lock:
            if image_id not in self._pixels:
                raise UnknownHandle("image", image_id, self._images)
            return self._pixels[image_id]

    def _record(
        self, image: OpenImage, window: Window, prompt: ConceptPrompt, detection: Detection, threshold: float
    ) -> Segmentation:
        """Place candidates into the whole image and give them ids."""
        placed = [
            candidate_in_image(c, window, image.width, image.height) for c in (*detection.kept, *detection.near_misses)
        ]
        kept = len(detection.kept)
        findings = [
            Finding(c.rle, c.box, detection.presence * c.object_score, c.object_score, kept=index < kept)
            for index, c in enumerate(placed)
        ]
        with self._lock:
            if image.id not in self._images:  # forgotten while the eye was looking
                self._memory.forget(image.id)
                raise UnknownHandle("image", image.id, self._images)
            self._segmentations += 1
            name = f"s{self._segmentations}"
            instances = self._records.add(image.id, prompt.label, findings, prompt)
        return Segmentation(
            name, image.id, prompt, detection.presence, threshold, tuple(instances[:kept]), tuple(instances[kept:])
        )

    def _boxes(self, image_id: str, mask_ids: Sequence[str]) -> list[Box]:
        return [record.instance.box for record in self._records.on_image(image_id, mask_ids)]

    def _chosen(self, image_id: str, mask_ids: Sequence[str]) -> list[Record]:
        self.image(image_id)
        if mask_ids:
            return self._records.on_image(image_id, mask_ids)
        return [record for record in self._records.of_image(image_id) if record.kept]

    def _colours_of(self, record: Record) -> tuple[ColourShare, ...]:
        mask_id = record.instance.id
        colours = self._colours.get(mask_id)
        if colours is None:
            colours = colours_of(self._pixels_or_raise(record.image_id), record.instance)
            with self._lock:
                self._colours[mask_id] = colours
        return colours
