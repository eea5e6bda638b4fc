"""Formats of tracks, one file each, with a writer and a reader; a new one is a file here and a line in FORMATS."""

from collections.abc import Callable
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.video.cvat_video import write_cvat_video
from sam3_agent.formats.video.davis import write_davis
from sam3_agent.formats.video.label_studio_video import write_label_studio_video
from sam3_agent.formats.video.mot import write_mot
from sam3_agent.formats.video.mots import write_mots_png, write_mots_txt
from sam3_agent.formats.video.sav import write_sav
from sam3_agent.formats.video.track_set import TrackSet
from sam3_agent.formats.video.tracks_csv import write_tracks_csv
from sam3_agent.formats.video.ytvis import write_ytvis

FORMATS: dict[str, tuple[Callable[[TrackSet, Path], list[str]], str]] = {
    "ytvis": (lambda video, out: write_ytvis([video], out / "annotations.json", "list"), "YouTube-VIS JSON"),
    "veval": (lambda video, out: write_ytvis([video], out / "annotations.json"), "SA-Co/VEval JSON"),
    "mot": (write_mot, "MOT Challenge: boxes"),
    "mots": (write_mots_png, "MOTS: 16-bit PNGs, no overlap"),
    "mots-txt": (lambda video, out: write_mots_txt(video, out / "gt.txt"), "MOTS: text with RLE, no overlap"),
    "davis": (write_davis, "DAVIS: palette PNGs, no overlap"),
    "cvat": (lambda video, out: write_cvat_video(video, out / "annotations.xml"), "CVAT for video 1.1, masks"),
    "cvat-polygon": (
        lambda video, out: write_cvat_video(video, out / "annotations.xml", "polygon"),
        "CVAT for video 1.1, polygons",
    ),
    "label-studio": (lambda video, out: write_label_studio_video([video], out), "Label Studio: boxes"),
    "sav": (lambda video, out: write_sav(video, out / f"{Path(video.name).name}_auto.json"), "SA-V JSON"),
    "csv": (lambda video, out: write_tracks_csv(video, out / "tracks.csv"), "a table of boxes and figures"),
}
"""Name -> (writer of a folder, gives warnings; what it is)."""


def export_tracks(video: TrackSet, form: str, out: Path) -> list[str]:
    """Write one video's tracks into a folder; gives warnings.

    Raises:
        InputError: there is no such format, or it has no room for these tracks.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}; use one of: {', '.join(FORMATS)}")
    return FORMATS[form][0](video, out)
