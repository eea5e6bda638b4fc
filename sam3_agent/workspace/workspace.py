"""The workspace on which images, features and masks lie: the only mutable state of the package."""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import UnknownHandle
from sam3_agent.instances import ImageView
from sam3_agent.masks import Box
from sam3_agent.model.segmenter import WORTH_WARMING, Features, Segmenter, WarmsUp
from sam3_agent.render import Picture, Style, draw_picture
from sam3_agent.tracks import Track, VideoHandle
from sam3_agent.types import (
    ClickSegmentation,
    Concept,
    ConceptPrompt,
    Exemplar,
    Instance,
    ModelInfo,
    Point,
    Segmentation,
)
from sam3_agent.video import VideoSource
from sam3_agent.workspace.close_ups import seen_closely
from sam3_agent.workspace.concept_trials import ConceptMode, Reading
from sam3_agent.workspace.concepts import Concepts, Example, by_threshold, learn_concept
from sam3_agent.workspace.config import ALONE, WorkspaceConfig
from sam3_agent.workspace.crops import clicks_in_window, window_of
from sam3_agent.workspace.feature_cache import FeatureCache, Window
from sam3_agent.workspace.geometry import MeasurementTable, Operation, OrderBy, combined, measure
from sam3_agent.workspace.image_loading import Source
from sam3_agent.workspace.image_store import Images, OpenImage, WorkspaceView
from sam3_agent.workspace.mask_facts import Colors, Facts, boxed_in, concept_scores, facts_of, marks_of
from sam3_agent.workspace.mask_store import Finding, Prompt, Record, Records, clicked
from sam3_agent.workspace.negative_examples import answer_without_harm
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.output_folder import OutputFolder
from sam3_agent.workspace.prompts import click_prompt, distinct_prompts, prompt_by_example
from sam3_agent.workspace.query import MOST_TILES, Asking, Question, TileMode
from sam3_agent.workspace.tiling import Found, found_in, look_closer
from sam3_agent.workspace.tracking.profiles import Profile
from sam3_agent.workspace.tracking.progress import Progress
from sam3_agent.workspace.tracking.query import ObjectClick
from sam3_agent.workspace.tracking.session import FrameTracks
from sam3_agent.workspace.video_store import FRAME, AskedFor, TrackOptions, Videos

_log = logging.getLogger(__name__)


