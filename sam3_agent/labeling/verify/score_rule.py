"""Verification by a rule over scores, and by what a judge said where one looked.

The quality of a label is its score, lowered where phrases of its class disagree, where a rival (or a second find of
the same thing by the same phrase) comes close, and where a query speaks of a class that is in doubt on the image:
`score * (1 - 0.2 * (1 - agreement)) * min(1, 0.5 + (score - rival) / score) * (1 - 0.3 * doubt)`. The constants and
the default lines were chosen on procedural scenes, others than those that are measured. A class's lines on that scale
say who is accepted, who is seen by a person and who is rejected; they can be fitted to reviewed labels.

A judge looks only at what the rule does not reject. What it calls right is accepted; what it calls wrong is rejected,
or seen by a person where the rule would have accepted it; where it is unsure or was not heard, a person sees it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology, Strictness, fold
from sam3_agent.labeling.store.detections import ImageFinds, asked_phrases
from sam3_agent.labeling.store.label import Check, Evidence, Label, Route, Verdict

DISAGREEMENT = 0.2
"""The share of its score that a label loses when one phrase of very many found it."""
DOUBT = 0.3
"""The share of its score that a query's label loses where what the query speaks of is in doubt."""
BELIEVED = 0.5
"""From this presence on, a class without a label may have been missed."""
JUDGE = "the judge"
"""Reasons that begin so come from a language model that looked."""
COMPLETE = f"{JUDGE}: all of it is labeled"
ABSENT = f"{JUDGE}: not there"
REPEATS = "labeled already as "
"""The reason of labels that repeat what a file or a person labeled."""
AGENT = "the agent's"
"""Reasons of checks that begin so come from a query that was not answered; they stay until it is."""
_VERDICTS: dict[Route, Verdict] = {"accepted": "right", "review": "unsure", "rejected": "wrong"}


def quality_of(label: Label) -> float:
    """What the evidence makes of the score, 0-1."""
    if label.score <= 0:
        return 0.0
    evidence = label.evidence
    agreed = 1 - DISAGREEMENT * (1 - min(evidence.agreement, 1.0))
    rival = max(evidence.rival_score, evidence.doubled)
    margin = min(1.0, 0.5 + max(label.score - rival, 0.0) / label.score)
    return round(label.score * agreed * margin * (1 - DOUBT * evidence.doubt), 6)


def verified(label: Label, strict: Strictness) -> Label:
    """The label with its quality, verdict, reason and route; one that a person or a file decided stays as it is."""
    if label.reviewer or label.reason.startswith(REPEATS):
        return label
    quality = quality_of(label)
    route, reason = _route(label, quality, strict)
    if label.evidence.judged and route != "rejected":
        route, reason = _overruled(route, reason, label.evidence)
    return replace(label, quality=quality, verdict=_VERDICTS[route], reason=reason, route=route)


def _route(label: Label, quality: float, strict: Strictness) -> tuple[Route, str]:
    evidence = label.evidence
    if label.score < strict.threshold:
        return "rejected", f"score {label.score:.2f} is under the threshold {strict.threshold:.2f}"
    if evidence.rival_score >= label.score:
        return "rejected", f"{evidence.rival} scores {evidence.rival_score:.2f} there, this {label.score:.2f}"
    against = f", {evidence.rival} {evidence.rival_score:.2f}" if evidence.rival else ""
    against += f", found twice, {evidence.doubled:.2f}" if evidence.doubled > label.score / 2 else ""
    against += f", {evidence.doubtful} in doubt here {evidence.doubt:.2f}" if evidence.doubtful else ""
    found = len({s.phrase for s in evidence.supports if s.relation == "same"})
    said = f"quality {quality:.2f} (score {label.score:.2f}, {found} of {evidence.asked} phrases agree{against})"
    if quality < strict.review:
        return "rejected", f"{said} is under {strict.review:.2f}"
    if label.source == "query" and evidence.outcome not in ("answered", ""):
        return "review", f"{AGENT} run ended as {evidence.outcome!r}, so this is only its best so far"
    if quality < strict.accept:
        return "review", f"{said} is under {strict.accept:.2f}"
    return "accepted", said


