"""What follows from a tool call that worked: the run ends, goes on with an objection, or knows more."""

from sam3_agent.loop.judge import MOST_JUDGED, Judge, Listen
from sam3_agent.loop.run import Run
from sam3_agent.loop.verdict import Verdict
from sam3_agent.tools import Presentation


def settle(run: Run, tool: str, presentation: Presentation, judge: Judge, listen: Listen) -> Presentation:
    """Draw the consequence, and return what the brain reads of the call."""
    data = presentation.data
    if tool == "submit_answer":
        return _submitted(run, presentation, judge, listen)
    if tool == "report_no_match":
        return _none_reported(run, presentation, judge, listen)
    run.learn(data)
    return presentation


def _submitted(run: Run, presentation: Presentation, judge: Judge, listen: Listen) -> Presentation:
    ids, reason = list(presentation.data["mask_ids"]), str(presentation.data["reason"])
    if not judge.wants(run, ids):
        return _accept(run, ids, reason, presentation)
    verdict = judge.judge(run, ids, reason, listen)
    if verdict.passes:
        return _accept(run, ids, reason, presentation)
    run.reject(ids, verdict)
    if len(run.rejected) == MOST_JUDGED:
        return _accept(run, _best_of(run, judge, listen), reason, presentation)
    return _objection(presentation, verdict)


def _none_reported(run: Run, presentation: Presentation, judge: Judge, listen: Listen) -> Presentation:
    reason = str(presentation.data["reason"])
    if judge.wants(run, ()):
        verdict = judge.judge(run, (), reason, listen)
        if not verdict.passes:
            return _objection(presentation, verdict)
    run.end("no_match", run.looked_for(reason), ())
    return presentation


def _accept(run: Run, ids: list[str], reason: str, presentation: Presentation) -> Presentation:
    run.end("answered", reason, tuple(run.workspace.instance(mask_id) for mask_id in ids))
    return presentation


def _best_of(run: Run, judge: Judge, listen: Listen) -> list[str]:
    """Of the rejected answers the one with the fewest objections; of two such, the one that a comparison prefers."""
    fewest = min(verdict.objections for _, verdict in run.rejected)
    tied = [ids for ids, verdict in run.rejected if verdict.objections == fewest]
    return list(tied[0] if len(tied) == 1 else judge.better(run, tied[-2], tied[-1], listen))


def _objection(presentation: Presentation, verdict: Verdict) -> Presentation:
    """What the brain reads instead of the end: not accepted, why, and what it may do."""
    text = (
        f"Not accepted. A judge who looked at this answer says: {verdict.words()}\n"
        "Repair the answer and submit again; if you are sure that it is right as it is, submit the same again."
    )
    data = {**presentation.data, "rejected": verdict.rejected, "missing": verdict.missing}
    return Presentation(text, data, presentation.pictures)
