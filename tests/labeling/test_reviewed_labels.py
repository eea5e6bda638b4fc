"""Labels of a video after its tracks were decided about on the review page."""

from pathlib import Path

import pytest

from sam3_agent.labeling.ontology.ontology import named_classes
from sam3_agent.labeling.videos.export_videos import as_reviewed
from sam3_agent.labeling.videos.track_label import TrackLabel, track_labels_of
from sam3_agent.workspace.tracking.journal import Header, JournalWriter
from sam3_agent.workspace.tracking.reviewed import ReviewedTracks
from tests.workspace.tracking.fixtures_tracks import SIZE, lines_of, moving, track_of

TRACKS = [
    track_of("t1", moving((0, 0, 10, 10), (1, 0), range(12))),
    track_of("t2", moving((2, 0, 12, 10), (1, 0), range(15, 20))),
    track_of("t3", moving((0, 40, 10, 50), (1, 0), range(20)), "crab"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    header = Header("/nowhere/clip.mp4", SIZE[1], SIZE[0], "mixed", 10.0, {"frames": 20})
    with JournalWriter(tmp_path / "tracks.jsonl", header) as journal:
        for line in lines_of(TRACKS, 20):
            journal.write(line)
    return tmp_path


def told(labels: list[TrackLabel]) -> list[tuple[str, str, str, int]]:
    return [(each.track.id, each.label.class_name, each.label.route, len(each.track.visible)) for each in labels]


def test_labels_follow_what_was_decided_about_their_tracks(folder: Path) -> None:
    labels = track_labels_of(named_classes(("fish", "crab")), TRACKS, {}, "s" * 64, "fake")
    assert as_reviewed(labels, folder) == labels
    before = {each.track.id: each.label.route for each in labels}
    reviewed = ReviewedTracks(folder, "me")
    reviewed.decide("merge", "t1", "t2")
    reviewed.decide("split", "t3", frame=8)
    reviewed.decide("relabel", "t4", concept="fish")
    after = as_reviewed(labels, folder)
    assert told(after) == [("t1", "fish", "review", 17), ("t3", "crab", "review", 8), ("t4", "fish", "accepted", 12)]
    assert len({each.label.id for each in after}) == 3
    assert [each.label.decided_by for each in after][2] == "person"
    for _ in range(3):
        reviewed.undo()
    reviewed.decide("reject", "t2")
    assert told(as_reviewed(labels, folder))[1][:3] == ("t2", "fish", "rejected")
    assert as_reviewed(labels, folder)[0].label.route == before["t1"]
