"""`sam3-agent export`: the labels of a run as files of a label format."""

from pathlib import Path

from sam3_agent.cli.output import print_line
from sam3_agent.errors import InputError
from sam3_agent.labeling.io.export_labels import ExportReport, Selection, export
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


def export_run(folder: Path, form: str, out: Path | None, selection: Selection, *, pictures: bool) -> ExportReport:
    """Write DIR/export/FORMAT, or another folder.

    Raises:
        InputError: there is nothing to write, or DIR would lead the files elsewhere.
    """
    journal = Journal.open(folder)
    try:
        if out is None:
            _check_links(folder / "export")
        return export(journal, form, out or folder / "export" / form, selection, pictures=pictures)
    finally:
        journal.close()


def print_report(report: ExportReport) -> None:
    """Print what was written and what was left out, for a person."""
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    print_line(f"{report.labels} labels on {report.images} images ({splits}) as {report.format}: {report.out}")
    said = [LEFT_OUT[name].format(report.left_out[name]) for name in LEFT_OUT if report.left_out.get(name)]
    if said:
        print_line(f"left out: {'; '.join(said)}")
    for warning in report.warnings:
        print_line(f"note: {warning}")


def _check_links(folder: Path) -> None:
    """Refuse links in the folder of exports: a run folder of a stranger must not say where on this disk it writes."""
    links = [folder] if folder.is_symlink() else [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise InputError(f"{links[0]} is a link; remove it, or give another --out")
