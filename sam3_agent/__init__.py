"""SAM 3 with reasoning: masks for what a sentence describes.

The public names stand in `__init__.pyi`, one line each. A name is imported at its first use, so that
`import sam3_agent` costs nothing and never imports torch.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_LINE = re.compile(r"^from ([\w.]+) import (\w+) as \2$", re.MULTILINE)


def _public_modules() -> dict[str, str]:
    """Return {public name: module that defines it}, as the stub beside this file lists them."""
    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    return {name: module for module, name in _LINE.findall(stub)}


_MODULES = _public_modules()

__all__ = sorted([*_MODULES, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]  # it reads the stub


def __getattr__(name: str) -> Any:
    """Import the module that defines a public name when the name is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'sam3_agent' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, whether or not they were used yet."""
    return __all__
