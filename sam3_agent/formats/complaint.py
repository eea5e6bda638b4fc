"""What is wrong with a document, in one line."""

import pydantic


def complaint(error: pydantic.ValidationError, whole: str = "document") -> str:
    """The first thing that does not fit as "place: why"; `whole` names the place where that is all of it."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place or whole}: {first['msg']}"
