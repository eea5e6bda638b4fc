"""The journal of a tracked video: lines, torn tails, resuming, retractions, edits, memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.workspace.tracking.edits import Edit
from sam3_agent.workspace.tracking.journal import FrameLine, Header, JournalWriter, rewind
from sam3_agent.workspace.tracking.track import TrackStore
from tests.workspace.tracking.fixtures_tracks import SIZE, lines_of, moving, track_of

HEADER = Header("fish.mp4", SIZE[1], SIZE[0], "paper", 10.0, {"concepts": ["fish", "star"]})
FISH = track_of("t1", moving((0, 10, 10, 20), (2, 0), range(20)))
STAR = track_of("t2", moving((50, 30, 60, 40), (0, 0), [*range(3, 8), *range(12, 20)]), "star")


def write(path: Path, *, stop: int = 20) -> None:
    with JournalWriter(path, HEADER) as journal:
        for line in lines_of([FISH, STAR], 20)[:stop]:
            journal.write(line)


def test_the_tracks_that_were_written_are_read_back_equal(tmp_path: Path) -> None:
    write(tmp_path / "tracks.jsonl")
    store = TrackStore(tmp_path / "tracks.jsonl")
    assert store.tracks() == (FISH, STAR)
    assert store.track("t2") == STAR
    assert store.summaries()[1] == replace(STAR, frames=())
    assert (store.frames, store.last_frame, store.header, store.next_number) == (20, 19, HEADER, 3)
    assert store.time(7) == 0.7
    with pytest.raises(UnknownHandle, match="known: t1, t2"):
        store.track("t9")


def test_a_line_that_was_torn_at_any_byte_is_dropped_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path)
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(start, len(whole), 40):
        path.write_bytes(whole[:size])
        assert TrackStore(path).frames == 19
        with JournalWriter(path, HEADER) as journal:
            journal.write(lines_of([FISH, STAR], 20)[19])
        assert path.read_bytes() == whole


def test_a_file_torn_within_the_header_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    path.write_bytes(b'{"journal":1,"sour')
    write(path)
    assert TrackStore(path).tracks() == (FISH, STAR)


def test_another_videos_journal_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    write(tmp_path / "tracks.jsonl")
    with pytest.raises(InputError, match=r"other settings \(source, profile\)"):
        JournalWriter(tmp_path / "tracks.jsonl", replace(HEADER, source="cat.mp4", profile="3.0"))


def test_a_resumed_run_rewinds_to_the_checkpoint_and_ends_as_one_never_stopped(tmp_path: Path) -> None:
    path, lines = tmp_path / "tracks.jsonl", lines_of([FISH, STAR], 20)
    lines[10] = replace(lines[10], checkpoint={"seen": 10})
    with JournalWriter(path, HEADER) as journal:
        for line in lines:
            journal.write(line)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 700])
    with path.open("ab") as torn:
        torn.write(b'{"frame": 18, "tra')
    assert rewind(path) == (10, {"seen": 10})
    assert TrackStore(path).last_frame == 10
    with JournalWriter(path, HEADER) as journal:
        for line in lines[11:]:
            journal.write(line)
    assert path.read_bytes() == whole


def test_rewinding_without_a_checkpoint_keeps_the_header_and_edits(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path)
    with JournalWriter(path, HEADER) as journal:
        journal.edit(Edit("relabel", "t1", concept="carp"))
    assert rewind(path) is None
    assert TrackStore(path).frames == 0
    write(path)
    assert TrackStore(path).track("t1").concept == "carp"


def test_retracted_tracks_are_gone_from_all_frames_but_their_ids_stay_taken(tmp_path: Path) -> None:
    write(tmp_path / "tracks.jsonl")
    with JournalWriter(tmp_path / "tracks.jsonl", HEADER) as journal:
        journal.write(FrameLine(20, 2.0, removed=("t2",)))
    store = TrackStore(tmp_path / "tracks.jsonl")
    assert [track.id for track in store.tracks()] == ["t1"]
    assert store.next_number == 3


def test_a_later_line_for_a_frame_replaces_the_tracks_that_it_names_and_no_others(tmp_path: Path) -> None:
    write(tmp_path / "tracks.jsonl")
    moved = track_of("t1", {5: (40, 40, 50, 50)})
    with JournalWriter(tmp_path / "tracks.jsonl", HEADER) as journal:
        journal.write(replace(lines_of([moved], 6)[5], gone=("t2",)))
    store = TrackStore(tmp_path / "tracks.jsonl")
    assert store.track("t1").at(5) == moved.at(5)
    assert store.track("t1").at(6) == FISH.at(6)
    assert store.track("t2").at(5) is None


def test_edits_are_lines_and_hold_for_frames_that_come_later(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path, stop=10)
    with JournalWriter(path, HEADER) as journal:
        journal.edit(Edit("merge", "t1", ids=("t2",)))
        for line in lines_of([FISH, STAR], 20)[10:]:
            journal.write(line)
    (merged,) = TrackStore(path).tracks()
    assert len(merged.frames) == 20
    assert merged.frames[15].box == (30, 10, 60, 40)


def test_an_edit_of_a_track_that_was_retracted_later_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path)
    with JournalWriter(path, HEADER) as journal:
        journal.edit(Edit("relabel", "t2", concept="sun"))
        journal.write(FrameLine(20, 2.0, removed=("t2",)))
    assert TrackStore(path).tracks() == (FISH,)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path, stop=2)
    with path.open("ab") as file:
        file.write(b'{"frame": 2}\n')
    with pytest.raises(InputError, match=r"tracks\.jsonl:4: broken line \(KeyError\('time'\)\)"):
        TrackStore(path)
    with pytest.raises(InputError, match="no journal of tracks here"):
        TrackStore(tmp_path / "none.jsonl")
    (tmp_path / "other.jsonl").write_text('{"case": 1}\n')
    with pytest.raises(InputError, match="not a journal of tracks"):
        TrackStore(tmp_path / "other.jsonl")


def test_every_line_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    with JournalWriter(path, HEADER) as journal:
        for number, line in enumerate(lines_of([FISH], 5)):
            journal.write(line)
            assert TrackStore(path).frames == number + 1
        journal.sync()
