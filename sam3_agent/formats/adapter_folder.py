"""Adapters on disk: NAME.adapter, a folder with adapter.json, adapter.safetensors and, where it is gated, a concept.

The tensors are the model's matter; everything else is read here without torch.
"""

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.types import Concept

SUFFIX = ".adapter"
MANIFEST, TENSORS, CONCEPT = "adapter.json", "adapter.safetensors", "adapter.concept.json"
REPORT, PAGE = "report.json", "report.html"
FORMAT = "sam3-agent adapter"
VERSION = 1
MODELS = ("tiny", "facebook/sam3")
"""Names of models that are no paths."""
JOIN = "+"
"""Between a model and its adapters: "facebook/sam3+gear.adapter"."""
MOST_BYTES = 2**20
MOST_WORDS = 64
LONGEST_TEXT = 1000
"""Characters of any text in the manifest."""
LARGEST_SHIFT = 12.0
"""Logits are clamped to that by the model."""


@dataclass(frozen=True, slots=True)
class AdapterManifest:
    """Description of an adapter."""

    name: str
    words: tuple[str, ...]
    """Phrases that it was trained for, cleaned as the model cleans them."""
    always_on: bool
    """Whether it changes every answer; else those for its own words and "@name" alone."""
    base: str
    """Fingerprint of the weights that it changes."""
    base_name: str
    """For people."""
    fingerprint: str
    """16 hex digits of the base and the changes."""
    shift: float = 0.0
    """Added to object logits of its own words, so that 0.5 is the best threshold on images that were left out."""
    notes: tuple[str, ...] = ()
    """Remarks on the way it was made."""

    def to_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "format": FORMAT, "version": VERSION, "name": self.name, "words": list(self.words),
            "always_on": self.always_on, "base": self.base, "base_name": self.base_name,
            "fingerprint": self.fingerprint, "shift": self.shift, "notes": list(self.notes),
        }  # fmt: skip


def split_model(text: str) -> tuple[str, tuple[Path, ...]]:
    """A model and its adapters out of "MODEL+ADAPTER..."; a model whose own path has a "+" stays whole.

    Raises:
        ModelUnavailable: an adapter is not there.
    """
    parts = text.split(JOIN)
    for count in range(len(parts), 0, -1):
        base = JOIN.join(parts[:count])
        if base in MODELS or Path(base).expanduser().exists():
            folders = tuple(Path(part).expanduser() for part in parts[count:])
            break
    else:
        return text, ()
    for folder in folders:
        if not (folder / MANIFEST).is_file():
            there = "holds no adapter.json" if folder.is_dir() else "is not there"
            raise ModelUnavailable(f"no adapter at '{folder}': it {there}; sam3-agent finetune makes one")
    return base, folders


def read_manifest(folder: Path) -> AdapterManifest:
    """Read what an adapter is.

    Raises:
        InputError: it is missing, or no such file.
    """
    path = folder / MANIFEST
    try:
        document = read_json(path, most=MOST_BYTES, finite=True)
        manifest = _manifest(cast(dict[str, Any], document))
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"'{path}' describes no adapter, or is damaged ({type(error).__name__}: {error})") from error
    texts = (manifest.name, manifest.base, manifest.base_name, manifest.fingerprint, *manifest.words, *manifest.notes)
    if any(len(text) > LONGEST_TEXT or not text.isprintable() for text in texts) or len(manifest.words) > MOST_WORDS:
        raise InputError(f"'{path}' holds texts that are too many, too long or not printable")
    if abs(manifest.shift) > LARGEST_SHIFT:
        raise InputError(f"'{path}' shifts logits by {manifest.shift}; at most {LARGEST_SHIFT} is read")
    return manifest


def read_adapter_concept(folder: Path) -> Concept:
    """Read the concept that a gated adapter answers to.

    Raises:
        InputError: it is missing, no such file, or belongs to another adapter.
    """
    manifest, concept = read_manifest(folder), read_concept(folder / CONCEPT)
    if concept.tokens.segmenter != manifest.fingerprint:
        raise InputError(f"the concept in '{folder}' belongs to another adapter ({concept.tokens.segmenter})")
    return concept


def adapter_concepts(folders: Sequence[Path]) -> dict[str, Concept]:
    """Concepts of all adapters that are gated, by name; of equal names the last."""
    gated = [folder for folder in folders if (folder / CONCEPT).is_file()]
    return {concept.name: concept for concept in map(read_adapter_concept, gated)}


def write_description(folder: Path, manifest: AdapterManifest, concept: Concept | None, report: dict[str, Any]) -> None:
    """Write everything but the tensors and the page into a folder that is there."""
    write_json(folder / MANIFEST, manifest.to_json(), indent=1)
    write_json(folder / REPORT, report, indent=1)
    if concept is not None:
        write_concept(concept, folder / CONCEPT)


@contextmanager
def replacing_folder(path: Path) -> Generator[Path]:
    """Give an empty folder beside `path` that takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    try:
        yield made
        made.chmod(0o777 & ~_umask())
        old = made.with_name(f"{made.name}-old")
        if path.exists():
            path.rename(old)
        made.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _manifest(document: dict[str, Any]) -> AdapterManifest:
    if document["format"] != FORMAT or document["version"] != VERSION:
        raise ValueError(f"format {document['format']!r:.60} {document['version']!r:.20}, expected {FORMAT} {VERSION}")
    if not isinstance(document["always_on"], bool):
        raise ValueError("always_on is no truth value")
    return AdapterManifest(
        str(document["name"]),
        tuple(str(word) for word in document["words"]),
        document["always_on"],
        str(document["base"]),
        str(document["base_name"]),
        str(document["fingerprint"]),
        float(document["shift"]),
        tuple(str(note) for note in document["notes"]),
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
