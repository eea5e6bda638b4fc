"""Judges of labels that say what they are told to, in a test's own process or behind an API."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.llm.base import LLM, Message, Reply, ToolCall
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_runs import knowing_segmenter, ontology

COUNT = 6
ANIMALS = "classes: [{name: animal, phrases: [animal, fish, bird, cat]}, {name: vehicle}, {name: zebra}]"
PRICE = 0.01

Says = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""Judge's answer to {mask number: class}: the arguments of its call."""


def asked_in(words: str) -> dict[str, str]:
    """Mask number -> class, of what a judge was asked."""
    return dict(re.findall(r'^  (m\d+) "([^"]+)"', words, re.MULTILINE))


def all_right(asked: Mapping[str, str]) -> dict[str, Any]:
    return {"right": list(asked)}


class Seeing:
    """An LLM that looks, for a cent a reply; it keeps what it was shown."""

    name = "seeing"
    sees = True

    def __init__(self, says: Says = all_right) -> None:
        self.says = says
        self.seen: list[Message] = []

    def reply(self, messages: Sequence[Message], tools: Sequence[Any]) -> Reply:
        assert [tool.name for tool in tools] == ["verify_labels"]
        self.seen.append(messages[-1])
        call = ToolCall("v", "verify_labels", dict(self.says(asked_in(messages[-1].text))))
        return Reply(Message("assistant", calls=(call,)), usd=PRICE)


def judged(
    images: Path, out: Path, loaded_llm: LLM | None, concepts: str = ANIMALS, budget: float | None = None
) -> Journal:
    """Label a folder with a judge (or by the rule), whatever way it ends."""
    journal = Journal.create(out)
    proposer = Proposer(
        Workspace(knowing_segmenter(COUNT)),
        ontology(concepts),
        None,
        "never",
        judge=loaded_llm and (lambda: loaded_llm),
    )
    label_images(Order(images, budget_usd=budget), journal, ThreadExecutor(proposer))
    return journal
