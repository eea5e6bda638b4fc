"""Entry of the terminal: an error raised on purpose becomes one line and an exit status."""

import logging
import os
import signal
import sys
from collections.abc import Sequence

from sam3_agent.errors import FileFaults, Sam3AgentError, missing_package
from sam3_agent.formats.control_characters import VisibleFormatter, visible_line

INTERRUPTED = 130
COMPLETE_VARIABLE = "_SAM3_AGENT_COMPLETE"
"""Set by the scripts of `sam3-agent completion` when the shell asks what could come next."""


_FAILURE = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 on a failure, 2 on a usage error, 130 on Ctrl-C."""
    try:
        # Even the imports can be interrupted; they take longer than everything else in a wrong call.
        return run_command(sys.argv[1:] if argv is None else argv)
    except ModuleNotFoundError as error:
        if (words := missing_package(error)) is None:
            raise
        return _fail(words)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not tear up the interpreter's own exit
        sys.stderr.write("interrupted\n")
        if argv is None:
            # An interrupt inside an extension module's own Python code is remembered: at its end the interpreter would
            # kill itself by the signal, whatever is returned here. Everything is unwound by now, so leave at once.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        return INTERRUPTED


def run_command(argv: Sequence[str]) -> int:
    """Run one command and return its exit status; without arguments, show the help.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    import typer

    from sam3_agent.cli.app import app  # both take longer to import than everything else in a wrong call

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # Warnings are for the developers of libraries; they would come between a person and the result.
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    try:
        if COMPLETE_VARIABLE in os.environ:  # the shell asks what could come next
            from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]

            completion_init()
        command = typer.main.get_command(app)
        status = command.main(list(argv) or ["--help"], prog_name="sam3-agent", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except SystemExit as left:  # how typer ends an answer to the shell
        return left.code if isinstance(left.code, int) else 0
    except typer.Abort:
        raise KeyboardInterrupt from None
    except FileFaults as error:
        return max(_fail(fault) for fault in error.faults)
    except Sam3AgentError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{_shown(error.filename)}: {error.strerror}" if error.filename and error.strerror else str(error))
    except MemoryError:
        return _fail("out of memory: try a smaller image or fewer concepts")
    if status == INTERRUPTED:  # what typer makes of a Ctrl-C
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _shown(filename: object) -> str:
    """Name a file for a person: the folder, where it is a temporary file that nobody asked for."""
    folder, _, name = str(filename).rpartition("/")
    return folder if name.startswith(".writing-") else str(filename)


def _fail(message: str, status: int = _FAILURE) -> int:
    sys.stderr.write(f"error: {visible_line(' '.join(message.split()))}\n")
    return status
