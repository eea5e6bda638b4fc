"""`sam3-agent`: the terminal front door."""

import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 on a failure, 2 on a usage error, 130 on Ctrl-C."""
    try:
        # Even the imports can be interrupted; they take longer than everything else in a wrong call.
        from sam3_agent.cli.main import run

        return run(sys.argv[1:] if argv is None else argv)
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
