"""Tools, the choice among them, and calls of them."""

from __future__ import annotations

import re

import msgspec

from router.wire.anthropic.content import CacheControl
from router.wire.anthropic.members import Members, invalid, read


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _GivenTool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None
    cache_control: CacheControl | None = None


class Tool(msgspec.Struct, omit_defaults=True):
    """A tool in Anthropic's words."""

    name: str
    # Written even when empty, as Anthropic's own clients do.
    description: str
    input_schema: dict[str, msgspec.Raw]
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _FunctionName(msgspec.Struct):
    name: str


class _NamedChoice(msgspec.Struct):
    type: str
    function: _FunctionName | None = None


class ToolChoice(msgspec.Struct, omit_defaults=True):
    """A choice among tools in Anthropic's words."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """A call in an assistant's message, as callers write it."""

    id: str
    function: _CalledFunction
    cache_control: CacheControl | None = None


class ToolUseBlock(msgspec.Struct, tag="tool_use", omit_defaults=True):
    id: str
    name: str
    input: dict[str, msgspec.Raw]
    cache_control: CacheControl | None = None


_tools_decoder = msgspec.json.Decoder(list[_GivenTool])
_choice_decoder = msgspec.json.Decoder(_NamedChoice | str)
_bool_decoder = msgspec.json.Decoder(bool)
_arguments_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def tools_of(members: Members) -> list[Tool]:
    """Raises GatewayError (INVALID_REQUEST)."""
    given = members.take("tools", _tools_decoder) or ()
    return [_tool(tool, f"tools[{at}]") for at, tool in enumerate(given)]


def choice_of(members: Members, *, has_tools: bool) -> ToolChoice | None:
    """`tool_choice` and `parallel_tool_calls`, which are one thing here; None: nothing but the default is asked."""
    given = members.take("tool_choice", _choice_decoder)
    parallel = members.take("parallel_tool_calls", _bool_decoder)
    if not has_tools:
        # Anthropic refuses a choice among no tools; it would change nothing.
        return None
    if given is None and parallel is not False:
        return None
    kind, name = _chosen(given)
    return ToolChoice(kind, name, None if parallel is None or kind == "none" else not parallel)


def tool_use(call: ToolCall, param: str) -> ToolUseBlock:
    """Raises GatewayError (INVALID_REQUEST) for arguments that are no JSON object; empty ones are an empty object."""
    arguments = call.function.arguments
    given = read(_arguments_decoder, arguments, f"{param}.function.arguments") if arguments.strip() else {}
    return ToolUseBlock(clean_id(call.id), call.function.name, given, call.cache_control)


def clean_id(tool_call_id: str) -> str:
    """An id as Anthropic takes it: other providers, whose calls are in the conversation too, are freer in theirs."""
    return _NOT_IN_AN_ID.sub("_", tool_call_id)


def _tool(given: _GivenTool, param: str) -> Tool:
    function = given.function
    if given.type != "function" or function is None:
        raise invalid(f"Invalid {param}: only functions can be given to Anthropic's models here.", param)
    schema = function.parameters or {}
    if "type" not in schema:
        # Anthropic demands it; in OpenAI's language a function without parameters says nothing at all.
        schema = {"type": msgspec.Raw(b'"object"'), "properties": msgspec.Raw(b"{}"), **schema}
    cache_control = given.cache_control or function.cache_control
    return Tool(function.name, function.description or "", schema, function.strict, cache_control)


def _chosen(given: _NamedChoice | str | None) -> tuple[str, str | None]:
    if given is None:
        return "auto", None
    if isinstance(given, str):
        if given in _CHOICES:
            return _CHOICES[given], None
    elif given.type == "function" and given.function is not None:
        return "tool", given.function.name
    raise invalid("Invalid tool_choice: it must be auto, required, none or the name of a function.", "tool_choice")
