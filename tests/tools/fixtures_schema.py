"""Walk through the JSON schema of a tool."""

from collections.abc import Iterator
from typing import Any


def unbounded(schema: dict[str, Any], place: str) -> Iterator[str]:
    """Places of a schema where a text or a list may have any length."""
    if schema["type"] == "string" and not {"maxLength", "enum"} & schema.keys():
        yield place
    if schema["type"] == "array":
        if "maxItems" not in schema:
            yield place
        yield from unbounded(schema["items"], f"{place}[]")
    if schema["type"] == "object":
        if "properties" not in schema:
            yield place
        for name, inner in schema.get("properties", {}).items():
            yield from unbounded(inner, f"{place}.{name}")
