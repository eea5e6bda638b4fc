"""Next calls about a video: track, measure, end."""

from collections.abc import Sequence

from sam3_agent.llm.base import ToolResult
from sam3_agent.llm.task import VideoTask
from sam3_agent.planner.select import NoMatch
from sam3_agent.planner.video.parse import parse_video_query
from sam3_agent.planner.video.select import VideoChooser
from sam3_agent.tools.measure_tracks import TrackMeasures
from sam3_agent.tools.track_concepts import Tracked

_Call = tuple[str, dict[str, object]]


def video_calls(task: VideoTask, results: Sequence[ToolResult]) -> list[_Call]:
    """Return the next calls, computed from what the tools have reported.

    Each phrase is asked for in a call of its own, always the same, so that a video that was asked before about the
    same things is not tracked again.

    Raises:
        BeyondRules: the query is not understood.
    """
    plan = parse_video_query(task.query)
    tracked = next((each.result for each in results if isinstance(each.result, Tracked)), None)
    if tracked is None:
        return [("track_concepts", {"video_id": task.video_id, "concepts": [plan.phrase]})]
    ids = [track.id for track in tracked.tracks if track.concept == plan.phrase]
    if not ids:
        return [("report_no_match", {"reason": f"no {plan.phrase} was found in the video"})]
    measured = next((each.result for each in results if isinstance(each.result, TrackMeasures)), None)
    if measured is None:
        asked: dict[str, object] = {"video_id": task.video_id, "track_ids": ids}
        return [("measure_tracks", asked | ({"colors": True} if plan.needs_colors else {}))]
    chooser = VideoChooser(measured.motions, measured.colors)
    try:
        chosen = chooser.choose(plan)
    except NoMatch as none:
        return [("report_no_match", {"reason": str(none)})]
    named: dict[str, object] = {"video_id": task.video_id, "track_ids": chosen}
    return [("submit_tracks", named | {"reason": "; ".join(chooser.notes)})]
