"""How to make a proposer, in plain values: so that it can be made in another process, or on another machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology
from sam3_agent.labeling.pipeline.proposer import Inquiry, Proposer, read_mask
from sam3_agent.llm.base import load_llm
from sam3_agent.masks import Rle
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Recipe:
    """An eye, a brain, and what they are asked; call it for a new proposer."""

    inquiry: Inquiry
    llm: str = ""
    """The spec of the brain; "" where neither a query nor the judge needs one."""
    model: str = "tiny"
    device: str = "auto"
    dtype: str = "auto"
    pictures: Mapping[Path, bytes] = field(default_factory=dict[Path, bytes])

    def __call__(self) -> Proposer:
        """Load the brain and the eye.

        Raises:
            ModelUnavailable: the eye cannot be loaded.
            LLMConfigError: the brain cannot.
        """
        from sam3_agent.model.replicas import load_eye  # imports torch

        brain = load_llm(self.llm) if self.llm else None
        workspace = Workspace(load_eye(self.model, device=self.device, dtype=self.dtype))
        load = None if brain is None else lambda: brain
        judge = load if self.inquiry.judged else None
        ontology, tiles = self.inquiry.ontology, self.inquiry.tiles
        return Proposer(workspace, ontology, load, tiles, judge=judge, pictures=self.pictures)


def portable(recipe: Recipe) -> Recipe:
    """The recipe with the pictures and masks of its exemplars, which another machine does not have.

    Raises:
        InputError: one of them cannot be read.
    """
    pictures = {
        source.image: _contents(source.image) for each in recipe.inquiry.ontology.classes for source in each.exemplars
    }
    classes = tuple(_with_masks(each) for each in recipe.inquiry.ontology.classes)
    return replace(recipe, inquiry=replace(recipe.inquiry, ontology=Ontology(classes)), pictures=pictures)


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
