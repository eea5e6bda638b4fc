"""Labels: one mask of one class on one image each, with everything that is known about how it came to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sam3_agent.labeling.ontology.ontology import AttributeValue
from sam3_agent.masks import Box, Rle

Route = Literal["accepted", "review", "rejected"]
ROUTES: tuple[Route, ...] = ("accepted", "review", "rejected")
Verdict = Literal["right", "unsure", "wrong"]
Relation = Literal["same", "part", "whole", "group"]
Source = Literal["phrase", "exemplar", "taught", "query", "imported", "human", "similar"]
"""Origin of a label: the run asks phrases, exemplars, queries and what decisions taught, whose version is the label's
phrase ("@gear.v2"); "similar" is a person's "more like this"."""
DecidedBy = Literal["rule", "judge", "agent", "file", "person", "people"]
"""Decider of the route: the score rule, the language model that looked, a query that was not answered, an
imported file, a reviewer, or two who disagree. Machines never change what a file or a person decided."""
Completeness = Literal["", "complete", "absent", "missing", "unknown"]
"""Verdict of the judge about a class on an image; "" where none looked, "unknown" where it gave no answer."""
IMPORT = "import"
"""The reviewer of labels that came from files."""


@dataclass(frozen=True, slots=True)
class Support:
    """Phrase of the class that found this object too, and how well."""

    phrase: str
    score: float
    relation: Relation = "same"
    """Relation of its mask to the label's: the same object, a part of it, a whole around it, a group of such."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts for and against a label."""

    asked: int = 1
    """Phrases of the class that were asked."""
    supports: tuple[Support, ...] = ()
    """Every proposal that this label stands for, its own first."""
    competing_label: str = ""
    """The negative or other class that scores best on the same pixels."""
    competing_score: float = 0.0
    outcome: str = ""
    """End of the agent's run, for a label of a query."""
    note: str = ""
    """Remark of a judge or a reader of files."""
    judged: Verdict | Literal[""] = ""
    """Verdict of the language model that looked at the mask; "" where none did."""
    judge: str = ""
    """Name of that model."""
    uncertain_class: str = ""
    """Of a query's label: the class that the query speaks of and that is least certain on this image."""
    uncertainty: float = 0.0
    """Of that class, 0-1."""

    @property
    def agreement(self) -> float:
        """Compute the share of the class's phrases that found the very object, 0-1."""
        same = {s.phrase for s in self.supports if s.relation == "same"}
        return len(same) / max(self.asked, 1)

    @property
    def duplicate_score(self) -> float:
        """Find the best score of a second detection by one phrase: what the model draws twice is often no object."""
        scores_of: dict[str, list[float]] = {}
        for support in self.supports:
            scores_of.setdefault(support.phrase, []).append(support.score)
        return max((sorted(scores)[-2] for scores in scores_of.values() if len(scores) > 1), default=0.0)


@dataclass(frozen=True, slots=True)
class Label:
    """Label of one object; before verification its verdict is "unsure" and its route "review"."""

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
    """Best source: a phrase, "@name" for exemplars, or the query."""
    evidence: Evidence = field(default_factory=Evidence)
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    quality: float = 0.0
    """Score lowered by the evidence, 0-1; the thresholds are for this number."""
    verdict: Verdict = "unsure"
    reason: str = ""
    """Explanation of the route for people; nothing is decided by its words."""
    route: Route = "review"
    decided_by: DecidedBy = "rule"
    reviewer: str = ""
    """Name of the person who decided last, IMPORT for a file; "" where a machine did."""
    repeats: str = ""
    """Id of the file's or person's label that this one says again; it is rejected for that."""
    proposed_class: str = ""
    """Class before a person gave it another one."""
    model: str = ""
    usd: float = 0.0

    @property
    def is_settled(self) -> bool:
        """Tell whether a file or a person decided, which machines leave as it is."""
        return self.decided_by in ("file", "person", "people")


@dataclass(frozen=True, slots=True)
class Check:
    """Exhaustiveness of one class on one image, as far as can be told."""

    sha: str
    class_name: str
    presence: float
    """The strongest belief of any phrase of the class that it is there."""
    verdict: Verdict
    reason: str
    """Explanation of the route for people; nothing is decided by its words."""
    route: Route
    reviewer: str = ""
    decided_by: DecidedBy = "rule"
    completeness: Completeness = ""
