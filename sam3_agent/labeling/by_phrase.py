"""Answers by phrase, for tools that ask with names of their own labels."""

from collections.abc import Iterable, Mapping

from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace


def instances_by_phrase(
    workspace: Workspace, image_id: str, phrases: Iterable[str], threshold: float
) -> Mapping[str, tuple[Instance, ...]]:
    """Give what is found by each phrase, in one call to the model.

    Labels that differ only in case or spaces, such as "Car" and "car", are one phrase to it and share an answer.
    """
    wanted = {phrase: _key(phrase) for phrase in phrases}
    asked: dict[str, str] = {}
    for phrase, key in wanted.items():
        asked.setdefault(key, phrase)
    if not asked:
        return {}
    answers = workspace.segment(image_id, list(asked.values()), threshold=threshold)
    found = {key: answer.instances for key, answer in zip(asked, answers, strict=True)}
    return {phrase: found[key] for phrase, key in wanted.items()}


def _key(phrase: str) -> str:
    """A phrase as the workspace compares it; names of learned concepts differ by case."""
    words = " ".join(phrase.split())
    return words if words.startswith("@") else words.lower()
