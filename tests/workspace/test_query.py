"""Question as it is put to a prompt."""

from sam3_agent.types import Concept, ConceptPrompt, ExemplarTokens
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.query import ONCE, Question

LEARNED = ConceptPrompt(None, (), Concept("gear", None, ExemplarTokens(bytes(4), 1, 1, "w")))


def test_each_object_of_a_learned_concept_is_told_once() -> None:
    question = Question(suppression=Suppression(1.0, 0.9))
    assert question.put_to(LEARNED).suppression == Suppression(ONCE, 0.9)
    assert Question(suppression=Suppression(0.5)).put_to(LEARNED).suppression == Suppression(0.5)
    assert question.put_to(ConceptPrompt("gear")) == question
