"""Pages of the review server: their calls with a JSON object in and out, and their pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import pydantic

from sam3_agent.errors import InputError

Call = Callable[[dict[str, Any]], Any]
Pixel = Annotated[float, pydantic.Field(ge=-1e7, le=1e7)]
MOST_POINTS = 100
"""Clicks on one object; people stop at about ten."""
_Shape = TypeVar("_Shape", bound="PageRequest")


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A picture as a browser shows it: a file that is sent as it is, or its bytes."""

    content: Path | bytes
    media_type: str | None = None
    """None where the suffix of the file tells."""
    keep: bool = False
    """Whether the browser may keep it for an hour."""


class ReviewPage(Protocol):
    """A page, as the server serves it."""

    @property
    def page(self) -> str:
        """Name of its HTML among the static files."""
        ...

    def by_name(self) -> dict[str, Call]:
        """List its calls: name in the address -> handler."""
        ...

    def picture(self, key: str) -> PagePicture:
        """Give the picture of that name in the address; raises Sam3AgentError or OSError where there is none."""
        ...


class PageRequest(pydantic.BaseModel):
    """Request of a page; fields that nobody knows are passed over."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)


def read_request(shape: type[_Shape], given: dict[str, Any]) -> _Shape:
    """Read a request.

    Raises:
        InputError: a field is missing or wrong; the message names it.
    """
    try:
        return shape.model_validate(given)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"a field is missing or wrong: {place}: {first['msg']:.200}") from error
