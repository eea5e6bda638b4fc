"""The judge of tracks: accepted, rejected, or looked at again in the frames in which the unsure ones are seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sam3_agent.llm.base import Message
from sam3_agent.loop.dialogue import Dialogue, picture_json
from sam3_agent.loop.judge import force_call
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.verdict import Verdict, read_verdict
from sam3_agent.tools import ToolSpec
from sam3_agent.tools.track_facts import motions_of, track_lines
from sam3_agent.tools.video_frames import frames_showing, sheet_of
from sam3_agent.tracks import Track

ROUNDS = 3
"""AgentRVOS (arXiv 2603.23489): three rounds on what is uncertain gave 70.3 J&F on ReasonVOS, one gave 65.6."""
FRAMES, A_SHEET = 16, 8
"""Frames of a round (8, 16, 32, 64 gave 67.6, 70.3, 68.8, 68.2 there), and cells of one sheet: ids stay legible."""


class GiveTrackVerdict(BaseModel):
    """Judge the tracks of the answer: each accepted, rejected or uncertain, and whether anything is missing."""

    model_config = ConfigDict(extra="forbid")

    accepted: Annotated[Sequence[str], Field(description="Ids of the tracks that the query means.")] = ()
    rejected: Annotated[Sequence[str], Field(description="Ids of the tracks that it does not mean.")] = ()
    reasons: Annotated[
        Sequence[str], Field(description="For each rejected id, in the same order, why: a few words.")
    ] = ()
    uncertain: Annotated[
        Sequence[str], Field(description="Ids of the tracks that have to be looked at again in other frames.")
    ] = ()
    missing: Annotated[
        str, Field(description="What the query means and no track of the answer follows, and where; '' if nothing.")
    ] = ""


TRACK_VERDICT = ToolSpec.from_model("give_track_verdict", GiveTrackVerdict)


@dataclass(slots=True)
class _Opinion:
    """Opinion of the rounds so far."""

    rejected: dict[str, str] = field(default_factory=dict[str, str])
    missing: str = ""


def judge_tracks(
    run: Dialogue, video_id: str, query: str, tracks: Sequence[Track], others: Sequence[Track], reason: str
) -> Verdict:
    """Ask the LLM, in conversations of their own, which tracks of an answer are right.

    All are shown in the first round, only the uncertain ones in the next. What is uncertain after ROUNDS stays; a
    judge that gives no verdict rejects nothing. `others` are drawn thin and are not judged.
    """
    ids = [track.id for track in tracks]
    opinion = _Opinion()
    unsure, shown = list(tracks), set[int]()
    for _ in range(ROUNDS):
        frames = _frames(unsure, shown)
        if not unsure or not frames:
            break
        shown |= set(frames)
        given = _ask(run, video_id, query, frames, unsure, others, reason)
        if isinstance(given, str):
            return Verdict(tuple(ids), {}, missing_because=given)
        said = read_verdict([track.id for track in unsure], given)
        opinion.rejected |= said.rejected
        opinion.missing = opinion.missing or said.missing
        again = set(given.model_dump()["uncertain"]) - opinion.rejected.keys()
        unsure = [track for track in unsure if track.id in again]
    return Verdict(tuple(i for i in ids if i not in opinion.rejected), opinion.rejected, opinion.missing)


def _frames(tracks: Sequence[Track], shown: set[int]) -> list[int]:
    """Frames in which these tracks are seen, that were not shown before."""
    fresh = [
        Track(t.id, t.concept, t.first, t.last, t.state, t.score, tuple(f for f in t.visible if f.index not in shown))
        for t in tracks
    ]
    return frames_showing(fresh, FRAMES)


def _ask(
    run: Dialogue,
    video_id: str,
    query: str,
    frames: Sequence[int],
    tracks: Sequence[Track],
    others: Sequence[Track],
    reason: str,
) -> BaseModel | str:
    """The arguments of the judge's call, or why there are none; the trace shows both."""
    prompt = read_prompt("judge_tracks")
    sheets = [frames[start : start + A_SHEET] for start in range(0, len(frames), A_SHEET)]
    pictures = [sheet_of(run.workspace, video_id, sheet, tracks, others) for sheet in sheets]
    words = [f"query: {query}", f"the answer's reason: {reason or 'none given'}", "the tracks:"]
    words += track_lines(motions_of(tracks, run.workspace.video_store.clock(video_id)))
    words += [f"sheet: {picture.caption}" for picture in pictures]
    messages = [Message("system", prompt.text), Message("user", "\n".join(words), tuple(pictures))]
    kept: list[Any] = [picture_json(picture, run.keep(picture)) for picture in pictures]
    run.record("judge", 0.0, judge=prompt.id, text="\n".join(words), pictures=kept)
    answer = force_call(partial(run.ask, kind="verdict"), messages, TRACK_VERDICT)
    if isinstance(answer, str):
        run.record("error", 0.0, message=f"the judge gave no verdict: {answer}")
    return answer
