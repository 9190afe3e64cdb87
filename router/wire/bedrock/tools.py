"""Tools, the choice among them, calls of them, and the tool that stands in for a form of the answer."""

from __future__ import annotations

import hashlib
import re

import msgspec

from router.wire import asked
from router.wire.anthropic.schema import strict_parameters_of
from router.wire.bedrock.content import Block, cache_point
from router.wire.bedrock.models import is_claude, takes_structured_output, takes_tool_choice
from router.wire.json_tool import JSON_TOOL, JSON_TOOL_DESCRIPTION, refuse_its_name
from router.wire.members import FLAG, Members

_MAX_ID_CHARS = 64
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_.:-]")
_DIGEST_CHARS = 32

_ANTHROPIC_TYPES = {"auto": "auto", "required": "any", "function": "tool"}


class _ToolSpec(msgspec.Struct, omit_defaults=True, rename="camel"):
    name: str
    input_schema: dict[str, dict[str, msgspec.Raw] | msgspec.Raw]
    description: str | None = None
    strict: bool | None = None


class Tools(msgspec.Struct):
    """`toolConfig`, None without tools; what of a choice has to be said in Anthropic's own words, in
    `additionalModelRequestFields`; and what the model cannot be told."""

    config: dict[str, object] | None
    anthropic_choice: dict[str, object] | None = None
    untaken: list[str] = []


def tools_of(
    members: Members, model: str, called: list[str], answer: dict[str, msgspec.Raw] | None, *, thinks: bool
) -> Tools:
    """called: names in the calls of the conversation; answer: the schema of the tool that stands in for a form of the
    answer; thinks: the model was told to think, and can then not be made to call. Raises GatewayError
    (INVALID_REQUEST)."""
    functions = asked.tools_of(members, "Bedrock")
    refuse_its_name(functions)
    choice = asked.tool_choice_of(members)
    parallel = members.take("parallel_tool_calls", FLAG)
    specs = [block for function in functions for block in _tool(function, model)]
    if answer is not None:
        specs.append({"toolSpec": _ToolSpec(JSON_TOOL, {"json": _schema(answer)}, JSON_TOOL_DESCRIPTION)})
        must_call = takes_tool_choice(model) and not thinks
        return Tools({"tools": specs, **({"toolChoice": _choice_with_answer(choice)} if must_call else {})})
    if choice is not None and choice.mode == "none":
        return _uncalled(specs, called, model)
    if not specs:
        # Bedrock refuses a conversation with calls of tools that it was not told of.
        return Tools({"tools": [_bare_tool(name) for name in called]} if called else None)
    if len(functions) == 1 and not is_claude(model):
        # Nothing can be said, and there are not several to call.
        parallel = None
    return _chosen(Tools({"tools": specs}), model, choice, parallel=parallel)


def tool_use(call: asked.ToolCall, param: str) -> Block:
    """A call in the conversation. Raises GatewayError (INVALID_REQUEST) for arguments that are no JSON object."""
    arguments = asked.arguments_in(call, param)
    return {"toolUse": {"toolUseId": clean_id(call.id), "name": call.function.name, "input": arguments}}


def clean_id(tool_call_id: str) -> str:
    """An id as Bedrock takes it: other providers, whose calls are in the conversation too, are freer in theirs."""
    clean = _NOT_IN_AN_ID.sub("_", tool_call_id)
    if len(clean) <= _MAX_ID_CHARS:
        return clean
    # Cut short, two ids could become one.
    digest = hashlib.sha256(tool_call_id.encode(errors="replace")).hexdigest()[:_DIGEST_CHARS]
    return clean[: _MAX_ID_CHARS - _DIGEST_CHARS - 1] + "_" + digest


def _chosen(tools: Tools, model: str, choice: asked.ToolChoice | None, *, parallel: bool | None) -> Tools:
    """Tools with a choice among them, in Anthropic's words where Converse has none."""
    if choice is not None and choice.mode != "auto" and not takes_tool_choice(model):
        tools.untaken.append("tool_choice")
    elif parallel is False and is_claude(model):
        kind = _ANTHROPIC_TYPES[choice.mode if choice else "auto"]
        tools.anthropic_choice = {"type": kind, "disable_parallel_tool_use": True}
        if choice is not None and choice.name:
            tools.anthropic_choice["name"] = choice.name
    elif choice is not None and takes_tool_choice(model):
        tools.config = {**(tools.config or {}), "toolChoice": _choice(choice)}
    if parallel is False and not is_claude(model):
        tools.untaken.append("parallel_tool_calls")
    return tools


def _uncalled(specs: list[Block], called: list[str], model: str) -> Tools:
    """Tools that must not be called: Converse has no word for it, and need not know them before the first call."""
    if not called:
        return Tools(None)
    config: dict[str, object] = {"tools": specs or [_bare_tool(name) for name in called]}
    if is_claude(model):
        return Tools(config, {"type": "none"})
    return Tools(config, untaken=["tool_choice"])


def _choice_with_answer(choice: asked.ToolChoice | None) -> dict[str, object]:
    """The answer is a call like others: some call must come; where none may, the answer."""
    match choice:
        case asked.ToolChoice(mode="none"):
            return {"tool": {"name": JSON_TOOL}}
        case asked.ToolChoice(mode="function", name=name):
            return {"tool": {"name": name}}
    return {"any": {}}


def _choice(choice: asked.ToolChoice) -> dict[str, object]:
    match choice.mode:
        case "required":
            return {"any": {}}
        case "function":
            return {"tool": {"name": choice.name}}
    return {"auto": {}}


def _tool(function: asked.Function, model: str) -> list[Block]:
    spec = _ToolSpec(function.name, {"json": _schema(function.parameters)}, function.description or None)
    if function.strict and takes_structured_output(model):
        closed = strict_parameters_of(_schema(function.parameters))
        # Where it cannot be held to, a schema is still a description.
        if closed is not None:
            spec.strict, spec.input_schema = True, {"json": closed}
    return [{"toolSpec": spec}, *cache_point(function.cache_control)]


def _bare_tool(name: str) -> Block:
    return {"toolSpec": _ToolSpec(name, {"json": _schema(None)})}


def _schema(parameters: dict[str, msgspec.Raw] | None) -> dict[str, msgspec.Raw]:
    schema = parameters or {}
    if "type" in schema:
        return schema
    # Bedrock demands it; in OpenAI's language a function without parameters says nothing at all.
    return {"type": msgspec.Raw(b'"object"'), "properties": msgspec.Raw(b"{}"), **schema}
