"""Fine-tuning of a model to a class from a few images: an adapter, and a report of what it found and forgot.

Gated, it is on for its own phrase alone, and nothing else can be forgotten; always on, other words are replayed on the
same images while it learns, and measured before and after.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sam3_agent import masks
from sam3_agent.errors import Forgets, InputError
from sam3_agent.formats.adapter_folder import PAGE, AdapterManifest, replacing_folder, write_description
from sam3_agent.formats.files import write_text
from sam3_agent.model.adapters.adapter import Adapter, adapter_fingerprint, base_fingerprint, write_tensors
from sam3_agent.model.adapters.gate import Gate
from sam3_agent.model.adapters.low_rank import averaged, merge, view_of
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.text_prompts import EXEMPLAR_PHRASE, clean
from sam3_agent.training.finetuning.adapter_steps import TOKENS, AdapterOptions, LabeledView, train_adapter
from sam3_agent.training.finetuning.figures import THRESHOLD, f1, own_counts
from sam3_agent.training.finetuning.looks import Look, look, look_of
from sam3_agent.training.finetuning.replay import Replay
from sam3_agent.training.finetuning.report import Report, Words, own_figures, word_figures
from sam3_agent.training.finetuning.report_page import page_of
from sam3_agent.training.finetuning.survey import WORDS, Survey, names_in, other_words, scene_counts, survey
from sam3_agent.training.teaching.close_up_check import LAX, checked_closely, told_once
from sam3_agent.training.teaching.prompt_tokens import TeachProgress
from sam3_agent.training.teaching.teach import check_images, dealt_folds
from sam3_agent.training.teaching.views import TeachingImage, View, views_of
from sam3_agent.types import CloseUps, Concept, ConceptEstimate, ConceptPrompt, Exemplar, ExemplarTokens
from sam3_agent.workspace.concept_trials import SLOW_SIDE
from sam3_agent.workspace.concepts import MOST_EXAMPLES, MOST_THUMBNAILS, thumbnail

SHIFTS = (0.0, 0.25, -0.25, 0.5, -0.5, 0.75, -0.75, 1.0, -1.0, 1.25, 1.5, 1.75)
"""Of object logits, tried in this order, so that of equals the one nearest to 0 is taken."""
MARGIN = 0.02
"""F1 by which a shift must beat one nearer to 0."""
LOWEST = 0.15
"""Score down to which findings are looked at: by the highest shift it rises to .5 at most."""
BUDGET = 0.02
"""Share of general F1, of refusals and of other words' answers that an adapter that is always on may cost."""
TRIED = 6
"""Images on which the phrase is tried with and without its words."""
CHECKED, CHECKED_WORDS = 3, WORDS[:24]
"""Images and words on which a gated adapter is compared with its base, bit for bit."""


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """Recipe of a fine-tuning; the same values on the same images give the same adapter."""

    steps: AdapterOptions = field(default_factory=AdapterOptions)
    always_on: bool = False
    views: int = 8
    """Of an image with the class, itself included."""
    absent_views: int = 5
    """Of an image without it."""
    words: tuple[str, ...] = WORDS
    """Asked beside the class's own, to be replayed and compared."""
    scenes: int = 24
    """Procedural scenes on which other words are compared with the truth."""
    budget: float = BUDGET


@dataclass(frozen=True, slots=True, eq=False)
class Finetuned:
    """An adapter and what it does."""

    adapter: Adapter
    report: Report
    images: tuple[TeachingImage, ...] = field(repr=False, default=())

    def applied(self, segmenter: Sam3) -> Sam3:
        """The model that it was made of, with it; it has no tracker half."""
        if self.adapter.concept is not None:
            return segmenter.changed(gate=Gate(segmenter.network, [self.adapter]))
        return _merged(segmenter, self.adapter.tensors)

    def write(self, folder: Path, *, accept_forgetting: bool = False) -> None:
        """Write the adapter's folder, whole or not at all.

        Raises:
            Forgets: the report passes the budget, and that is not accepted; nothing is written.
        """
        if self.report.over and not accept_forgetting:
            raise Forgets(
                f"not written: always on, it costs other words more than {self.report.budget:.0%}"
                f" ({'; '.join(self.report.over)}). Leave it gated to its own phrase, give it more images without it,"
                " or accept what it forgets (--accept-forgetting)"
            )
        with replacing_folder(folder) as made:
            write_tensors(made, self.adapter.tensors)
            write_description(made, self.adapter.manifest, self.adapter.concept, self.report.to_json())
            write_text(made / PAGE, page_of(self.report, self.images))


