"""The tool whose call is the answer, where a model cannot be held to a schema otherwise.

A caller's own tool must not have its name: in an answer nothing else tells the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.wire.asked import Function
from router.wire.members import invalid

# LiteLLM's name for it.
JSON_TOOL = "json_tool_call"
JSON_TOOL_DESCRIPTION = "Give the final answer. Call this once, with the whole answer, instead of writing text."


def refuse_its_name(functions: Sequence[Function]) -> None:
    """Its call would be taken for the answer. Raises GatewayError (INVALID_REQUEST)."""
    if any(function.name == JSON_TOOL for function in functions):
        raise invalid(f"Invalid tools: a function of yours must not be called {JSON_TOOL}.", "tools")
