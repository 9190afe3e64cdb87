"""Tools, the choice among them, and calls of them."""

from __future__ import annotations

import re

import msgspec

from router.wire import asked
from router.wire.anthropic.models import takes_schemas
from router.wire.anthropic.schema import strict_parameters_of
from router.wire.asked import CacheControl
from router.wire.json_tool import JSON_TOOL, JSON_TOOL_DESCRIPTION, refuse_its_name
from router.wire.members import FLAG, Members


class Tool(msgspec.Struct, omit_defaults=True):
    """A tool in Anthropic's words."""

    name: str
    # Written even when empty, as Anthropic's own clients do.
    description: str
    input_schema: dict[str, msgspec.Raw] | msgspec.Raw
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoice(msgspec.Struct, omit_defaults=True):
    """A choice among tools in Anthropic's words."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ToolUseBlock(msgspec.Struct, tag="tool_use", omit_defaults=True):
    id: str
    name: str
    input: dict[str, msgspec.Raw]
    cache_control: CacheControl | None = None


_MODES = {"auto": "auto", "required": "any", "none": "none", "function": "tool"}
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def tools_of(members: Members, model: str, answer: dict[str, msgspec.Raw] | None) -> list[Tool]:
    """answer: the schema of the tool that stands in for a form of the answer. Raises GatewayError (INVALID_REQUEST)."""
    functions = asked.tools_of(members, "Anthropic")
    refuse_its_name(functions)
    tools = [_tool(function, model) for function in functions]
    return tools if answer is None else [*tools, Tool(JSON_TOOL, JSON_TOOL_DESCRIPTION, answer)]


def choice_of(members: Members, tools: list[Tool], *, must_answer: bool, thinks: bool) -> ToolChoice | None:
    """`tool_choice` and `parallel_tool_calls`, which are one thing here; None: nothing but the default is asked.

    must_answer: the last tool stands in for a form of the answer, so that some call must come; thinks: the model was
    told to think, and cannot be made to call.
    """
    given = asked.tool_choice_of(members)
    parallel = members.take("parallel_tool_calls", FLAG)
    if not tools:
        # Anthropic refuses a choice among no tools; it would change nothing.
        return None
    if must_answer and not thinks:
        given = _with_answer(given, is_only=len(tools) == 1)
    if given is None and parallel is not False:
        return None
    kind = _MODES[given.mode if given else "auto"]
    name = given.name if given and given.name else None
    return ToolChoice(kind, name, None if parallel is None or kind == "none" else not parallel)


def _with_answer(given: asked.ToolChoice | None, *, is_only: bool) -> asked.ToolChoice:
    """The answer is a call like others: some call must come; where no other may, the answer."""
    if is_only or (given is not None and given.mode == "none"):
        return asked.ToolChoice("function", JSON_TOOL)
    return given if given is not None and given.mode == "function" else asked.ToolChoice("required")


def tool_use(call: asked.ToolCall, param: str) -> ToolUseBlock:
    """Raises GatewayError (INVALID_REQUEST) for arguments that are no JSON object; empty ones are an empty object."""
    return ToolUseBlock(clean_id(call.id), call.function.name, asked.arguments_in(call, param), call.cache_control)


def clean_id(tool_call_id: str) -> str:
    """An id as Anthropic takes it: other providers, whose calls are in the conversation too, are freer in theirs."""
    return _NOT_IN_AN_ID.sub("_", tool_call_id)


def _tool(function: asked.Function, model: str) -> Tool:
    schema = function.parameters or {}
    if "type" not in schema:
        # Anthropic demands it; in OpenAI's language a function without parameters says nothing at all.
        schema = {"type": msgspec.Raw(b'"object"'), "properties": msgspec.Raw(b"{}"), **schema}
    tool = Tool(function.name, function.description or "", schema, function.strict, function.cache_control)
    if function.strict:
        closed = strict_parameters_of(schema) if takes_schemas(model) else None
        # Where it cannot be held to, a schema is still a description.
        tool.strict, tool.input_schema = (None, schema) if closed is None else (True, closed)
    return tool
