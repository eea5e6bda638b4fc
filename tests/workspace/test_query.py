"""Question as it is put to a prompt."""

from dataclasses import replace

import numpy as np

from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.types import Concept, ConceptPrompt, ExemplarTokens
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.query import ONCE, Question

LEARNED = ConceptPrompt(None, (), Concept("gear", None, ExemplarTokens(bytes(4), 1, 1, "w")))


def test_each_object_of_a_learned_concept_is_told_once() -> None:
    question = Question(suppression=Suppression(1.0, 0.9))
    assert question.put_to(LEARNED).suppression == Suppression(ONCE, 0.9)
    assert Question(suppression=Suppression(0.5)).put_to(LEARNED).suppression == Suppression(0.5)
    assert question.put_to(ConceptPrompt("gear")) == question


class _WithAdapter(FakeSegmenter):
    """Fake that brings the concept of an adapter for "gear" along."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        assert LEARNED.learned is not None
        return (LEARNED.learned,)

    def named(self, prompt: ConceptPrompt) -> ConceptPrompt:
        return replace(prompt, learned=LEARNED.learned) if prompt.phrase == "gear" else prompt


def test_a_phrase_of_an_adapter_is_answered_as_its_concept_and_keeps_its_name() -> None:
    masks = [np.zeros((40, 40), bool) for _ in range(2)]
    masks[0][4:24, 4:24] = masks[1][5:24, 4:24] = True
    answers = {"gear": detection(masks, [0.9, 0.8]), "key": detection(masks, [0.9, 0.8])}
    workspace = Workspace(_WithAdapter(lambda image: answers))
    image = workspace.open(np.full((40, 40, 3), 80, np.uint8))
    gear, key = workspace.segment(image.id, ["gear", "key"], tiles="never")
    assert [len(each.instances) for each in (gear, key)] == [1, 2]
    assert gear.prompt.label == "gear"
