"""Decisions of people about tracks: what each makes of them, what is refused, what undoing brings back."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sam3_agent.errors import Busy, InputError, UnknownHandle
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.workspace.tracking.decisions import DECISIONS, Decision, read_decisions
from sam3_agent.workspace.tracking.journal import Entry, FrameLine, Header, JournalWriter
from sam3_agent.workspace.tracking.reviewed import (
    ReviewedTrack,
    ReviewedTracks,
    decided,
    merge_refusal,
    replay,
    reviewed_tracks,
)
from sam3_agent.workspace.tracking.track import TrackStore
from tests.workspace.tracking.fixtures_tracks import SIZE, frame_of, lines_of, moving, track_of

ONE = track_of("t1", moving((0, 0, 10, 10), (1, 0), range(12)))
AFTER = track_of("t2", moving((2, 0, 12, 10), (1, 0), range(15, 20)))
BESIDE = track_of("t3", moving((0, 40, 10, 50), (1, 0), range(20)), "crab")
HEADER = Header("/nowhere/clip.mp4", SIZE[1], SIZE[0], "mixed", 10.0, {"frames": 20})


def nothing(decision: Decision) -> Sequence[TrackFrame]:
    return ()


def known(*tracks: Track) -> dict[str, ReviewedTrack]:
    return replay(tracks, (), nothing)[0]


def seen(track: Track) -> list[int]:
    return [frame.index for frame in track.visible]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three tracks."""
    with JournalWriter(tmp_path / "tracks.jsonl", HEADER) as journal:
        for line in lines_of([ONE, AFTER, BESIDE], 20):
            journal.write(line)
    return tmp_path


def state(tracks: ReviewedTracks) -> list[tuple[str, str, str, list[int]]]:
    return [(each.track.id, each.track.concept, each.route, seen(each.track)) for each in tracks.all]


def test_accepting_rejecting_and_relabeling_say_who_and_what() -> None:
    tracks = known(ONE, BESIDE)
    accepted = decided(tracks, Decision("accept", "t1", reviewer="me"), nothing)["t1"]
    assert (accepted.route, accepted.reviewer, accepted.reason) == ("accepted", "me", "me: right")
    rejected = decided(tracks, Decision("reject", "t1", reviewer="me"), nothing)["t1"]
    assert (rejected.route, rejected.reason) == ("rejected", "me: wrong")
    eel = decided(tracks, Decision("relabel", "t1", concept="eel", reviewer="me"), nothing)["t1"]
    assert (eel.route, eel.track.concept, eel.reason) == ("accepted", "eel", "me: is eel")
    assert tracks["t1"] == ReviewedTrack(ONE)


def test_a_split_makes_two_tracks_that_wait_and_stand_beside_each_other() -> None:
    tracks = decided(known(ONE, BESIDE), Decision("accept", "t1", reviewer="me"), nothing)
    after = decided(tracks, Decision("split", "t1", frame=5, new_id="t9"), nothing)
    assert list(after) == ["t1", "t9", "t3"]
    assert (seen(after["t1"].track), seen(after["t9"].track)) == ([*range(5)], [*range(5, 12)])
    assert {after["t1"].route, after["t9"].route} == {"review"}
    assert after["t9"].reason == "split from t1 at frame 5"


@pytest.mark.parametrize("frame", [0, 12, 40])
def test_a_split_with_nothing_to_be_seen_on_one_side_is_refused(frame: int) -> None:
    with pytest.raises(InputError, match=r"t1 is seen in frames 0-11; split it in one of 1-11"):
        decided(known(ONE), Decision("split", "t1", frame=frame, new_id="t9"), nothing)


def test_tracks_one_after_the_other_are_merged_and_wait_unless_both_were_accepted() -> None:
    merge = Decision("merge", "t1", other="t2")
    after = decided(known(ONE, AFTER), merge, nothing)
    assert list(after) == ["t1"]
    assert seen(after["t1"].track) == [*range(12), *range(15, 20)]
    assert (after["t1"].route, after["t1"].reason) == ("review", "t2 is part of it")
    tracks = known(ONE, AFTER)
    for track_id in ("t1", "t2"):
        tracks = decided(tracks, Decision("accept", track_id, reviewer="me"), nothing)
    assert decided(tracks, merge, nothing)["t1"].route == "accepted"


def test_tracks_in_two_places_at_once_are_two_objects() -> None:
    assert merge_refusal(ONE, BESIDE) == (
        "t1 and t3 are in different places in 12 frames (0-11), so they are two objects: split off what belongs to the"
        " other one first"
    )
    with pytest.raises(InputError, match="they are two objects"):
        decided(known(ONE, BESIDE), Decision("merge", "t1", other="t3"), nothing)
    with pytest.raises(InputError, match="t1 cannot be merged with itself"):
        decided(known(ONE), Decision("merge", "t1", other="t1"), nothing)