def recipe_of(
    segmenter: Sam3, *, always_on: bool = False, steps: int | None = None, seed: int = 0, rank: int | None = None
) -> FinetuneOptions:
    """The usual recipe for a model of this size."""
    large = segmenter.info.input_side >= SLOW_SIDE
    usual = AdapterOptions(seed=seed, rate=1e-4 if large else 1e-3)
    if always_on:
        usual = replace(usual, tokens=0, others=2, steps=160)
    if steps is not None:
        usual = replace(usual, steps=steps)
    if rank is not None:
        usual = replace(usual, rank=rank)
    return FinetuneOptions(usual, always_on, views=4 if large else 8, absent_views=3 if large else 5)


def finetune(
    segmenter: Sam3,
    name: str,
    images: Sequence[TeachingImage],
    *,
    words: Sequence[str] = (),
    options: FinetuneOptions | None = None,
    folder: Path | None = None,
    on_progress: Callable[[TeachProgress], None] = lambda _: None,
) -> Finetuned:
    """Train an adapter on images with and without a class.

    Every object of it must be marked on every image, as what is not marked is learned to be something else.

    Args:
        segmenter: the model that the adapter is for; its weights stay as they are.
        name: the adapter is asked for as "@name".
        images: as `teach` takes them.
        words: phrases that it answers to; `name` by default.
        options: the recipe.
        folder: keeps a checkpoint, from which an equal call goes on after a kill.
        on_progress: told after each image and step.

    Raises:
        InputError: a bad name, or too few images.
    """
    recipe = options or recipe_of(segmenter)
    check_images(name, images)
    own = tuple(dict.fromkeys(clean(word) for word in (words or (name,))))
    if not all(own):
        raise InputError("a word of the adapter is empty")
    course = _Course(segmenter, name, own, images, recipe, on_progress)
    trained = course.train(folder)
    return course.finished(trained)


