"""Gate of adapters: a prompt of an adapter's own words goes through its network, every other through the base."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from transformers import Sam3Model

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.adapters.adapter import Adapter, base_fingerprint, read_adapter
from sam3_agent.model.adapters.low_rank import merge, view_of
from sam3_agent.model.text_prompts import clean
from sam3_agent.types import Concept, ConceptPrompt

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A network with the changes of one adapter; all but them are the base's own tensors."""

    network: Sam3Model
    shift: float
    """Added to the object logits."""


class Gate:
    """The gated adapters of a model. The tokens of a prompt say whose they are, and so which network reads them."""

    def __init__(self, model: Sam3Model, adapters: Sequence[Adapter] = ()) -> None:
        """Of adapters that answer to one word the last does."""
        self.networks: dict[str, Adapted] = {}
        """By fingerprint of the adapter."""
        self._words: dict[str, Concept] = {}
        for adapter in adapters:
            if adapter.concept is None:
                continue
            held = {name: value.to(model.device, torch.float32) for name, value in adapter.tensors.items()}
            self.networks[adapter.manifest.fingerprint] = Adapted(view_of(model, held), adapter.manifest.shift)
            for word in adapter.manifest.words:
                if word in self._words:
                    logger.warning("two adapters answer to '%s': the last one given does", word)
                self._words[word] = adapter.concept
        self.words = tuple(word for adapter in adapters for word in adapter.manifest.words)
        self.concepts = tuple(adapter.concept for adapter in adapters if adapter.concept is not None)

    @classmethod
    def load(cls, model: Sam3Model, folders: Sequence[Path]) -> Self:
        """Read adapters of a model: gated ones run beside it, one that is always on is merged into it.

        Those that are gated change the model as it was before the merge, as they were trained.

        Raises:
            ModelUnavailable: one cannot be read or belongs to other weights, or two are always on.
        """
        base = base_fingerprint(model) if folders else ""
        adapters = [read_adapter(folder, model, base) for folder in folders]
        always = [adapter for adapter in adapters if adapter.manifest.always_on]
        if len(always) > 1:
            named = ", ".join(f"'{adapter.manifest.name}'" for adapter in always)
            raise ModelUnavailable(f"{named} are always on, and what they do together was never measured: give one")
        gate = cls(model, adapters)
        for adapter in always:
            merge(model, adapter.tensors)
        return gate

    def named(self, prompt: ConceptPrompt) -> ConceptPrompt:
        """The prompt as it is, or that of the adapter whose word its phrase is."""
        if not self._words or prompt.learned is not None or prompt.phrase is None:
            return prompt
        concept = self._words.get(clean(prompt.phrase))
        return prompt if concept is None else replace(prompt, phrase=concept.phrase, learned=concept)
