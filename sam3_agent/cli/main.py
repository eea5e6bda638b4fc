"""The border of the terminal: whatever a command raises on purpose becomes one line and an exit status."""

import logging
import sys
from collections.abc import Sequence

import typer

from sam3_agent.cli import INTERRUPTED
from sam3_agent.cli.app import app
from sam3_agent.errors import Sam3AgentError

_FAILURE = 1


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit status; without arguments, show the help.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s: %(message)s")
    # Warnings are for the developers of libraries; they would come between a person and the result.
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    try:
        command = typer.main.get_command(app)
        status = command.main(list(argv) or ["--help"], prog_name="sam3-agent", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Sam3AgentError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except MemoryError:
        return _fail("out of memory: try a smaller picture or fewer concepts")
    if status == INTERRUPTED:  # what typer makes of a Ctrl-C
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int = _FAILURE) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return status