class _Course:
    """One fine-tuning, from its images to its report."""

    def __init__(
        self,
        segmenter: Sam3,
        name: str,
        own: tuple[str, ...],
        images: Sequence[TeachingImage],
        recipe: FinetuneOptions,
        tell: Callable[[TeachProgress], None],
    ) -> None:
        self._segmenter, self._name, self._own, self._recipe = segmenter, name, own, recipe
        self._images, self._tell = tuple(images), tell
        self._folds = dealt_folds(images, recipe.steps.folds)
        self._base = base_fingerprint(segmenter.network)
        self._examples = self._read_examples()
        self._phrase = own[0] if recipe.always_on else self._kept_phrase()
        self._said: Survey | None = None

    def train(self, folder: Path | None) -> list[dict[str, Tensor]]:
        """Train; gives the tensors that each fold arrives at."""
        recipe = replace(self._recipe, budget=BUDGET)  # decides what is written, not what is trained
        key = _key(self._segmenter, self._images, f"{recipe}{self._own}{self._phrase}")
        start = self._examples.mean(axis=0)
        train = partial(train_adapter, folder=folder, key=key, on_progress=self._tell)
        return train(self._segmenter.network, self._views(), start, self._recipe.steps, self._replay())

    def finished(self, trained: list[dict[str, Tensor]]) -> Finetuned:
        """Average, calibrate on images that were left out, measure."""
        looks = self._held_out(trained)
        close_ups, looks = (None, looks) if self._recipe.always_on else self._second_look(looks)
        shift = 0.0 if self._recipe.always_on else _best_shift(looks)
        tokens = [part.pop(TOKENS) for part in trained if TOKENS in part]
        tensors = {name: value.half() for name, value in averaged(trained).items()}
        adapter = self._adapter(tensors, torch.stack(tokens).mean(0) if tokens else None, shift, looks, close_ups)
        before = [look(self._segmenter, image, ConceptPrompt(self._own[0]), THRESHOLD) for image in self._images]
        own = own_figures(before, looks, shift)
        over: tuple[str, ...] = ()
        if self._recipe.always_on:
            others = self._others_measured(tensors)
            over = others.over(self._recipe.budget)
        else:
            others = self._others_compared(adapter)
        report = Report(
            adapter.manifest, own, others, over, self._recipe.budget, tuple(looks), tuple(i.name for i in self._images),
            sum(value.numel() for value in tensors.values()), shift,
        )  # fmt: skip
        return Finetuned(adapter, report, self._images)

    def _read_examples(self) -> NDArray[np.float32]:
        """(N, C) tokens of the marked objects."""
        rows: list[NDArray[np.float32]] = []
        for image in self._images:
            if image.objects:
                boxes = [Exemplar(masks.box(rle), positive=True) for rle in image.objects]
                rows.append(self._segmenter.read_exemplars(self._segmenter.encode(image.pixels), boxes).array)
        return np.concatenate(rows)

    def _kept_phrase(self) -> str | None:
        """The words, if the model finds as much with them as without, beside the mean of the examples."""
        tokens = ExemplarTokens.of(self._examples.mean(axis=0, keepdims=True), self._segmenter.fingerprint)
        shown = [image for image in self._images if image.objects][:TRIED]
        scores: list[float] = []
        for phrase in (self._own[0], None):
            prompt = ConceptPrompt(phrase, (), Concept("trial", phrase, tokens))
            looks = [look(self._segmenter, image, prompt, THRESHOLD) for image in shown]
            scores.append(f1(own_counts(looks).sum(axis=0)) or 0.0)
        return self._own[0] if scores[0] >= max(scores[1], MARGIN) else None

    def _views(self) -> list[LabeledView]:
        recipe, segmenter = self._recipe, self._segmenter
        rng = np.random.default_rng([recipe.steps.seed, 1])
        made: list[LabeledView] = []
        for number, (image, fold) in enumerate(zip(self._images, self._folds, strict=True)):
            count = recipe.views if image.objects else recipe.absent_views
            for place, seen in enumerate(views_of(image, count, rng, shapes=True)):
                features = segmenter.encode(np.ascontiguousarray(seen.pixels))
                prefix = segmenter.prompt_tokens(features, self._phrase or EXEMPLAR_PHRASE)
                made.append(labeled_view(seen, features, prefix, number, fold, whole=place == 0))
            self._tell(TeachProgress("reading images", number + 1, len(self._images)))
        return made

    def _survey(self, segmenter: Sam3) -> Survey:
        count = len(self._images)
        words = other_words(self._recipe.words, self._own)
        told = partial(_told, self._tell, "asking other words", count)
        return survey(segmenter, self._images, words, told)

    def _replay(self) -> Replay | None:
        if not self._recipe.always_on:
            return None
        said = self._said = self._survey(self._segmenter)
        features = self._segmenter.encode(self._images[0].pixels)
        tokens = tuple(self._segmenter.prompt_tokens(features, word)[:-1].cpu().clone() for word in said.words)
        answered = tuple(tuple(w for w, rles in enumerate(found) if rles) for found in said.found)
        return Replay(said.words, tokens, answered, names_in(said, self._images))

    def _held_out(self, trained: list[dict[str, Tensor]]) -> list[Look]:
        """Ask each image of the adapter that was trained without it."""
        asked = [self._asked(part, f"fold {fold}") for fold, part in enumerate(trained)]
        looks: list[Look] = []
        for place, (image, fold) in enumerate(zip(self._images, self._folds, strict=True)):
            segmenter, prompt = asked[fold]
            looks.append(look(segmenter, image, prompt, LOWEST))
            self._tell(TeachProgress("measuring", place + 1, len(self._images)))
        return looks

    def _second_look(self, looks: Sequence[Look]) -> tuple[CloseUps | None, list[Look]]:
        """Drop what repeats a better finding, and what is unlike the objects of other images."""
        answers = [told_once(each.presence, [(f.score, f.rle) for f in each.findings]) for each in looks]
        close_ups, (checked,) = checked_closely(self._segmenter, self._images, [answers], LAX, soft=False)
        return close_ups, [look_of(i, a.presence, a.found) for i, a in zip(self._images, checked, strict=True)]

    def _asked(self, part: dict[str, Tensor], reader: str) -> tuple[Sam3, ConceptPrompt]:
        """A model with these changes, and the prompt that asks it for the class."""
        tensors = {name: value.half() for name, value in part.items() if name != TOKENS}
        if self._recipe.always_on:
            return _merged(self._segmenter, tensors), ConceptPrompt(self._own[0])
        concept = Concept(self._name, self._phrase, ExemplarTokens.of(part[TOKENS].numpy(), reader))
        adapter = Adapter(AdapterManifest(self._name, (), False, self._base, "", reader), tensors, concept)
        gate = Gate(self._segmenter.network, [adapter])
        return self._segmenter.changed(gate=gate), ConceptPrompt(self._phrase, (), concept)

    def _others_measured(self, tensors: dict[str, Tensor]) -> Words:
        """Other words before and after, on these images and on scenes with a known truth."""
        after, count = _merged(self._segmenter, tensors), self._recipe.scenes
        told = partial(_told, self._tell, "measuring other words", 2 * count)
        old = scene_counts(self._segmenter, count, tell=told)
        new = scene_counts(after, count, tell=lambda done: told(count + done))
        assert self._said is not None  # replayed
        return word_figures(self._said, self._survey(after), self._images, (old, new))

    def _others_compared(self, adapter: Adapter) -> Words:
        """Whether other words answer as before, bit for bit."""
        after = self._segmenter.changed(gate=Gate(self._segmenter.network, [adapter]))
        prompts = [ConceptPrompt(word) for word in other_words(CHECKED_WORDS, self._own)]
        features = [self._segmenter.encode(image.pixels) for image in self._images[:CHECKED]]
        same = all(self._segmenter.detect(each, prompts) == after.detect(each, prompts) for each in features)
        return Words(len(prompts), len(features), identical=same)

    def _adapter(
        self,
        tensors: dict[str, Tensor],
        tokens: Tensor | None,
        shift: float,
        looks: list[Look],
        close_ups: CloseUps | None,
    ) -> Adapter:
        fingerprint = adapter_fingerprint(self._base, tensors)
        notes = (_recipe_words(self._images, self._recipe),)
        manifest = AdapterManifest(
            self._name,
            self._own,
            self._recipe.always_on,
            self._base,
            self._segmenter.info.name,
            fingerprint,
            shift,
            notes,
        )
        if tokens is None:
            return Adapter(manifest, tensors, None)
        kept = ExemplarTokens.of(tokens.numpy(), fingerprint)
        examples = ExemplarTokens.of(self._examples[:MOST_EXAMPLES], fingerprint)
        found, false, missed, absent, refused, _ = own_counts(looks, shift).sum(axis=0)
        estimate = ConceptEstimate(
            int(found), int(found + missed), int(false), 0, len(looks), self._recipe.steps.folds > 1, int(absent),
            int(refused),
        )  # fmt: skip
        concept = Concept(
            self._name, self._phrase, kept, tuple(_thumbnails(self._images)), examples, 0.5, estimate, notes,
            close_ups=close_ups,
        )  # fmt: skip
        return Adapter(manifest, tensors, concept)


