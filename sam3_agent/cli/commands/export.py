"""`sam3-agent export`: the labels of a run as files of a label format."""

from pathlib import Path

import typer

from sam3_agent.cli.commands.export_tracks import TracksExport, export_tracks
from sam3_agent.cli.output import print_line
from sam3_agent.errors import InputError
from sam3_agent.labeling.io.export_labels import ExportReport, Selection, export
from sam3_agent.labeling.review.track_review import is_tracked
from sam3_agent.labeling.store.journal import Journal

LEFT_OUT = {
    "review": "{} labels that wait for review (--with-review takes them along)",
    "accepted": "{} accepted labels",
    "rejected": "{} rejected labels",
    "pending": "{} images that are not labeled yet",
    "duplicate": "{} duplicates of other files",
    "unreadable": "{} unreadable files",
}
"""Words for each route of labels and state of files that an export leaves out."""


def export_run(
    folder: Path, form: str, out: Path | None, selection: Selection, *, pictures: bool
) -> ExportReport | TracksExport:
    """Write DIR/export/FORMAT, or another folder; of a folder of tracks all tracks that nobody rejected.

    Raises:
        typer.BadParameter: an option is for labels of images, and the folder holds tracks.
        InputError: there is nothing to write, or DIR would lead the files elsewhere.
    """
    if is_tracked(folder):
        if pictures or selection != Selection():
            raise typer.BadParameter(f"{folder} holds tracks: only --format and --out are for them")
        return export_tracks(folder, form, out or _usual(folder, form))
    journal = Journal.open(folder)
    try:
        return export(journal, form, out or _usual(folder, form), selection, pictures=pictures)
    finally:
        journal.close()


def print_report(report: ExportReport | TracksExport) -> None:
    """Print what was written and what was left out, for a person."""
    if isinstance(report, TracksExport):
        return report.print()
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    print_line(f"{report.labels} labels on {report.images} images ({splits}) as {report.format}: {report.out}")
    said = [LEFT_OUT[name].format(report.left_out[name]) for name in LEFT_OUT if report.left_out.get(name)]
    if said:
        print_line(f"left out: {'; '.join(said)}")
    for warning in report.warnings:
        print_line(f"note: {warning}")
    return None


def _usual(folder: Path, form: str) -> Path:
    _check_links(folder / "export")
    return folder / "export" / form


def _check_links(folder: Path) -> None:
    """Refuse links in the folder of exports: a run folder of a stranger must not say where on this disk it writes."""
    links = [folder] if folder.is_symlink() else [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise InputError(f"{links[0]} is a link; remove it, or give another --out")