def test_tracks_of_one_object_at_once_are_merged_though_a_mask_flickers() -> None:
    part = track_of("t2", moving((1, 1, 8, 8), (1, 0), range(12)))
    assert merge_refusal(ONE, part) == ""
    flicker = track_of("t2", {**moving((1, 1, 8, 8), (1, 0), range(12)), 3: (70, 30, 74, 34)})
    assert merge_refusal(ONE, flicker) == ""
    twice = track_of("t2", {**moving((1, 1, 8, 8), (1, 0), range(12)), 3: (70, 30, 74, 34), 4: (70, 30, 74, 34)})
    assert "in 2 frames (3-4)" in merge_refusal(ONE, twice)


def test_a_correction_replaces_the_frames_it_is_about_and_no_others() -> None:
    found = [frame_of(index, (50, 30, 60, 40)) for index in range(20)]
    correct = Decision("correct", "t1", frame=6, last=8, folder="corrections/1")
    after = decided(known(ONE), correct, lambda decision: found)["t1"]
    assert [frame.box for frame in after.track.frames[5:10]] == [
        (5, 0, 15, 10), (50, 30, 60, 40), (50, 30, 60, 40), (50, 30, 60, 40), (9, 0, 19, 10),
    ]  # fmt: skip
    assert (after.corrected, after.route, seen(after.track)) == ((6,), "review", [*range(12)])


def test_a_track_that_a_correction_leaves_nowhere_is_refused() -> None:
    gone = [frame_of(index, (0, 0, 0, 0), "left") for index in range(12)]
    with pytest.raises(InputError, match="shows it nowhere"):
        decided(known(ONE), Decision("correct", "t1", frame=0, last=11, folder="x"), lambda decision: gone)


def test_a_decision_about_no_track_names_those_that_there_are() -> None:
    with pytest.raises(UnknownHandle, match="unknown track 't7'; known: t1, t3"):
        decided(known(ONE, BESIDE), Decision("accept", "t7"), nothing)


def test_every_decision_is_undone_to_the_letter_and_says_what_it_was(folder: Path) -> None:
    tracks = ReviewedTracks(folder, "me")
    start = tracks.all
    tracks.decide("accept", "t1")
    tracks.decide("reject", "t1")
    tracks.decide("relabel", "t3", concept="eel")
    made = tracks.decide("split", "t3", frame=7)
    tracks.decide("merge", "t1", "t2")
    assert made.new_id == "t4"
    assert state(tracks) == [
        ("t1", "fish", "review", [*range(12), *range(15, 20)]),
        ("t3", "eel", "review", [*range(7)]),
        ("t4", "eel", "review", [*range(7, 20)]),
    ]
    words = [undone.words for _ in range(5) if (undone := tracks.undo())]
    assert words == [
        "merge of t2 into t1 fish; t2 is a track of its own again",
        "split of t3 eel at frame 7; t4 is part of it again",
        "relabel of t3 crab as eel; it waits for review again",
        "reject of t1 fish; it is accepted again",
        "accept of t1 fish; it waits for review again",
    ]
    assert tracks.undo() is None
    assert tracks.all == start


def test_the_journal_is_read_back_to_the_same_tracks_and_only_grows(folder: Path) -> None:
    tracks = ReviewedTracks(folder, "me")
    before = b""
    for act in (
        lambda: tracks.decide("reject", "t2"),
        lambda: tracks.decide("split", "t1", frame=4),
        tracks.undo,
        lambda: tracks.decide("split", "t1", frame=6),
    ):
        act()
        now = (folder / DECISIONS).read_bytes()
        assert now.startswith(before)
        before = now
        assert state(ReviewedTracks(folder)) == state(tracks)
    lines = [json.loads(line) for line in before.splitlines()]
    assert [line.get("action", "undo" if "undo" in line else "") for line in lines] == [
        "", "reject", "split", "undo", "split",
    ]  # fmt: skip


def test_the_id_of_an_undone_split_is_not_given_again_by_anybody(folder: Path) -> None:
    tracks = ReviewedTracks(folder)
    assert tracks.decide("split", "t1", frame=4).new_id == "t4"
    tracks.undo()
    assert tracks.decide("split", "t1", frame=4).new_id == "t5"
    assert TrackStore(folder / "tracks.jsonl").next_number == 6


