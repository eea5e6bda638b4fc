"""`sam3-agent adapter show` and `merge`: what an adapter is, and a model with one in its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sam3_agent.cli.loading import loading_model
from sam3_agent.cli.output import print_line
from sam3_agent.errors import InputError
from sam3_agent.formats.adapter_folder import (
    JOIN,
    REPORT,
    TENSORS,
    AdapterManifest,
    read_manifest,
    split_model,
)
from sam3_agent.formats.reading import read_json

MOST_REPORT = 2**22
"""Bytes of a report."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An adapter's description, size and report."""

    manifest: AdapterManifest
    size: int
    """Bytes of the tensors."""
    report: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        return {**self.manifest.to_json(), "bytes": self.size, "report": self.report}

    def print(self) -> None:
        """A few lines for a person."""
        manifest = self.manifest
        kind = "always on" if manifest.always_on else "on for its own words alone"
        print_line(f"{manifest.name}: for {', '.join(manifest.words)}; {kind}; {self.size / 1e6:.2f} MB")
        print_line(f"of {manifest.base_name} ({manifest.base}); adapter {manifest.fingerprint}")
        for note in manifest.notes:
            print_line(note)
        others = _entries(self.report.get("others")).get("figures")
        for name, pair in (_entries(self.report.get("own")) | _entries(others)).items():
            print_line(f"{name:24} {_value(pair, 'before')}  ->  {_value(pair, 'after')}")


def show(folder: Path) -> Shown:
    """Read an adapter without loading its model.

    Raises:
        InputError: it is none.
    """
    manifest = read_manifest(folder)
    tensors, report = folder / TENSORS, folder / REPORT
    said = _entries(read_json(report, most=MOST_REPORT)) if report.is_file() else {}
    return Shown(manifest, tensors.stat().st_size if tensors.is_file() else 0, said)


def merge(model: str, out: Path) -> AdapterManifest:
    """Write a model's folder with an always-on adapter in its weights.

    Raises:
        InputError: no adapter or several, a gated one, or `out` is there.
        ModelUnavailable: the model or the adapter cannot be read.
    """
    base, folders = split_model(model)
    if len(folders) != 1:
        raise InputError(f"give a model with one adapter, such as tiny{JOIN}NAME.adapter; got '{model}'")
    manifest = read_manifest(folders[0])
    if not manifest.always_on:
        raise InputError(
            f"'{folders[0]}' is on for '{', '.join(manifest.words)}' alone, which no weights can express: merged, it"
            f" would answer every word. Use it as --model {model}, or fine-tune it with --always-on"
        )
    if out.exists():
        raise InputError(f"'{out}' is there already")
    with loading_model(model):
        from sam3_agent.model.adapters.merging import write_merged  # imports torch

    write_merged(base, folders[0], out)
    return manifest


def _entries(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _value(pair: object, key: str) -> str:
    values = _entries(pair).get(key)
    first = cast(list[Any], values)[0] if isinstance(values, list) and values else None
    return f"{first:.3f}" if isinstance(first, int | float) else "-"
