"""Score rule: verdicts and routes of labels by their scores, and by what a judge said where one looked.

The quality of a label is its score, lowered where phrases of its class disagree, where a competing label (or a second
detection by the same phrase) comes close, and where a query speaks of a class that is uncertain on the image:
`score * (1 - 0.2 * (1 - agreement)) * min(1, 0.5 + (score - competing) / score) * (1 - 0.3 * uncertainty)`. The
constants and the default thresholds were chosen on procedural scenes, others than those that are measured
(docs/labeling.md). A class's thresholds on that scale say which labels are accepted, which a person sees and which are
rejected; they can be fitted to reviewed labels.

A judge looks only at what the rule does not reject. What it calls right is accepted; what it calls wrong is rejected,
or seen by a person where the rule would have accepted it; where it is unsure or gave no answer, a person sees it.

`decided_by` says who settled a route; reasons are for people, and nothing is decided by their words.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology, Thresholds, fold
from sam3_agent.labeling.store.detections import ImageDetections, asked_phrases
from sam3_agent.labeling.store.label import Check, DecidedBy, Evidence, Label, Route, Verdict

DISAGREEMENT = 0.2
"""The share of its score that a label loses when one phrase of very many found it: little, as synonyms that find
nothing are common. Chosen on the scenes of the constants."""
UNCERTAINTY = 0.3
"""The share of its score that a query's label loses where what the query speaks of is uncertain: enough that an answer
at 0.9 about a class at even odds waits for a person (0.63 under 0.75)."""
BELIEVED = 0.5
"""From this presence on, a class without a label may have been missed: SAM 3's presence is a probability."""
_VERDICTS: dict[Route, Verdict] = {"accepted": "right", "review": "unsure", "rejected": "wrong"}
Decision = tuple[Route, DecidedBy, str]
"""Route, who decided it, and the reason for people."""


def quality_of(label: Label) -> float:
    """Lower the score by the evidence; 0-1."""
    if label.score <= 0:
        return 0.0
    evidence = label.evidence
    agreed = 1 - DISAGREEMENT * (1 - min(evidence.agreement, 1.0))
    competing = max(evidence.competing_score, evidence.duplicate_score)
    margin = min(1.0, 0.5 + max(label.score - competing, 0.0) / label.score)
    return round(label.score * agreed * margin * (1 - UNCERTAINTY * evidence.uncertainty), 6)


def verified(label: Label, thresholds: Thresholds) -> Label:
    """Give a label its quality, verdict, reason and route; one that a person or a file decided stays as it is."""
    if label.is_settled or label.repeats:
        return label
    quality = quality_of(label)
    route, decided_by, reason = _route(label, quality, thresholds)
    if label.evidence.judged and route != "rejected":
        route, decided_by, reason = _judged(route, reason, label.evidence)
    verdict = _VERDICTS[route]
    return replace(label, quality=quality, verdict=verdict, reason=reason, route=route, decided_by=decided_by)


def _route(label: Label, quality: float, thresholds: Thresholds) -> Decision:
    evidence = label.evidence
    if label.score < thresholds.threshold:
        return "rejected", "rule", f"score {label.score:.2f} is under the threshold {thresholds.threshold:.2f}"
    if evidence.competing_score >= label.score:
        better = f"{evidence.competing_label} scores {evidence.competing_score:.2f} there, this {label.score:.2f}"
        return "rejected", "rule", better
    against = f", {evidence.competing_label} {evidence.competing_score:.2f}" if evidence.competing_label else ""
    # A faint second detection takes nothing from the quality (the margin is capped at 1), so it is not worth a word.
    against += f", found twice, {evidence.duplicate_score:.2f}" if evidence.duplicate_score > label.score / 2 else ""
    uncertain = f", {evidence.uncertain_class} is uncertain here {evidence.uncertainty:.2f}"
    against += uncertain if evidence.uncertain_class else ""
    found = len({s.phrase for s in evidence.supports if s.relation == "same"})
    said = f"quality {quality:.2f} (score {label.score:.2f}, {found} of {evidence.asked} phrases agree{against})"
    if quality < thresholds.review:
        return "rejected", "rule", f"{said} is under {thresholds.review:.2f}"
    if label.source == "query" and evidence.outcome not in ("answered", ""):
        return "review", "agent", f"the agent's run ended as {evidence.outcome!r}, so this is only its best so far"
    if quality < thresholds.accept:
        return "review", "rule", f"{said} is under {thresholds.accept:.2f}"
    return "accepted", "rule", said


