"""A label: one mask of one class on one image, with everything that is known about how it came to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sam3_agent.labeling.ontology.ontology import AttributeValue
from sam3_agent.masks import Box, Rle

Route = Literal["accepted", "review", "rejected"]
ROUTES: tuple[Route, ...] = ("accepted", "review", "rejected")
Verdict = Literal["right", "unsure", "wrong"]
Relation = Literal["same", "part", "whole", "group"]
Source = Literal["phrase", "exemplar", "query", "imported", "human"]


@dataclass(frozen=True, slots=True)
class Support:
    """A phrase of the class that found this object too, and how well."""

    phrase: str
    score: float
    relation: Relation = "same"
    """What its mask is to the label's: the same object, a part of it, a whole around it, or a group of such objects."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against a label."""

    asked: int = 1
    """Phrases of the class that were asked."""
    supports: tuple[Support, ...] = ()
    """Every proposal that this label stands for, its own first."""
    rival: str = ""
    """The negative or other class that scores best on the same pixels."""
    rival_score: float = 0.0
    outcome: str = ""
    """How the agent's run ended, for a label of a query."""
    note: str = ""
    """What a judge or a reader of files has to say."""
    judged: Verdict | Literal[""] = ""
    """What a language model that looked at the mask says; "" where none did."""
    judge: str = ""
    """Which one."""
    doubtful: str = ""
    """Of a query's label: the class that the query speaks of and that is in most doubt on this image."""
    doubt: float = 0.0
    """How much, 0-1."""

    @property
    def agreement(self) -> float:
        """Share of the class's phrases that found the very object, 0-1."""
        same = {s.phrase for s in self.supports if s.relation == "same"}
        return len(same) / max(self.asked, 1)

    @property
    def doubled(self) -> float:
        """The best score of a second find by one phrase: a thing that the model draws twice is often none."""
        finds: dict[str, list[float]] = {}
        for support in self.supports:
            finds.setdefault(support.phrase, []).append(support.score)
        return max((sorted(scores)[-2] for scores in finds.values() if len(scores) > 1), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "asked": self.asked,
            "supports": [[s.phrase, round(s.score, 4), s.relation] for s in self.supports],
            "rival": self.rival,
            "rival_score": round(self.rival_score, 4),
            "outcome": self.outcome,
            "note": self.note,
            **({"judged": self.judged, "judge": self.judge} if self.judged else {}),
            **({"doubtful": self.doubtful, "doubt": self.doubt} if self.doubtful else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Evidence":
        """What `to_json` gave."""
        supports = tuple(Support(phrase, score, relation) for phrase, score, relation in value["supports"])
        return cls(
            value["asked"],
            supports,
            value["rival"],
            value["rival_score"],
            value["outcome"],
            value.get("note", ""),
            value.get("judged", ""),
            value.get("judge", ""),
            value.get("doubtful", ""),
            value.get("doubt", 0.0),
        )


@dataclass(frozen=True, slots=True)
class Label:
    """One label; before verification its verdict is "unsure" and its route "review"."""

    id: str
    sha: str
    """The image, by the SHA-256 of its file."""
    class_name: str
    rle: Rle
    box: Box
    score: float
    object_score: float
    presence: float
    source: Source
    phrase: str
    """What found it best: a phrase, "@name" for exemplars, or the query."""
    evidence: Evidence = field(default_factory=Evidence)
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    quality: float = 0.0
    """What the rule makes of the evidence, 0-1; the thresholds are for this number."""
    verdict: Verdict = "unsure"
    reason: str = ""
    route: Route = "review"
    reviewer: str = ""
    """Who decided last; "" while no person has."""
    proposed_class: str = ""
    """What it was proposed as, where a person gave it another class."""
    model: str = ""
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a class is labeled exhaustively on an image, as far as can be told."""

    sha: str
    class_name: str
    presence: float
    """The strongest belief of any phrase of the class that it is there."""
    verdict: Verdict
    reason: str
    route: Route
    reviewer: str = ""
