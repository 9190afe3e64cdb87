"""Functions as OpenAI writes them, for the languages that took its form over: name, description, schema."""

from __future__ import annotations

import msgspec

from router.wire import asked


class _Function(msgspec.Struct, omit_defaults=True):
    name: str
    parameters: dict[str, msgspec.Raw]
    description: str | None = None


class FunctionTool(msgspec.Struct, tag_field="type", tag="function"):
    """A tool that is a function."""

    function: _Function


def function_tool(function: asked.Function) -> FunctionTool:
    """Always with a schema: in OpenAI's own language a function without parameters says nothing at all."""
    parameters = function.parameters
    if parameters is None:
        parameters = {"type": msgspec.Raw(b'"object"'), "properties": msgspec.Raw(b"{}")}
    return FunctionTool(_Function(function.name, parameters, function.description))