def _judged(route: Route, reason: str, evidence: Evidence) -> Decision:
    """Let the judge's verdict stand over the rule's; where the two disagree, a person sees the label."""
    if evidence.judged == "right":
        return "accepted", "judge", f"the judge: right; {reason}"
    if evidence.judged == "wrong":
        reason = f"the judge: wrong, {evidence.note}; {reason}"
        return "review" if route == "accepted" else "rejected", "judge", reason
    return "review", "judge", f"the judge {evidence.note}; {reason}"


def checked(each: LabelClass, labels: Sequence[Label], detected: ImageDetections) -> Check:
    """Tell whether anything of a class may have been missed on an image; `labels` are those of the class."""
    phrases = [detected.by_phrase.get(fold(phrase)) for phrase in asked_phrases(each)]
    presence = round(max((s.presence for s in phrases if s is not None), default=0.0), 6)
    answer = detected.answers.get(each.name)
    if answer is not None and answer.outcome in ("failed", "budget"):
        reason = f"the agent's run ended as {answer.outcome!r}: {answer.reason}"
        return Check(detected.sha, each.name, presence, "unsure", reason, "review", decided_by="agent")
    if answer is not None and answer.outcome == "no_match":
        presence = 0.0
    return rechecked(Check(detected.sha, each.name, presence, "unsure", "", "review"), labels)


def rechecked(check: Check, labels: Sequence[Label]) -> Check:
    """Renew a check by the labels of its class as they are now.

    What a person or the agent's failure decided stays, and so does what the judge said, unless it called complete what
    has no label any more.
    """
    alive = sum(label.route != "rejected" or bool(label.repeats) for label in labels)
    if check.decided_by in ("person", "agent"):
        return check
    if check.decided_by == "judge" and not (check.completeness == "complete" and not alive):
        return check
    if alive:
        return _settled(check, "right", "accepted", f"{alive} labeled")
    if check.presence >= BELIEVED:
        reason = f"believed to be there (presence {check.presence:.2f}), but nothing is labeled"
        return _settled(check, "unsure", "review", reason)
    return _settled(check, "right", "accepted", "not there")


def _settled(check: Check, verdict: Verdict, route: Route, reason: str) -> Check:
    return replace(check, verdict=verdict, route=route, reason=reason, decided_by="rule", completeness="")


def verify_all(labels: Sequence[Label], thresholds: Mapping[str, Thresholds]) -> list[Label]:
    """Verify every label by the thresholds of its class."""
    return [
        verified(label, thresholds[label.class_name]) if label.class_name in thresholds else label for label in labels
    ]


def with_uncertainty(ontology: Ontology, labels: Sequence[Label]) -> list[Label]:
    """Note on the labels of queries how uncertain what they ask about is; gives all labels of the image.

    "The largest animal" speaks of the class with the phrase "animal": where that has a label that is neither surely
    right nor surely wrong (1 - |2 quality - 1|), the answer may be about the wrong one.
    """
    of_class: dict[str, float] = {}
    for label in labels:
        uncertainty = 1 - abs(2 * min(quality_of(label), 1.0) - 1)
        of_class[label.class_name] = max(of_class.get(label.class_name, 0.0), uncertainty)
    spoken_of = {each.name: _spoken_of(each, ontology) for each in ontology.classes if each.query}
    return [
        _with_uncertain_class(label, spoken_of[label.class_name], of_class) if label.source == "query" else label
        for label in labels
    ]


def _with_uncertain_class(label: Label, names: Sequence[str], of_class: Mapping[str, float]) -> Label:
    worst = max(names, key=lambda name: of_class.get(name, 0.0), default="")
    if not of_class.get(worst):
        return label
    evidence = replace(label.evidence, uncertain_class=worst, uncertainty=round(of_class[worst], 4))
    return replace(label, evidence=evidence)


def _spoken_of(each: LabelClass, ontology: Ontology) -> list[str]:
    """List the classes without a query of which a phrase, or its plural, stands in the query."""
    query = fold(each.query or "")
    return [
        other.name
        for other in ontology.classes
        if not other.query and any(re.search(rf"\b{re.escape(fold(p))}(s|es)?\b", query) for p in other.phrases)
    ]
