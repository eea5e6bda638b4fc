"""Contents of the wheel of `sam3-eval`: the packages of this checkout without the server and the weights."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = {"sam3_agent": "sam3_agent", "evals/sam3_evals": "sam3_evals"}
"""Folder of the checkout -> folder of the wheel."""
LEFT_OUT = ("sam3_agent/model/weights",)
"""14 MB, which nothing here can run."""


class WheelContents(BuildHookInterface):  # type: ignore[type-arg]
    """Names the files of the wheel one by one: hatchling cannot leave out a part of a folder outside the project."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill in `force_include`; raises RuntimeError outside a checkout, for there is nothing to package."""
        if not (CHECKOUT / "sam3_agent" / "__init__.py").is_file():
            raise RuntimeError("sam3-eval is built in a checkout of sam3-agent: uv build --wheel release/eval")
        for source, target in PACKAGES.items():
            for path in sorted((CHECKOUT / source).rglob("*")):
                name = f"{target}/{path.relative_to(CHECKOUT / source).as_posix()}"
                if path.is_file() and "__pycache__" not in path.parts and not name.startswith(LEFT_OUT):
                    build_data["force_include"][str(path)] = name
