"""Drafts of phrases and negatives for a concept file: a language model suggests, the file's rules decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from sam3_agent.errors import InputError, LLMError
from sam3_agent.formats.yaml_document import dump_yaml, load_yaml
from sam3_agent.labeling.ontology.ontology import Ontology, fold
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.llm.base import LLM, Message, Reply
from sam3_agent.loop.judge import force_call
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec

MOST_EACH = 8
"""Phrases, and negatives, that are added to one class."""
MOST_WORDS = 5


class SuggestWords(BaseModel):
    """Suggest phrases that find classes, and negatives that they must not be mistaken for."""

    model_config = ConfigDict(extra="forbid")

    classes: Annotated[
        Sequence[str], Field(description="For each suggestion the name of its class, as it was given.")
    ] = ()
    kinds: Annotated[
        Sequence[str], Field(description="For each suggestion, in the same order: 'phrase' or 'negative'.")
    ] = ()
    words: Annotated[Sequence[str], Field(description="Each suggestion, in the same order: a noun phrase.")] = ()


SUGGEST = ToolSpec.from_model("suggest_words", SuggestWords)


@dataclass(frozen=True, slots=True)
class Draft:
    """Concept file with suggestions in it."""

    text: str
    """YAML."""
    added: dict[str, dict[str, list[str]]]
    """Class -> "phrases" and "negatives" that are new."""
    dropped: tuple[str, ...] = ()
    """Suggestions that do not fit, with why."""
    usd: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Give it in plain values."""
        return {"yaml": self.text, "added": self.added, "dropped": list(self.dropped), "usd": self.usd}


@dataclass(slots=True)
class _Accumulator:
    """Replies of an LLM, with their sum of dollars."""

    llm: LLM
    usd: float = 0.0
    dropped: list[str] = field(default_factory=list[str])

    def ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Ask the LLM, and count what the reply cost."""
        reply = self.llm.reply(messages, tools)
        self.usd += reply.usd
        return reply


def suggest(llm: LLM, text: str, path: Path, pictures: Sequence[Picture] = ()) -> Draft:
    """Draft a new concept file out of the text of an old one; what was in it stays, what does not fit is left out.

    Raises:
        InputError: the old one is not usable, or every class of it has a query.
        LLMError: the LLM gives no usable answer.
    """
    ontology = parse_ontology(text, path)
    if all(each.query for each in ontology.classes):
        raise InputError(f"{path}: every class is found by a query; there are no phrases to suggest")
    tally = _Accumulator(llm)
    system = Message("system", read_prompt("suggest_words").text)
    answer = force_call(tally.ask, (system, Message("user", _words(ontology), tuple(pictures))), SUGGEST)
    if isinstance(answer, str):
        raise LLMError(f"{llm.name} suggests nothing: {answer}")
    added = _fitting(ontology, answer.model_dump(), tally.dropped)
    draft = _drafted(text, ontology, added)
    parse_ontology(draft, path)
    return Draft(draft, added, tuple(tally.dropped), round(tally.usd, 6))


def _words(ontology: Ontology) -> str:
    lines = ["classes:"]
    for each in ontology.classes:
        lines.append(f"- {each.name}" + (f" (found by a query: {each.query})" if each.query else ""))
        lines.append(f"  phrases: {', '.join(each.phrases) or 'none yet'}")
        lines.append(f"  negatives: {', '.join(each.negatives) or 'none yet'}")
    return "\n".join(lines)


def _fitting(ontology: Ontology, given: dict[str, Any], dropped: list[str]) -> dict[str, dict[str, list[str]]]:
    """Keep the suggestions that fit the ontology; the others go to `dropped`, with why."""
    names = {fold(each.name): each.name for each in ontology.classes if not each.query}
    owner = {fold(phrase): each.name for each in ontology.classes for phrase in each.phrases}
    against = {each.name: {fold(phrase) for phrase in each.negatives} for each in ontology.classes}
    added: dict[str, dict[str, list[str]]] = {}
    for class_name, kind, words in zip(given["classes"], given["kinds"], given["words"], strict=False):
        phrase, name = fold(str(words)), names.get(fold(str(class_name)))
        key = {"phrase": "phrases", "negative": "negatives"}.get(fold(str(kind)).rstrip("s"))
        said = f"{phrase!r} as {kind} of {class_name!r}"
        if name is None or key is None:
            dropped.append(f"{said}: no such class or kind")
        elif not phrase or phrase.startswith("@") or len(phrase.split()) > MOST_WORDS or not phrase.isprintable():
            dropped.append(f"{said}: no noun phrase of at most {MOST_WORDS} words")
        elif len(added.get(name, {}).get(key, ())) >= MOST_EACH:
            dropped.append(f"{said}: more than {MOST_EACH}")
        elif (key == "phrases" and phrase in owner) or (key == "negatives" and owner.get(phrase) == name):
            dropped.append(f"{said}: a phrase of {owner[phrase]!r} already")
        elif phrase in against[name]:
            dropped.append(f"{said}: a negative of it already")
        else:
            added.setdefault(name, {}).setdefault(key, []).append(phrase)
            if key == "phrases":
                owner[phrase] = name
            else:
                against[name].add(phrase)
    return added


def _drafted(text: str, ontology: Ontology, added: dict[str, dict[str, list[str]]]) -> str:
    """Write the old document with the suggestions; comments at its top tell them apart, as YAML forgets its own."""
    document = cast(dict[str, Any], load_yaml(text))
    for each, entry in zip(ontology.classes, cast(list[dict[str, Any]], document["classes"]), strict=True):
        for key, words in added.get(each.name, {}).items():
            old = list(each.phrases) if key == "phrases" else list(each.negatives)
            entry[key] = [*(entry.get(key) or old), *words]
    lines = [
        f"# suggested {key} of {name}: {', '.join(words)}\n"
        for name, keys in added.items()
        for key, words in keys.items()
    ]
    head = "".join(lines) or "# nothing new was suggested\n"
    return head + dump_yaml(document, width=100)