def _overruled(route: Route, reason: str, evidence: Evidence) -> tuple[Route, str]:
    """The judge's word over the rule's."""
    if evidence.judged == "right":
        return "accepted", f"{JUDGE}: right; {reason}"
    if evidence.judged == "wrong":
        return "review" if route == "accepted" else "rejected", f"{JUDGE}: wrong, {evidence.note}; {reason}"
    return "review", f"{JUDGE} {evidence.note}; {reason}"


def checked(each: LabelClass, labels: Sequence[Label], finds: ImageFinds) -> Check:
    """Whether anything of a class may have been missed on an image; `labels` are those of the class."""
    phrases = [finds.sightings.get(fold(phrase)) for phrase in asked_phrases(each)]
    presence = round(max((s.presence for s in phrases if s is not None), default=0.0), 6)
    answer = finds.answers.get(each.name)
    if answer is not None and answer.outcome in ("failed", "budget"):
        reason = f"{AGENT} run ended as {answer.outcome!r}: {answer.reason}"
        return Check(finds.sha, each.name, presence, "unsure", reason, "review")
    if answer is not None and answer.outcome == "no_match":
        presence = 0.0
    return rechecked(Check(finds.sha, each.name, presence, "unsure", "", "review"), labels)


def rechecked(check: Check, labels: Sequence[Label]) -> Check:
    """The check by the labels of its class as they are now; what a person or the agent's failure decided stays."""
    alive = sum(label.route != "rejected" or label.reason.startswith(REPEATS) for label in labels)
    if check.reviewer or check.reason.startswith(AGENT):
        return check
    if check.reason.startswith(JUDGE) and not (check.reason == COMPLETE and not alive):
        return check
    if alive:
        return replace(check, verdict="right", route="accepted", reason=f"{alive} labeled")
    if check.presence >= BELIEVED:
        reason = f"believed to be there (presence {check.presence:.2f}), but nothing is labeled"
        return replace(check, verdict="unsure", route="review", reason=reason)
    return replace(check, verdict="right", route="accepted", reason="not there")


def verify_all(labels: Sequence[Label], strict: Mapping[str, Strictness]) -> list[Label]:
    """Every label by the lines of its class."""
    return [verified(label, strict[label.class_name]) if label.class_name in strict else label for label in labels]


def with_doubts(ontology: Ontology, labels: Sequence[Label]) -> list[Label]:
    """All labels of an image, those of queries with the doubt in what they ask about.

    "The largest animal" speaks of the class with the phrase "animal": where that has a label that is neither surely
    right nor surely wrong (1 - |2 quality - 1|), the answer may be about the wrong one.
    """
    doubts: dict[str, float] = {}
    for label in labels:
        doubt = 1 - abs(2 * min(quality_of(label), 1.0) - 1)
        doubts[label.class_name] = max(doubts.get(label.class_name, 0.0), doubt)
    spoken_of = {each.name: _spoken_of(each, ontology) for each in ontology.classes if each.query}
    return [
        _doubted(label, spoken_of[label.class_name], doubts) if label.source == "query" else label for label in labels
    ]


def _doubted(label: Label, names: Sequence[str], doubts: Mapping[str, float]) -> Label:
    worst = max(names, key=lambda name: doubts.get(name, 0.0), default="")
    if not doubts.get(worst):
        return label
    return replace(label, evidence=replace(label.evidence, doubtful=worst, doubt=round(doubts[worst], 4)))


def _spoken_of(each: LabelClass, ontology: Ontology) -> list[str]:
    """The classes without a query of which a phrase, or its plural, stands in the query."""
    query = fold(each.query or "")
    return [
        other.name
        for other in ontology.classes
        if not other.query and any(re.search(rf"\b{re.escape(fold(p))}(s|es)?\b", query) for p in other.phrases)
    ]
