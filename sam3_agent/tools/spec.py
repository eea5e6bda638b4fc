"""A tool as models see it, derived from one typed function."""

import copy
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo

from sam3_agent.errors import ToolError
from sam3_agent.tools.present import Presentation, present
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """Name, words, arguments and function of one tool."""

    name: str
    title: str
    description: str
    arguments: type[BaseModel]
    read_only: bool
    """False where the call takes something away."""
    function: Callable[..., Any]

    @classmethod
    def of(cls, function: Callable[..., Any], *, read_only: bool = True) -> "ToolSpec":
        """Read a spec off `f(workspace, ...) -> Result`: its signature, docstring and Annotated[..., Field(...)]."""
        hints = get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        fields: dict[str, Any] = {
            p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
        }
        name = function.__name__
        arguments = create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
        title = name.replace("_", " ").capitalize()
        return cls(name, title, inspect.getdoc(function) or "", arguments, read_only, function)

    @property
    def json_schema(self) -> dict[str, Any]:
        """The arguments as a flat JSON schema: no $ref, unions, tuples or titles."""
        return copy.deepcopy(_schema_of(self.arguments))

    def call(self, workspace: Workspace, raw: Mapping[str, Any]) -> Presentation:
        """Check untrusted arguments, run the tool and present its result.

        Raises:
            ToolError: what the caller can repair, bad arguments included; the message says how.
        """
        return present(workspace, self.function(workspace, **self.checked(raw)))

    def checked(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument by name, checked, defaults filled in.

        Raises:
            ToolError: an argument is unknown, missing or unusable; the message says how to repair it.
        """
        arguments = self.parse(raw)
        return {name: getattr(arguments, name) for name in self.arguments.model_fields}

    def parse(self, raw: Mapping[str, Any]) -> BaseModel:
        """Check untrusted arguments.

        Raises:
            ToolError: they are not usable; the message says how they should be.
        """
        fields = self.arguments.model_fields
        lenient = {
            name: _unpack(value, fields[name]) if name in fields else value
            for name, value in raw.items()
            if value is not None or (name in fields and fields[name].is_required())
        }
        try:
            return self.arguments.model_validate(lenient)
        except ValidationError as error:
            raise ToolError(f"{self.name}: " + "; ".join(self._instruction(e) for e in error.errors())) from error

    def _instruction(self, error: Mapping[str, Any]) -> str:
        """One sentence on one bad argument: which, what was given, what is expected."""
        path = error["loc"]
        name = str(path[0]) if path else "arguments"
        fields = self.arguments.model_fields
        if error["type"] == "extra_forbidden":
            return f"there is no argument {name!r}; the arguments are {', '.join(fields) or 'none'}"
        expected = (fields[name].description or "").split(". ")[0] if name in fields else ""
        if error["type"] == "missing":
            return f"the argument {name!r} is missing: {expected}"
        where = name + "".join(f"[{step}]" for step in path[1:])
        message = str(error["msg"]).replace(" after validation", "")
        told = f"{where} = {_shown(error.get('input'))} is not usable: {message[:1].lower()}{message[1:]}"
        return told if error["type"] == "literal_error" else f"{told}. Expected: {expected}"


@cache
def _schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    """Made once: pydantic takes milliseconds for it, and every request to an LLM holds the schema of every tool."""
    schema = arguments.model_json_schema()
    properties = {name: _without_titles(value) for name, value in schema.get("properties", {}).items()}
    result: dict[str, Any] = {"type": "object", "properties": properties}
    if schema.get("required"):
        result["required"] = schema["required"]
    return result


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_titles(cast(dict[str, Any], value)) if isinstance(value, dict) else value
        for key, value in schema.items()
        if key != "title"
    }


def _unpack(value: Any, field: FieldInfo) -> Any:
    """Read lists in other ways that models write them: as JSON text, with commas, one box without its outer list."""
    if get_origin(field.annotation) is not Sequence:
        return value
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",")] if value.strip() else []
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return value
    nested = field.annotation == Sequence[Sequence[float]]
    if nested and isinstance(value, list) and value and all(isinstance(v, int | float) for v in cast(list[Any], value)):
        return [value]
    return cast(Any, value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