def test_a_split_knows_the_ids_of_tracks_that_were_found_after_the_page_was_opened(folder: Path) -> None:
    tracks = ReviewedTracks(folder)
    with JournalWriter(folder / "tracks.jsonl", HEADER) as journal:
        journal.write(FrameLine(19, 1.9, (Entry("t4", "eel", frame_of(19, (0, 0, 5, 5))),)))
    assert tracks.decide("split", "t1", frame=4).new_id == "t5"


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_that_was_cut_off_by_kill_is_dropped_and_the_next_one_is_whole(folder: Path, cut: int) -> None:
    tracks = ReviewedTracks(folder)
    tracks.decide("accept", "t1")
    tracks.decide("reject", "t2")
    path = folder / DECISIONS
    path.write_bytes(path.read_bytes()[:-cut])
    again = ReviewedTracks(folder)
    assert again.counts == {"review": 2, "accepted": 1, "rejected": 0}
    again.decide("reject", "t3")
    assert [each.action for each in read_decisions(folder).standing] == ["accept", "reject"]
    assert ReviewedTracks(folder).counts == {"review": 1, "accepted": 1, "rejected": 1}


def test_two_reviewers_do_not_overwrite_each_other(folder: Path) -> None:
    mine, theirs = ReviewedTracks(folder, "me"), ReviewedTracks(folder, "they")
    mine.decide("accept", "t1")
    with pytest.raises(Busy, match="somebody else has decided"):
        theirs.decide("reject", "t1")
    assert theirs.get("t1").route == "accepted"
    theirs.decide("reject", "t1")
    with pytest.raises(Busy, match="somebody else has decided"):
        mine.undo()
    assert mine.get("t1").reviewer == "they"


def test_a_refused_decision_leaves_no_line(folder: Path) -> None:
    tracks = ReviewedTracks(folder)
    for refused in (
        lambda: tracks.decide("split", "t1", frame=0),
        lambda: tracks.decide("merge", "t1", "t3"),
        lambda: tracks.decide("accept", "t9"),
        lambda: tracks.decide("relabel", "t1", concept="  "),
        lambda: tracks.decide("relabel", "t1", concept="x" * 201),
    ):
        with pytest.raises((InputError, UnknownHandle)):
            refused()
    assert not (folder / DECISIONS).exists()


def test_a_link_of_a_strangers_folder_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("")
    (folder / DECISIONS).symlink_to(victim)
    with pytest.raises(InputError, match="cannot write"):
        ReviewedTracks(folder).decide("accept", "t1")
    assert victim.read_text() == ""


def test_a_correction_from_elsewhere_on_the_disk_is_not_read(folder: Path) -> None:
    line = Decision("correct", "t1", frame=0, last=3, folder="../../elsewhere", number=1).to_json()
    (folder / DECISIONS).write_text(json.dumps({"decisions": 1}) + "\n" + json.dumps(line) + "\n")
    tracks = ReviewedTracks(folder)
    assert (tracks.passed_over, state(tracks)[0]) == (1, ("t1", "fish", "review", [*range(12)]))


@pytest.mark.parametrize(
    "line",
    ['{"decision": 1}', '{"decision": 1, "action": "burn", "id": "t1"}', '{"undo": 7}', "[]", '{"decision": 1e400}'],
)
def test_a_broken_line_is_named(folder: Path, line: str) -> None:
    (folder / DECISIONS).write_text('{"decisions": 1}\n' + line + "\n")
    with pytest.raises(InputError, match=r"decisions.jsonl:2: "):
        ReviewedTracks(folder)


def test_a_journal_of_another_version_is_refused(folder: Path) -> None:
    (folder / DECISIONS).write_text('{"decisions": 2}\n')
    with pytest.raises(InputError, match="expected version 1"):
        ReviewedTracks(folder)


def test_decisions_about_tracks_that_the_run_has_lost_are_counted(folder: Path) -> None:
    tracks = ReviewedTracks(folder)
    tracks.decide("accept", "t1")
    tracks.decide("reject", "t2")
    with JournalWriter(folder / "tracks.jsonl", HEADER) as journal:
        journal.write(FrameLine(19, 1.9, removed=("t2",)))
    again = ReviewedTracks(folder)
    assert (again.passed_over, again.counts) == (1, {"review": 1, "accepted": 1, "rejected": 0})


def test_exports_get_what_nobody_rejected(folder: Path) -> None:
    given = (ONE, AFTER, BESIDE)
    assert reviewed_tracks(folder, given) == (given, 0)
    tracks = ReviewedTracks(folder)
    tracks.decide("reject", "t2")
    tracks.decide("relabel", "t3", concept="eel")
    kept, rejected = reviewed_tracks(folder, given)
    assert [(track.id, track.concept) for track in kept] == [("t1", "fish"), ("t3", "eel")]
    assert rejected == 1
