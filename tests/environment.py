"""Environment of the programs that tests start: they import this checkout, installed or not."""

import os
from pathlib import Path


def python_path(checkout: Path) -> str:
    """Return the PYTHONPATH that finds every import package of a checkout."""
    return os.pathsep.join(str(folder) for folder in (checkout, checkout / "mcp_server", checkout / "evals"))