def _merged(segmenter: Sam3, tensors: Mapping[str, Tensor]) -> Sam3:
    view = view_of(segmenter.network, {})
    merge(view, tensors)
    return segmenter.changed(view)


def labeled_view(
    seen: View, features: ImageFeatures, prefix: Tensor, image: int, fold: int, *, whole: bool
) -> LabeledView:
    """A view with everything that a step needs; finer levels only where masks are learned."""
    height, width = features.levels[0].shape[-2:]
    shapes = seen.shapes if seen.shapes is not None else np.zeros((0, 1, 1), bool)
    cells = [
        np.asarray(Image.fromarray(shape.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BOX))
        for shape in shapes
    ]
    # clones: what comes out of inference mode takes no part in a gradient
    levels = tuple(level.cpu().clone() for level in (features.levels if cells else features.levels[-1:]))
    boxes = torch.from_numpy(seen.boxes)  # pyright: ignore[reportUnknownMemberType]
    covered = torch.from_numpy(np.stack(cells) if cells else np.zeros((0, height, width), np.uint8))  # pyright: ignore[reportUnknownMemberType]
    return LabeledView(image, fold, whole, levels, prefix.cpu().clone(), boxes, covered)


def _best_shift(looks: Sequence[Look]) -> float:
    """The shift with the best F1 at THRESHOLD; one further from 0 must beat a nearer one by MARGIN."""
    best, figure = SHIFTS[0], f1(own_counts(looks).sum(axis=0)) or 0.0
    for shift in SHIFTS[1:]:
        found = f1(own_counts(looks, shift).sum(axis=0)) or 0.0
        if found >= figure + MARGIN:
            best, figure = shift, found
    return best


def _key(segmenter: Sam3, images: Sequence[TeachingImage], recipe: str) -> str:
    """A digest of everything that decides the result."""
    digest = hashlib.sha256(f"{base_fingerprint(segmenter.network)}{segmenter.info.dtype}{recipe}".encode())
    for image in images:
        digest.update(image.digest)
    return digest.hexdigest()


def _thumbnails(images: Sequence[TeachingImage]) -> list[bytes]:
    shown = [(image.pixels, rle) for image in images for rle in image.objects][:MOST_THUMBNAILS]
    return [thumbnail(pixels, masks.box(rle)) for pixels, rle in shown]


def _told(tell: Callable[[TeachProgress], None], doing: str, of: int, done: int) -> None:
    tell(TeachProgress(doing, done, of))


def _recipe_words(images: Sequence[TeachingImage], recipe: FinetuneOptions) -> str:
    having, steps = sum(bool(image.objects) for image in images), recipe.steps
    return (
        f"fine-tuned from {having} images with it and {len(images) - having} without: rank {steps.rank * steps.folds},"
        f" {steps.folds} x {steps.steps} steps, seed {steps.seed}"
    )
