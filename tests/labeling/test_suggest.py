"""A language model drafts synonyms and hard negatives; the user's file stays as it is."""

from pathlib import Path

import pytest
import yaml

from sam3_agent.errors import InputError, LLMError
from sam3_agent.labeling.ontology.suggest import MOST_EACH, Draft, suggest
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import ScriptedLLM

TEXT = """
# what we label
accept: 0.8
classes:
  - name: fruit
    phrases: [apple, fruit]
    negatives: [ball]
    attributes: {origin: market}
  - name: lorry
  - {name: spoils, query: what would spoil in heat}
"""
FILE = Path("concepts.yaml")


def call(*suggested: tuple[str, str, str]) -> ToolCall:
    names, kinds, words = zip(*suggested, strict=True) if suggested else ((), (), ())
    return ToolCall("s", "suggest_words", {"classes": list(names), "kinds": list(kinds), "words": list(words)})


def drafted(*suggested: tuple[str, str, str]) -> Draft:
    return suggest(ScriptedLLM(call(*suggested)), TEXT, FILE)


def test_what_is_suggested_is_added_and_nothing_else_changes() -> None:
    draft = drafted(("fruit", "phrase", "Ripe  Pear"), ("Lorry", "negative", "bus"), ("lorry", "phrase", "truck"))
    old, new = yaml.safe_load(TEXT), yaml.safe_load(draft.text)
    assert new["classes"][0].pop("phrases") == ["apple", "fruit", "ripe pear"]
    assert new["classes"][1] == {"name": "lorry", "negatives": ["bus"], "phrases": ["lorry", "truck"]}
    old["classes"][0].pop("phrases")
    assert [new["classes"][0], new["classes"][2]] == [old["classes"][0], old["classes"][2]]
    assert new["accept"] == 0.8
    assert "# suggested phrases of fruit: ripe pear\n" in draft.text
    assert parse_ontology(draft.text, FILE).named("lorry").negatives == ("bus",)


@pytest.mark.parametrize(
    ("suggestion", "why"),
    [
        (("fruit", "phrase", "Apple"), "a phrase of 'fruit' already"),
        (("lorry", "phrase", "apple"), "a phrase of 'fruit' already"),
        (("fruit", "phrase", "ball"), "a negative of it already"),
        (("fruit", "negative", "apple"), "a phrase of 'fruit' already"),
        (("spoils", "phrase", "milk"), "no such class or kind"),
        (("boat", "phrase", "ship"), "no such class or kind"),
        (("fruit", "synonym", "plum"), "no such class or kind"),
        (("fruit", "phrase", "anything that grows on a tree"), "no noun phrase"),
        (("fruit", "phrase", "@class-fruit"), "no noun phrase"),
        (("fruit", "phrase", "  "), "no noun phrase"),
    ],
)
def test_what_does_not_fit_is_left_out_and_said(suggestion: tuple[str, str, str], why: str) -> None:
    draft = drafted(suggestion, ("fruit", "negative", "lamp"))
    assert draft.added == {"fruit": {"negatives": ["lamp"]}}
    assert len(draft.dropped) == 1
    assert why in draft.dropped[0]


def test_a_phrase_of_another_class_may_be_a_negative_and_too_many_are_cut() -> None:
    draft = drafted(("lorry", "negative", "apple"), *(("fruit", "phrase", f"fruit {n}") for n in range(MOST_EACH + 2)))
    assert draft.added["lorry"] == {"negatives": ["apple"]}
    assert len(draft.added["fruit"]["phrases"]) == MOST_EACH
    assert len(draft.dropped) == 2


def test_nothing_new_is_said_and_no_answer_is_an_error() -> None:
    assert drafted().text.startswith("# nothing new was suggested\n")
    with pytest.raises(LLMError, match="suggests nothing: no call of suggest_words"):
        suggest(ScriptedLLM("apples!", "pears!"), TEXT, FILE)
    with pytest.raises(InputError, match="every class is found by a query"):
        suggest(ScriptedLLM(call()), "classes: [{name: x, query: the x}]", FILE)
    with pytest.raises(InputError, match=r"concepts\.yaml:1: classes\.0"):
        suggest(ScriptedLLM(call()), "classes: [{nam: x}]", FILE)
