"""Checkpoints of a run over a video: memories of tracks as arrays in files beside the journal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError

Arrays = Mapping[str, Mapping[str, NDArray[Any]]]
"""Track id -> name -> array."""


def write_arrays(folder: Path, name: str, groups: Mapping[str, Arrays]) -> str:
    """Write arrays of several groups of tracks into one file, aside and then in place; gives the file's name."""
    flat = {
        f"{group}|{track_id}|{key}": array
        for group, tracks in groups.items()
        for track_id, arrays in tracks.items()
        for key, array in arrays.items()
    }
    part = folder / f"{name}.part"
    with part.open("wb") as file:
        np.savez(file, **flat)  # pyright: ignore[reportArgumentType]
    part.replace(folder / name)
    return name


def read_arrays(folder: Path, name: str) -> dict[str, dict[str, dict[str, NDArray[Any]]]]:
    """What `write_arrays` wrote.

    Raises:
        InputError: the file is gone or broken.
    """
    groups: dict[str, dict[str, dict[str, NDArray[Any]]]] = {}
    try:
        with np.load(folder / name) as held:
            for key in held.files:
                group, track_id, own = key.split("|")
                groups.setdefault(group, {}).setdefault(track_id, {})[own] = held[key]
    except (OSError, ValueError, BadZipFile) as error:
        raise InputError(
            f"{folder / name}: the checkpoint cannot be read ({error}); track into a new folder"
        ) from error
    return groups


def keep_only(folder: Path, name: str) -> None:
    """Delete the checkpoints of a folder but one; "" keeps none."""
    for path in folder.glob("memory-*.npz"):
        if path.name != name:
            path.unlink(missing_ok=True)
