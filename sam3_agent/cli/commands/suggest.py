"""`sam3-agent label --suggest`: an LLM drafts phrases and negatives for a concept file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_agent.cli.output import print_line, progress_console, say
from sam3_agent.errors import InputError, LLMConfigError
from sam3_agent.formats.files import write_text
from sam3_agent.labeling.ontology.suggest import Draft, suggest
from sam3_agent.labeling.ontology.yaml_file import read_text
from sam3_agent.labeling.pipeline.scan import pictures_in
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.render import Picture, draw_picture
from sam3_agent.workspace.image_loading import read_source
from sam3_agent.workspace.sampling import evenly

SAMPLES = 4
"""Images that the LLM is shown, spread over the folder."""


@dataclass(frozen=True, slots=True)
class SuggestOptions:
    """Options of one call."""

    concepts: Path
    llm: str
    images: Path | None = None
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class SuggestReport:
    """Draft, and the file that it went to."""

    draft: Draft
    out: Path | None

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`."""
        return {"out": str(self.out) if self.out else None, **self.draft.to_json()}


def suggest_words(options: SuggestOptions) -> SuggestReport:
    """Draft a new concept file; the old one, or any other file that exists, is never touched.

    Raises:
        InputError: the concept file cannot be used, or --out exists.
        LLMConfigError: there is no language model.
    """
    if options.out is not None and options.out.exists():
        raise InputError(f"{options.out} exists already, and --suggest overwrites nothing: give another --out")
    text = read_text(options.concepts)
    if options.llm == "rules":
        raise LLMConfigError("--suggest needs a language model: --llm anthropic:MODEL (or openai:, chat:)")
    loaded_llm = load_llm(options.llm)
    pictures = _samples(options.images) if options.images is not None and loaded_llm.sees else []
    with progress_console().status(f"asking {loaded_llm.name}"):
        draft = suggest(loaded_llm, text, options.concepts, pictures)
    if options.out is not None:
        write_text(options.out, draft.text)
    return SuggestReport(draft, options.out)


def print_draft(report: SuggestReport) -> None:
    """Print the new file on stdout where it has no other place; what was left out and what it cost on stderr."""
    draft = report.draft
    notes = [f"left out {each}" for each in draft.dropped]
    notes += [f"${draft.usd:.4f}"] if draft.usd else []
    for note in notes:
        say(note)
    if report.out is None:
        sys.stdout.write(draft.text)
        return
    for name, keys in draft.added.items():
        said = "; ".join(f"{key}: {', '.join(words)}" for key, words in keys.items())
        print_line(said, before=(f"{name}  ", "bold"))
    print_line(f"written to {report.out}; look it over before you use it: --concepts {report.out}")


def _samples(images: Path) -> list[Picture]:
    """Draw some of the images, small."""
    chosen = evenly(pictures_in(images), SAMPLES)
    return [draw_picture(read_source(path)[0], style="plain", longest=768) for path in chosen]
