"""Tool that writes tracks to files."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.formats.video import export_tracks as write_tracks
from sam3_agent.formats.video.track_set import TrackSet
from sam3_agent.tools.arguments import OutputPath, TrackIds, VideoId
from sam3_agent.tools.export_masks import relative_path
from sam3_agent.tools.long_work import LongWork, Watch
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.video_frames import chosen_tracks
from sam3_agent.tracks import Track
from sam3_agent.workspace import OutputFolder, Workspace

TrackFormat = Literal[
    "csv", "ytvis", "veval", "mot", "mots", "mots-txt", "davis", "cvat", "cvat-polygon", "label-studio", "sav"
]
_BATCH_BYTES = 64 * 2**20
"""Files are handed on in batches of about so many bytes, so that a long video is not in memory at once."""
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ExportedTracks:
    """Tracks that were written to files."""

    video_id: str
    format: str
    track_ids: tuple[str, ...]
    paths: tuple[str, ...]
    warnings: tuple[str, ...]


def export_tracks(
    workspace: Workspace,
    video_id: VideoId,
    format: Annotated[
        TrackFormat,
        Field(
            description="csv: a table of boxes, scores and times; ytvis, veval: JSON with masks; mot: boxes; mots, "
            "davis: a PNG a frame; cvat, cvat-polygon, label-studio: for annotation tools; sav: SA-V."
        ),
    ] = "csv",
    path: Annotated[OutputPath, Field(max_length=1000, description="Folder in the output folder.")] = "tracks",
    track_ids: TrackIds = (),
    overwrite: Annotated[bool, Field(description="True to replace files that are there already.")] = False,
) -> LongWork[ExportedTracks]:
    """Write tracks to files for other programs, in a usual format, under the server's output folder.

    Without track_ids all tracks of the video. Call it last, when the tracks are right. Files that exist are never
    replaced unless you say so.
    """
    output = workspace.output
    output.write({})  # which refuses where there is no folder
    root = relative_path(path, output.root)
    tracks = chosen_tracks(workspace, video_id, track_ids)
    if not tracks:
        raise InputError(f"{video_id} has no tracks; call track_concepts first")
    video = _track_set(workspace, video_id, tracks)

    def run(watch: Watch) -> ExportedTracks:
        paths, warnings = _written(output, video, format, root, overwrite, watch)
        return ExportedTracks(video_id, format, tuple(t.id for t in tracks), tuple(paths), tuple(warnings))

    return LongWork(f"export {len(tracks)} tracks of {video_id} as {format}", run)


def present(_: Workspace, result: ExportedTracks) -> Presentation:
    """Name the files."""
    files = ", ".join(result.paths[:_SHOWN]) + (", ..." if len(result.paths) > _SHOWN else "")
    lines = [f"wrote {len(result.track_ids)} tracks as {result.format}, {len(result.paths)} files: {files}"]
    lines += [f"note: {warning}" for warning in result.warnings]
    data: dict[str, Any] = {
        "video_id": result.video_id,
        "format": result.format,
        "track_ids": list(result.track_ids),
        "files": len(result.paths),
        "paths": list(result.paths[:_SHOWN]),
        "warnings": list(result.warnings),
    }
    return Presentation("\n".join(lines), data)


EXPORT_TRACKS = ToolSpec.of(export_tracks, present, is_long=True, removes=True, idempotent=False, writes=True)


def _track_set(workspace: Workspace, video_id: str, tracks: tuple[Track, ...]) -> TrackSet:
    info = workspace.video_store.video(video_id).info
    source = Path(info.name)
    size = (info.width, info.height, info.frames)
    return TrackSet(source.stem or video_id, *size, tracks, info.fps, info.names, (), source.name)


def _written(
    output: OutputFolder, video: TrackSet, form: str, root: str, overwrite: bool, watch: Watch
) -> tuple[list[str], list[str]]:
    """Paths of the files, and warnings: they are made aside and then go through the output folder's checks."""
    written: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sam3-export-") as folder:
        warnings = write_tracks(video, form, Path(folder))
        batches = list(_batches(Path(folder)))
        for number, batch in enumerate(batches, 1):
            files = {f"{root}/{file.relative_to(folder).as_posix()}": file.read_bytes() for file in batch}
            written += [str(each) for each in output.write(files, overwrite=overwrite)]
            watch.note(number, len(batches), f"{len(written)} files written")
            if not watch.wanted:
                break
    return written, warnings


def _batches(folder: Path) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if batch and size + file.stat().st_size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.stat().st_size
    if batch:
        yield batch
