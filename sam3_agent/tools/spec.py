"""Definition of a tool as models and hosts see it, derived from one typed function."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from sam3_agent.errors import ToolError
from sam3_agent.tools.arguments import read_arguments
from sam3_agent.tools.long_work import UNWATCHED, LongWork, Watch
from sam3_agent.tools.presentation import Presentation

Makes = Literal["nothing", "image", "masks", "video"]
"""Additions of a call to the workspace."""


def _arguments_alone(context: Any, **arguments: Any) -> None:
    """Do nothing: the arguments are the whole answer."""


def _unpresented(context: Any, result: Any) -> Presentation:
    return Presentation("", {})


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """Name, words, arguments and functions of one tool, and what a host has to know of it."""

    name: str
    title: str
    description: str
    arguments: type[BaseModel]
    function: Callable[..., Any]
    """`(context, **arguments) -> result`; the context is a Workspace, for job tools a server's JobContext."""
    present: Callable[[Any, Any], Presentation]
    """`(context, result) -> Presentation`."""
    makes: Makes = "nothing"
    removes: bool = False
    """The call takes something away or replaces it."""
    idempotent: bool = True
    """Calling it again with the same arguments changes nothing more."""
    has_picture: bool = False
    shows_masks: bool = False
    """The result can be shown in the viewer page."""
    is_job: bool = False
    """Its context is a server's JobContext, and its result a report to wait for."""
    is_long: bool = False
    """Its function checks its arguments and gives a `LongWork`, which a server runs as a job."""
    writes: bool = False
    """Writes files, where the operator allows it."""
    fetches: bool = False
    """May read from elsewhere than the workspace, where the operator allows it."""
    hidden: tuple[str, ...] = ()
    """Arguments that the caller knows and gives as `known`: the schema does not tell them."""
    brief: bool = False
    """The schema leaves out the limits that only a runaway call meets; `parse` keeps them."""

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        present: Callable[[Any, Any], Presentation],
        **traits: Any,
    ) -> "ToolSpec":
        """Read a spec off `f(context, ...) -> Result`: its signature, docstring and Annotated[..., Field(...)].

        `traits` are the fields of this class from `makes` on; a wrong name raises TypeError.
        """
        hints = get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        fields: dict[str, Any] = {
            p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
        }
        name = function.__name__
        arguments = create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
        return cls(name, _title(name), inspect.getdoc(function) or "", arguments, function, present, **traits)

    @classmethod
    def from_model(cls, name: str, arguments: type[BaseModel]) -> "ToolSpec":
        """Make a spec of arguments alone, such as a verdict's: a model that is to call it answers by calling it."""
        return cls(name, _title(name), inspect.getdoc(arguments) or "", arguments, _arguments_alone, _unpresented)

    def with_argument(self, name: str, kind: Any, default: Any) -> "ToolSpec":
        """The tool with one more argument, which the caller takes out again before it runs the tool."""
        fields: dict[str, Any] = {name: (kind, default)}
        return replace(self, arguments=create_model(self.arguments.__name__, __base__=self.arguments, **fields))

    @property
    def json_schema(self) -> dict[str, Any]:
        """The arguments as a flat JSON schema: no $ref, unions, tuples or titles."""
        schema = copy.deepcopy(_schema_of(self.arguments))
        return _without(schema, self.hidden, _LIMITS if self.brief else frozenset())

    def call(
        self,
        context: Any,
        raw: Mapping[str, Any],
        watch: Watch = UNWATCHED,
        known: Mapping[str, Any] = MappingProxyType({}),
    ) -> Presentation:
        """Check untrusted arguments, run the tool and present its result; `watch` may end long work early.

        `known` stands for arguments that are not in `raw`.

        Raises:
            ToolError: what the caller can repair, bad arguments included; the message says how.
        """
        return self.run(context, dict(self.parse(raw, known)), watch)

    def run(self, context: Any, arguments: Mapping[str, Any], watch: Watch = UNWATCHED) -> Presentation:
        """Run the tool with checked arguments and present its result."""
        result = self.function(context, **arguments)
        return self.presented(context, result.run(watch) if isinstance(result, LongWork) else result)

    def presented(self, context: Any, result: Any) -> Presentation:
        """Present what the tool returned, or what its long work gave."""
        return replace(self.present(context, result), result=result)

    def checked(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument by name, checked, defaults filled in.

        Raises:
            ToolError: an argument is unknown, missing or unusable; the message says how to repair it.
        """
        return dict(self.parse(raw))

    def parse(self, raw: Mapping[str, Any], known: Mapping[str, Any] = MappingProxyType({})) -> BaseModel:
        """Check untrusted arguments; what hosts and models write in other ways is understood (see `arguments`).

        Raises:
            ToolError: they are not usable; the message says how they should be.
        """
        fields = self.arguments.model_fields
        known = {name: value for name, value in known.items() if name in fields}
        try:
            return self.arguments.model_validate({**known, **raw})  # most callers write them as the schema says
        except ValidationError:
            pass
        try:
            return self.arguments.model_validate({**known, **read_arguments(raw, fields)})
        except ValidationError as error:
            raise ToolError(f"{self.name}: " + "; ".join(self._instruction(e) for e in error.errors())) from error

    def _instruction(self, error: Mapping[str, Any]) -> str:
        """One sentence on one bad argument: its name, what was given, what is expected."""
        path = error["loc"]
        name = str(path[0]) if path else "arguments"
        fields = self.arguments.model_fields
        if error["type"] == "extra_forbidden":
            return f"there is no argument {name!r}; the arguments are {', '.join(fields) or 'none'}"
        expected = (fields[name].description or "").split(". ")[0] if name in fields else ""
        if error["type"] == "missing":
            return f"the argument {name!r} is missing: {expected}"
        where = name + "".join(f"[{step}]" for step in path[1:])
        message = str(error["msg"]).replace(" after validation", "").removeprefix("Value error, ")
        told = f"{where} = {_shown(error.get('input'))} is not usable: {message[:1].lower()}{message[1:]}"
        return told if error["type"] in ("literal_error", "value_error") else f"{told}. Expected: {expected}"


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


@cache
def _schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    """Made once: pydantic takes milliseconds for it, and every request to an LLM holds the schema of every tool."""
    schema = arguments.model_json_schema()
    properties = {name: _trimmed(value) for name, value in schema.get("properties", {}).items()}
    result: dict[str, Any] = {"type": "object", "properties": properties}
    if schema.get("required"):
        result["required"] = schema["required"]
    return result


_LIMITS = frozenset({"maxLength", "maxItems", "minItems"})


def _without(schema: dict[str, Any], hidden: tuple[str, ...], keys: frozenset[str]) -> dict[str, Any]:
    """The schema without some arguments, and without some keys of the others and of their items."""
    if not hidden and not keys:
        return schema
    told = {name: _pruned(value, keys) for name, value in schema["properties"].items() if name not in hidden}
    required = [name for name in schema.get("required", []) if name not in hidden]
    return {"type": "object", "properties": told} | ({"required": required} if required else {})


def _pruned(schema: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {
        key: _pruned(cast(dict[str, Any], value), keys) if isinstance(value, dict) else value
        for key, value in schema.items()
        if key not in keys
    }


def _trimmed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without titles, and without defaults that say "nothing": every request to an LLM pays for them."""
    return {
        key: _trimmed(cast(dict[str, Any], value)) if isinstance(value, dict) else value
        for key, value in schema.items()
        if key != "title" and not (key == "default" and value in ("", [], (), False))
    }


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
