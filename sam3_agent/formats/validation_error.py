"""Pydantic validation errors in one line."""

import pydantic


def first_error(error: pydantic.ValidationError, whole: str = "document") -> str:
    """Give the first error as "place: why"; `whole` names the place where that is the document itself."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place or whole}: {first['msg']}"
