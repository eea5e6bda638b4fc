"""One labelling run a folder at a time."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sam3_agent.errors import InputError, Sam3AgentError

FILE = ".labeling"


@contextmanager
def claimed(folder: Path) -> Generator[None]:
    """Hold a folder for this run; the claim ends with the process, however it ends.

    Raises:
        InputError: another run holds it.
        Sam3AgentError: the folder cannot be written.
    """
    try:
        file = (folder / FILE).open("w")
    except OSError as error:
        raise Sam3AgentError(f"cannot write {folder}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another 'sam3-agent label' is working on {folder}; wait for it or stop it") from error
        yield
