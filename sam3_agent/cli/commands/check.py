"""`sam3-agent check`: the health of a set of labels."""

from pathlib import Path

from sam3_agent.cli.output import print_line, print_table
from sam3_agent.errors import InputError
from sam3_agent.labeling.health.examine import Health, examine
from sam3_agent.labeling.health.page import write_page
from sam3_agent.labeling.store.journal import Journal

PAGE = "health.html"
_SHOWN = 8


def check(folder: Path, out: Path | None) -> tuple[Health, Path]:
    """Examine a run and write its page, DIR/health.html unless another is given.

    Raises:
        InputError: the folder holds no run, or no image is labeled yet.
    """
    journal = Journal.open(folder)
    try:
        health = examine(journal)
        if not health.images["done"]:
            raise InputError(f"{folder} has no labeled images yet; run 'sam3-agent label' first")
        page = out or folder / PAGE
        if page.is_symlink():
            raise InputError(f"{page} is a link; remove it, or give another --out")
        write_page(journal, health, page)
        return health, page
    finally:
        journal.close()


def print_health(health: Health, page: Path) -> None:
    """Print the classes, what is wrong and what to look at, for a person."""
    columns = ("class", "accepted", "to review", "images", "tiny", "cut", "median area")
    rows = [
        (
            each.name,
            *map(str, (each.accepted, each.review, each.images, each.tiny, each.cut)),
            f"{each.median_share:.2%}",
        )
        for each in health.classes
    ]
    print_table(columns, rows, right=columns[1:])
    for sentence in health.advice:
        print_line(sentence, before=("! ", "yellow"))
    if health.next:
        print_line("look at these next:")
        for image in health.next[:_SHOWN]:
            print_line(f"  {image.image}: {'; '.join(image.reasons)}")
    print_line(f"the whole report: {page}")
