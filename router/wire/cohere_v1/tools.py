"""Tools as version 1 has them: flat lists of parameters with Python's names for their types.

What a JSON schema says beyond the first level's types, descriptions and requirements is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.wire import asked
from router.wire.members import Members, read

_TYPES: Mapping[str, str] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


class _Property(msgspec.Struct):
    type: object = None
    description: str | None = None


class _Definition(msgspec.Struct, omit_defaults=True):
    type: str
    description: str | None = None
    required: bool = False


class _Tool(msgspec.Struct):
    name: str
    description: str
    parameter_definitions: dict[str, _Definition]


class Tools(msgspec.Struct):
    """forced: the caller demands a call, which version 1 cannot."""

    given: list[_Tool]
    forced: bool


_properties_decoder = msgspec.json.Decoder(dict[str, _Property])
_required_decoder = msgspec.json.Decoder(list[str])
_NOTHING = msgspec.Raw(b"{}")
_NONE = msgspec.Raw(b"[]")


def tools_of(members: Members) -> Tools:
    """`tools` and `tool_choice`. Raises GatewayError (INVALID_REQUEST)."""
    functions = asked.tools_of(members, "Cohere")
    choice = asked.tool_choice_of(members)
    mode = choice.mode if choice is not None and functions else "auto"
    # Tools that are not there are not called.
    given = [] if mode == "none" else functions
    tools = [_tool(function, f"tools[{at}].function.parameters") for at, function in enumerate(given)]
    return Tools(tools, mode in ("required", "function"))


def _tool(function: asked.Function, param: str) -> _Tool:
    schema = function.parameters or {}
    properties = read(_properties_decoder, schema.get("properties", _NOTHING), f"{param}.properties")
    required = read(_required_decoder, schema.get("required", _NONE), f"{param}.required")
    definitions = {
        name: _Definition(
            # Of several types, and of none, a text can hold any.
            _TYPES.get(each.type, "str") if isinstance(each.type, str) else "str",
            each.description,
            name in required,
        )
        for name, each in properties.items()
    }
    return _Tool(function.name, function.description or "", definitions)
