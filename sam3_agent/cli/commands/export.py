"""`sam3-agent export`: the labels of a run as files of a label format."""

from pathlib import Path

from sam3_agent.cli.output import print_line
from sam3_agent.labeling.io.export_labels import ExportReport, Selection, export
from sam3_agent.labeling.store.journal import Journal


def export_run(folder: Path, form: str, out: Path | None, selection: Selection, *, pictures: bool) -> ExportReport:
    """Write DIR/export/FORMAT, or another folder; raises InputError where there is nothing to write."""
    journal = Journal.open(folder)
    try:
        return export(journal, form, out or folder / "export" / form, selection, pictures=pictures)
    finally:
        journal.close()


def print_report(report: ExportReport) -> None:
    """Print the report of an export."""
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    print_line(f"{report.labels} labels on {report.images} pictures ({splits}) as {report.format}: {report.out}")
    for warning in report.warnings:
        print_line(f"note: {warning}")
