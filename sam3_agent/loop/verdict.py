"""Verdict of the judge: its tools, and the values read from their calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sam3_agent.tools import Presentation, ToolSpec


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of an answer's masks, those that are right, those that are not and why, and what is missing and where."""

    accepted: tuple[str, ...]
    rejected: dict[str, str]
    missing: str = ""
    missing_because: str = ""
    """Reason why there is no verdict; then nothing is rejected."""

    @property
    def passes(self) -> bool:
        """Whether the answer stands."""
        return not self.rejected and not self.missing

    @property
    def objections(self) -> int:
        """Count the things that are wrong."""
        return len(self.rejected) + bool(self.missing)

    def words(self) -> str:
        """Say the verdict in words for the LLM."""
        parts = [f"{mask_id} rejected: {why}" for mask_id, why in self.rejected.items()]
        parts += [f"accepted: {', '.join(self.accepted)}"] if self.accepted and self.rejected else []
        parts += [f"missing: {self.missing}"] if self.missing else []
        return "; ".join(parts)


class GiveVerdict(BaseModel):
    """Judge the answer: each mask accepted or rejected, and whether anything is missing."""

    model_config = ConfigDict(extra="forbid")

    accepted: Annotated[Sequence[str], Field(description="Ids of the masks that are right.")] = ()
    rejected: Annotated[Sequence[str], Field(description="Ids of the masks that are wrong.")] = ()
    reasons: Annotated[
        Sequence[str], Field(description="For each rejected id, in the same order, why: a few words.")
    ] = ()
    missing: Annotated[
        str, Field(description="What the query means and no mask covers, and where in the picture; '' if nothing.")
    ] = ""


class PreferAnswer(BaseModel):
    """Say which of two answers fits the query better."""

    model_config = ConfigDict(extra="forbid")

    better: Annotated[Literal["first", "second"], Field(description="Which of the two answers fits the query better.")]
    reason: Annotated[str, Field(description="Why, in a few words.")] = ""


VERDICT = ToolSpec.from_model("give_verdict", GiveVerdict)
PREFERENCE = ToolSpec.from_model("prefer_answer", PreferAnswer)


def read_verdict(ids: Sequence[str], given: BaseModel) -> Verdict:
    """The verdict on the masks `ids`; what it says of other masks counts for nothing, what it leaves out is accepted.

    A mask that is both accepted and rejected is rejected.
    """
    fields = given.model_dump()
    reasons = [str(reason).strip() for reason in fields["reasons"]]
    rejected: dict[str, str] = {}
    for number, mask_id in enumerate(fields["rejected"]):
        if mask_id in ids:
            why = reasons[number] if number < len(reasons) and reasons[number] else "no reason given"
            rejected[mask_id] = why.removeprefix(f"{mask_id}:").strip()
    missing = str(fields["missing"]).strip()
    if missing.lower().rstrip(".") in ("none", "nothing", "no", "n/a", "''", '""'):
        missing = ""
    return Verdict(tuple(mask_id for mask_id in ids if mask_id not in rejected), rejected, missing)


def objection(presentation: Presentation, verdict: Verdict) -> Presentation:
    """Tell the LLM that its answer was not accepted, why, and what it may do."""
    text = (
        f"Not accepted. A judge who looked at this answer says: {verdict.words()}\n"
        "Repair the answer and submit again; if you are sure that it is right as it is, submit the same again."
    )
    data = {**presentation.data, "rejected": verdict.rejected, "missing": verdict.missing}
    return Presentation(text, data, presentation.pictures)
