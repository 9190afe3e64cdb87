"""Functions, Google's own tools, and the choice among functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from router.wire import asked
from router.wire.gemini.own import camel
from router.wire.gemini.schema import json_schema_of, openapi_of
from router.wire.members import RAWS, Members, invalid, read

# Tools that Google runs itself, by their names in its API, where they are written like this or with underscores.
_SERVER_TOOLS = (
    "googleSearch",
    "googleSearchRetrieval",
    "enterpriseWebSearch",
    "googleMaps",
    "urlContext",
    "codeExecution",
    "computerUse",
    "fileSearch",
    "retrieval",
    "parallelAiSearch",
)
# What callers of other APIs call the same.
_BY_TYPE: Mapping[str, str] = {
    "web_search": "googleSearch",
    "web_search_preview": "googleSearch",
    "google_search": "googleSearch",
    "url_context": "urlContext",
    "code_interpreter": "codeExecution",
    "code_execution": "codeExecution",
}
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE", "function": "ANY"}

_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_function_decoder = msgspec.json.Decoder(asked.Function)
_tools_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
# Where a schema without `properties` may have members all the same.
_OTHER_MEMBERS = frozenset(("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "additionalProperties"))
_EMPTY = msgspec.Raw(b"{}")


class Declaration(msgspec.Struct, rename="camel", omit_defaults=True):
    """A function; its parameters in one of two forms, or none when it has none."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class Tools(msgspec.Struct):
    """functions: how many of the tools are functions of the caller's."""

    sent: list[dict[str, object]]
    functions: int


def tools_of(members: Members) -> Tools:
    """`tools` and `web_search_options`. Raises GatewayError (INVALID_REQUEST)."""
    declarations: list[Declaration] = []
    server: dict[str, object] = {}
    given = members.take("tools", _tools_decoder) or []
    for at, tool in enumerate(given):
        own = _server_tool(tool)
        if own:
            server.update(own)
        else:
            declarations.append(_declaration(tool, f"tools[{at}]"))
    declarations = asked.permitted(declarations, members)
    if members.take("web_search_options", RAWS) is not None:
        server.setdefault("googleSearch", _EMPTY)
    sent: list[dict[str, object]] = [{"functionDeclarations": declarations}] if declarations else []
    sent += [{name: value} for name, value in server.items()]
    return Tools(sent, len(declarations))


def config_of(members: Members, tools: Tools) -> dict[str, object] | None:
    """`tool_choice`; None when nothing but the default is asked. Raises GatewayError (INVALID_REQUEST)."""
    choice = asked.tool_choice_of(members)
    if choice is None or not tools.functions:
        return None
    config: dict[str, object] = {"mode": _MODES[choice.mode]}
    if choice.name:
        config["allowedFunctionNames"] = [choice.name]
    return {"functionCallingConfig": config}


def _server_tool(tool: Mapping[str, msgspec.Raw]) -> dict[str, object]:
    own: dict[str, object] = {camel(name): value for name, value in tool.items() if camel(name) in _SERVER_TOOLS}
    if own or "function" in tool or "type" not in tool:
        return own
    kind = read(_any_decoder, tool["type"], "tools")
    name = _BY_TYPE.get(kind) if isinstance(kind, str) else None
    return {name: _EMPTY} if name else {}


def _declaration(tool: Mapping[str, msgspec.Raw], param: str) -> Declaration:
    if "function" not in tool or bytes(tool.get("type", b'"function"')) != b'"function"':
        raise invalid(f"Invalid {param}: it is neither a function nor a tool of Google's.", param)
    function = read(_function_decoder, tool["function"], f"{param}.function")
    declaration = Declaration(function.name, function.description)
    where = f"{param}.function.parameters"
    schema = {name: read(_any_decoder, raw, where) for name, raw in (function.parameters or {}).items()}
    if not schema.get("properties") and not _OTHER_MEMBERS & schema.keys():
        return declaration
    declaration.parameters = openapi_of(schema)
    if declaration.parameters is None:
        declaration.parameters_json_schema = json_schema_of(schema, where)
    return declaration