class Workspace:
    """Opens images, asks the model about them and keeps every mask by an id that never changes.

    Images are named by id in every call; there is no current image. Pixels and masks stay until `forget`; features
    only up to `max_bytes`, after which the least recently used are encoded again when needed. Safe to call from
    several threads.
    """

    def __init__(self, segmenter: Segmenter, *, max_bytes: int = 2 * 2**30, setting: WorkspaceConfig = ALONE) -> None:
        self._setting = setting
        self._segmenter = segmenter
        self._images = Images(setting.suffix)
        self._records = Records(setting.suffix)
        self._memory = setting.memory or FeatureCache(segmenter, max_bytes)
        self._concepts = Concepts(segmenter)
        self._colors = Colors()
        self._videos = Videos(segmenter, setting.suffix)
        self._segmentations = 0
        self._lock = threading.Lock()

    @property
    def info(self) -> ModelInfo:
        """Name, device and number format of the model."""
        return self._segmenter.info

    @property
    def encodes(self) -> int:
        """Images encoded so far, regions and re-encodings included."""
        return self._memory.encodes

    def statistics(self) -> dict[str, object]:
        """Report hits, misses and bytes of the caches of features and of the model, ready for JSON."""
        return self._memory.statistics()

    @property
    def output(self) -> OutputFolder:
        """Folder that tools may write into."""
        return self._setting.output

    def images(self) -> list[OpenImage]:
        """All open images, oldest first."""
        return self._images.all()

    def image(self, image_id: str) -> OpenImage:
        """An open image; a frame of an open video, "v1@120", is opened when it is first asked for.

        Raises:
            UnknownHandle: no such image or video.
            InputError: the video has no such frame.
        """
        image = self._images.find(image_id)
        if image is not None:
            return image
        pixels = self._videos.frame(image_id)
        if pixels is None:
            return self._images.get(image_id)  # which tells the ids that are known
        self._setting.admit(pixels.nbytes)
        image = OpenImage(image_id, pixels.shape[1], pixels.shape[0], image_id)
        self._images.add(image, pixels)
        return image

    def pixels(self, image_id: str) -> NDArray[np.uint8]:
        """The (H, W, 3) RGB pixels of an image, read-only."""
        return self._images.pixels(image_id)

    def instance(self, mask_id: str) -> Instance:
        """A mask by its id."""
        return self._records.get(mask_id).instance

    def image_of(self, mask_id: str) -> str:
        """The id of the image that a mask lies on."""
        return self._records.get(mask_id).image_id

    def phrase_of(self, mask_id: str) -> str:
        """Return the prompt that found a mask, or how it was combined."""
        return self._records.get(mask_id).phrase

    def is_near_miss(self, mask_id: str) -> bool:
        """Whether the mask was below its threshold when it was last found."""
        return not self._records.get(mask_id).kept

    @property
    def mask_count(self) -> int:
        """Masks of all images, near misses included."""
        return len(self._records)

    def masks_of(self, image_id: str, *, near_misses: bool = True) -> list[Instance]:
        """All masks of an image, oldest first."""
        self.image(image_id)
        return [r.instance for r in self._records.of_image(image_id) if near_misses or r.kept]

    def warm_up_for(self, calls: int) -> None:
        """Make the model ready for so many images or questions where that pays; does nothing on a CPU.

        On a CUDA GPU the fast path is started (see `Sam3.warm_up`), for WORTH_WARMING calls or more.
        """
        segmenter = self._segmenter
        if calls >= WORTH_WARMING and self.info.device != "cpu" and isinstance(segmenter, WarmsUp):
            _log.info("warmed up %s in %.1f s", self.info.device, segmenter.warm_up())

    def open(self, source: Source) -> OpenImage:
        """Decode and encode an image: a path, file URL, data URI, bytes, PIL image or (H, W, 3) uint8 array.

        Raises:
            InputError: it is not a usable image; nothing is kept of it.
        """
        pixels, name = self._setting.read(source)
        image = self._images.name(pixels, name)
        self._memory.get((image.id, (0, 0, image.width, image.height)), lambda: pixels)
        self._images.add(image, pixels)
        _log.debug("opened %s as %s, %dx%d", name, image.id, image.width, image.height)
        return image

    def segment(
        self,
        image_id: str,
        concepts: Sequence[str | ConceptPrompt],
        *,
        threshold: float = 0.5,
        region: Box | None = None,
        tiles: TileMode = "auto",
        assume_present: bool = False,
        max_iou: float = 1.0,
        max_containment: float = 1.0,
        max_tiles: int = MOST_TILES,
    ) -> list[Segmentation]:
        """Find all instances of each concept in one batched call; a concept given twice is answered once.

        Args:
            threshold: what is found scores higher than this; the rest are near misses. A learned concept with a
                threshold of its own is asked with that in place of 0.5 (`Concept.threshold_at`).
            region: look at this part only, in its own resolution; masks and boxes are still those of the whole image.
            tiles: look closer at parts: "auto" where it pays, "never", or "always" (see `tiling.plan`).
            assume_present: the threshold is for the object score alone, as the concept is known to be there.
            max_iou: drop the worse of two masks of a concept that overlap more than this; 1 keeps all (0.7 if learned).
            max_containment: drop a mask of which more than this share lies in a larger one; 1 keeps all.
            max_tiles: look at no more parts than this; when more are wanted, they get larger and show less.

        Raises:
            InputError: no concepts, an unusable one, a region outside the image, an unusable option, or tiles="always"
                with example boxes.
        """
        question = Question(threshold, assume_present, tiles, Suppression(max_iou, max_containment), max_tiles)
        image = self.image(image_id)
        prompts = distinct_prompts(self._concepts.named(concepts), threshold)
        window = window_of(region, image.width, image.height)
        found: dict[ConceptPrompt, tuple[Found, Question]] = {}
        for own, group in by_threshold(prompts, threshold).items():
            put = replace(question, threshold=own)
            found |= {p: (f, put) for p, f in zip(group, self._search(image, group, window, put), strict=True)}
        return [self._record(image, prompt, *found[prompt]) for prompt in prompts]

    def presence(self, image_id: str, phrases: Sequence[str]) -> dict[str, float]:
        """Score the belief that each phrase is in the image, 0-1: the cheapest question."""
        image = self.image(image_id)
        prompts = distinct_prompts(self._concepts.named(phrases))
        whole, pixels = window_of(None, image.width, image.height), self._images.pixels(image.id)
        beliefs = Asking(self._segmenter, self._memory, image.id, pixels, whole, Question()).beliefs(prompts)
        return dict(zip([prompt.label for prompt in prompts], beliefs, strict=True))

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

        Negative examples that take positive ones with them are left out of the prompt; what lies on them is dropped.

        Raises:
            InputError: there is no example, or only negative ones without a phrase, or a box outside the image.
        """
        self.image(image_id)
        positive = [*self._boxes(image_id, positive_masks), *positive_boxes]
        negative = [*self._boxes(image_id, negative_masks), *negative_boxes]
        asked = None if concept is None else self._concepts.prompt(concept)
        prompt = prompt_by_example(asked, positive, negative)
        if not (positive and negative):
            return self.segment(image_id, [prompt], threshold=threshold)[0]
        distinct_prompts([prompt], threshold)
        (own,) = by_threshold([prompt], threshold)
        image, question = self.image(image_id), Question(own)
        window = window_of(None, image.width, image.height)
        answered = answer_without_harm(prompt, lambda asked: self._search(image, [asked], window, question)[0])
        return self._record(image, *answered, question)

    def segment_at(
        self,
        image_id: str,
        *,
        points: Sequence[Point] = (),
        labels: Sequence[bool] = (),
        box: Box | None = None,
        mask_id: str | None = None,
        region: Box | None = None,
    ) -> ClickSegmentation:
        """Segment one object by clicks on it (label True) or beside it, a box around it, or a mask of it to refine.

        Gives the best mask, and other readings of the same clicks as near misses; `region` as in `segment`.

        Raises:
            InputError: nothing says which object, or a point or box lies outside the image or region.
            ToolError: the model knows phrases and exemplars only.
        """
        image = self.image(image_id)
        mask = self._records.on_image(image_id, [mask_id])[0].instance.rle if mask_id is not None else None
        prompt = click_prompt(points, labels, box, mask)
        window = window_of(region, image.width, image.height)
        local = clicks_in_window(prompt, window, image.width, image.height)
        answers = self._segmenter.segment_at(self._features(image, window), local)
        found = clicked(answers, window, image.width, image.height)
        name, instances = self._keep(image, prompt, boxed_in(found, prompt.box))
        best, others = tuple(instances[:1]), tuple(instances[1:])
        return ClickSegmentation(name, image_id, prompt, best, others, view=self.view(image_id))

    def learn(
        self,
        name: str,
        phrase: str | None = None,
        *,
        positive_masks: Sequence[str] = (),
        negative_masks: Sequence[str] = (),
        positive_boxes: Sequence[tuple[str, Box]] = (),
        negative_boxes: Sequence[tuple[str, Box]] = (),
        mode: ConceptMode = "tokens",
    ) -> Concept:
        """Learn a concept from examples on any open images; after that "@name" is a phrase like any other.

        Boxes are (image id, box); an old "@name" is replaced. A "canvas" shows the examples beside each image.

        Raises:
            InputError: a bad name, no positive example, too many examples, or a box outside its image.
            UnknownHandle: no such mask or image.
        """
        examples = [
            *self._examples(positive_masks, positive_boxes, positive=True),
            *self._examples(negative_masks, negative_boxes, positive=False),
        ]
        read = Reading(lambda i: self._features(self.image(i)), self._images.pixels, self._segmenter)
        self._concepts.add(concept := learn_concept(name, phrase, examples, read, mode))
        return concept

    def add_concept(self, concept: Concept) -> None:
        """Make a concept that was learned elsewhere known here, as "@name"; one of the same name is replaced."""
        self._concepts.add(concept)

    def concepts(self) -> list[Concept]:
        """Every concept known here."""
        return self._concepts.all()

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
        self.image(image_id)
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
        earlier: Collection[str] = (),
    ) -> Picture:
        """Draw the image, or a region at full resolution, with masks; without ids, with all above their threshold.

        The masks in `earlier` are drawn thin and without labels, so that the others stand out.
        """
        image = self.image(image_id)
        window = window_of(region, image.width, image.height) if region is not None else None
        marks = marks_of(self._chosen(image_id, mask_ids), earlier) if style != "plain" else []
        return draw_picture(self._images.pixels(image_id), marks, style=style, region=window, longest=longest)

    def view(self, image_id: str) -> ImageView:
        """Make what shows results on this image in a notebook."""
        image = self.image(image_id)
        return WorkspaceView((image.height, image.width), partial(self.look, image_id))

    def facts(self, mask_ids: Sequence[str]) -> list[Facts]:
        """Center, area, colors and the scores under every phrase asked, of each mask."""
        records = [self._records.get(mask_id) for mask_id in mask_ids]
        scores = concept_scores(records, self._records)
        return [facts_of(r, self._colors.of(r, self._images), scores[r.instance.id]) for r in records]

    def open_video(self, source: VideoSource, *, fps: float | None = None) -> VideoHandle:
        """Open a video: a file, a folder of images, image files in order or a (T, H, W, 3) uint8 array.

        `fps` is for folders and arrays. Frames are decoded when they are needed, and none is kept.

        Raises:
            InputError: it cannot be read as a video.
        """
        return self._videos.add(self._setting.read_video(source, fps=fps))

    @property
    def video_store(self) -> Videos:
        """Open videos with their frames, their tracks and the edits of these."""
        return self._videos

    def video(self, video_id: str) -> VideoHandle:
        """An open video; raises UnknownHandle."""
        return self._videos.handle(video_id)

    def videos(self) -> list[VideoHandle]:
        """All open videos, oldest first."""
        return self._videos.all()

    def follow(
        self,
        video_id: str,
        concepts: Sequence[AskedFor] = (),
        *,
        clicks: Sequence[ObjectClick] = (),
        frames: tuple[int, int] | None = None,
        stride: int = 1,
        reverse: bool = False,
        live: bool = False,
        profile: Profile | None = None,
        folder: Path | None = None,
    ) -> Iterator[FrameTracks]:
        """Track concepts and clicked objects, frame by frame; what was told is kept whenever the caller stops.

        A question that was answered for this video (or in `folder`) is not answered again; one that broke off goes on.

        Args:
            video_id: of an open video.
            concepts: phrases, "@names", or `ExampledConcept`s; all are looked for on every frame.
            clicks: objects that are pointed at; one with a `track_id` corrects that track from its frame on.
            frames: first and last frame; None for all.
            stride: ask the detector on every so many frames only.
            reverse: look for concepts from the last frame to the first one.
            live: tell every frame at once and retract later; otherwise tell it when its tracks have stood their trial.
            profile: thresholds; None for those that fit the model's scores.
            folder: keeps journal and checkpoints; None for a temporary one that goes with the video.

        Raises:
            InputError: nothing is asked, or something that cannot be.
            UnknownHandle: no such video, concept or track.
            ToolError: the model cannot follow objects.
            Busy: the video is being tracked.
        """
        options = TrackOptions(
            clicks=clicks, frames=frames, stride=stride, reverse=reverse, live=live, profile=profile, folder=folder
        )
        return self._videos.follow(video_id, concepts, self._concepts, **options)

    def track(
        self,
        video_id: str,
        concepts: Sequence[AskedFor] = (),
        *,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Unpack[TrackOptions],
    ) -> tuple[Track, ...]:
        """Track to the end and give all tracks of the video; see `follow` for what may be asked.

        Ctrl-C (KeyboardInterrupt) leaves what was done: `tracks` gives it, and an equal call goes on from there.
        """
        for told in self.follow(video_id, concepts, **options):
            if on_progress is not None and told.progress is not None:
                on_progress(told.progress)
        return self.tracks(video_id)

    def tracks(self, video_id: str) -> tuple[Track, ...]:
        """All tracks of a video with their masks; retracted ones are not among them. Raises UnknownHandle."""
        return self._videos.session(video_id).tracks()

    def forget_video(self, video_id: str) -> None:
        """Free a video, its frames that are open as images, and its tracks unless they lie in a folder of their own."""
        self._videos.forget(video_id)
        for image in self._images.all():
            if image.id.startswith(f"{video_id}{FRAME}"):
                self.forget(image.id)

    def forget(self, image_id: str) -> None:
        """Free an image, its features and its masks; their ids are not used again."""
        with self._lock:
            self._images.forget(image_id)
            self._colors.forget(image_id)
            self._records.forget(image_id)
        self._memory.forget(image_id)

    def _examples(self, mask_ids: Sequence[str], boxes: Sequence[tuple[str, Box]], *, positive: bool) -> list[Example]:
        """Masks stand for their boxes, each once; boxes are given as (image id, box)."""
        records = [self._records.get(mask_id) for mask_id in dict.fromkeys(mask_ids)]
        given = [*((record.image_id, record.instance.box) for record in records), *boxes]
        return [Example(image_id, Exemplar(box, positive)) for image_id, box in given]

    def _features(self, image: OpenImage, window: Window | None = None) -> Features:
        x0, y0, x1, y1 = part = window or (0, 0, image.width, image.height)
        whole = self._images.pixels(image.id)
        return self._memory.get((image.id, part), lambda: np.ascontiguousarray(whole[y0:y1, x0:x1]))

    def _search(
        self, image: OpenImage, prompts: Sequence[ConceptPrompt], window: Window, question: Question
    ) -> list[Found]:
        """Ask without recording."""
        asking = Asking(self._segmenter, self._memory, image.id, self._images.pixels(image.id), window, question)
        views = look_closer(asking.about, window, prompts, question, self.info)
        meant = [self._concepts.meant(prompt) for prompt in prompts]
        found = [found_in(view, question.put_to(p), *asking.size) for view, p in zip(views, meant, strict=True)]
        return [seen_closely(each, prompt, asking) for each, prompt in zip(found, meant, strict=True)]

    def _record(self, image: OpenImage, prompt: ConceptPrompt, found: Found, question: Question) -> Segmentation:
        name, instances = self._keep(image, prompt, found.findings)
        return found.segmentation(name, self.view(image.id), image.id, prompt, question, instances)

    def _keep(self, image: OpenImage, prompt: Prompt, findings: Sequence[Finding]) -> tuple[str, list[Instance]]:
        """The name of a segmentation, and its findings with their ids."""
        with self._lock:
            try:
                self._images.get(image.id)
            except UnknownHandle:  # forgotten while the model was looking
                self._memory.forget(image.id)
                raise
            self._segmentations += 1
            return f"s{self._segmentations}", self._records.add(image.id, prompt.label, findings, prompt)

    def _boxes(self, image_id: str, mask_ids: Sequence[str]) -> list[Box]:
        return [record.instance.box for record in self._records.on_image(image_id, mask_ids)]

    def _chosen(self, image_id: str, mask_ids: Sequence[str]) -> list[Record]:
        given = self._records.on_image(image_id, mask_ids) if mask_ids else self._records.of_image(image_id)
        return given if mask_ids else [record for record in given if record.kept]
