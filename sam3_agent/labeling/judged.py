"""Labels and checks with what a judge said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sam3_agent.labeling.ontology.ontology import Strictness
from sam3_agent.labeling.store.label import Check, Label
from sam3_agent.labeling.verify.judge import Judgement, Question
from sam3_agent.labeling.verify.score_rule import ABSENT, AGENT, COMPLETE, JUDGE, verified


def with_judgement(
    labels: Sequence[Label], question: Question, judgement: Judgement, name: str, strict: Mapping[str, Strictness]
) -> list[Label]:
    """All labels of an image, those of the question routed anew by the judgement and with their share of its price.

    Where there is no answer, every label that was asked about is for a person to see.
    """
    asked = {label.id for label in question.labels}
    share = round(judgement.usd / len(asked), 6) if asked else 0.0
    done: list[Label] = []
    for label in labels:
        if label.id not in asked:
            done.append(label)
            continue
        unsaid = f"was not heard ({judgement.unheard})" if judgement.unheard else "says nothing about it"
        verdict, said = judgement.verdicts.get(label.id, ("unsure", unsaid))
        evidence = replace(label.evidence, judged=verdict, note=said, judge=name)
        seen = replace(label, evidence=evidence, usd=round(label.usd + share, 6))
        done.append(verified(seen, strict[label.class_name]))
    return done


def with_completeness(
    checks: Sequence[Check], question: Question, judgement: Judgement, labels: Sequence[Label]
) -> list[Check]:
    """All checks of an image, those of the question's classes by what the judge says is missing."""
    asked = {each.name for each in question.classes}
    alive = {label.class_name for label in (*labels, *question.known) if label.route != "rejected"}
    done: list[Check] = []
    for check in checks:
        if check.class_name not in asked or check.reason.startswith(AGENT):
            done.append(check)
        elif judgement.unheard or check.class_name in judgement.missing:
            missed = f"missing: {judgement.missing.get(check.class_name)}"
            reason = f"{JUDGE} {f'was not heard ({judgement.unheard})' if judgement.unheard else f'says {missed}'}"
            done.append(replace(check, verdict="unsure", route="review", reason=reason))
        else:
            reason = COMPLETE if check.class_name in alive else ABSENT
            done.append(replace(check, verdict="right", route="accepted", reason=reason))
    return done
