"""`sam3-agent check`: the health of a set of labels."""

from collections.abc import Mapping
from pathlib import Path

from sam3_agent.cli.loading import loading_model
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_table, progress_console, say
from sam3_agent.errors import InputError
from sam3_agent.labeling.health.examine import Health, examine
from sam3_agent.labeling.health.page import write_page
from sam3_agent.labeling.health.unlike import Unlike, by_image, read_vectors, unlike_labels
from sam3_agent.labeling.store.journal import Journal

PAGE = "health.html"
_SHOWN = 8


def check(folder: Path, out: Path | None, segmenter: ModelOptions | None) -> tuple[Health, Path]:
    """Examine a run and write its page, DIR/health.html unless another is given; with a model, also how labels look.

    Raises:
        InputError: the folder holds no run, or no image is labeled yet.
    """
    journal = Journal.open(folder)
    try:
        page = out or folder / PAGE
        if page.is_symlink():
            raise InputError(f"{page} is a link; remove it, or give another --out")
        health = examine(journal, _unlike(journal, segmenter) if segmenter is not None else None)
        if not health.images["done"]:
            raise InputError(f"{folder} has no labeled images yet; run 'sam3-agent label' first")
        write_page(journal, health, page)
        return health, page
    finally:
        journal.close()


def _unlike(journal: Journal, options: ModelOptions) -> Mapping[str, list[Unlike]]:
    """Look at every label by the model's features; says so on a terminal, as it encodes every image once."""
    if not journal.has_images("done"):
        return {}
    with loading_model(options.model):
        from sam3_agent.model.replicas import load_segmenter  # imports torch

        segmenter = load_segmenter(options.model, device=options.device, dtype=options.dtype)
    with progress_console().status("looking at labels") as status:
        vectors = read_vectors(
            journal, segmenter, lambda done, total: status.update(f"looking at the labels of image {done} of {total}")
        )
    if vectors.unread:
        say(f"{vectors.unread} images cannot be read; their labels were not looked at")
    return by_image(unlike_labels(vectors))


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
