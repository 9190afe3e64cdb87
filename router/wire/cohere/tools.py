"""Tools and the choice among them. Cohere can demand a call, but not of one tool: that tool is then the only one."""

from __future__ import annotations

import msgspec

from router.wire import asked
from router.wire.functions import FunctionTool, function_tool
from router.wire.members import FLAG, Members, invalid


class Tools(msgspec.Struct):
    """given: the tools; choice: `REQUIRED` or `NONE`; strict: calls must follow the schemas; both None: the default."""

    given: list[FunctionTool]
    choice: str | None
    strict: bool | None


_CHOICES = {"required": "REQUIRED", "none": "NONE", "function": "REQUIRED"}


def tools_of(members: Members) -> Tools:
    """`tools`, `tool_choice` and `strict_tools`. Raises GatewayError (INVALID_REQUEST)."""
    functions = asked.tools_of(members, "Cohere")
    choice = asked.tool_choice_of(members)
    strict = members.take("strict_tools", FLAG)
    if choice is not None and choice.mode == "function":
        functions = [function for function in functions if function.name == choice.name]
        if not functions:
            raise invalid(f"Invalid tool_choice: there is no tool {choice.name!r}.", "tool_choice")
    if strict is None and any(function.strict for function in functions):
        strict = True
    # Cohere refuses a choice among no tools; it would change nothing.
    word = _CHOICES.get(choice.mode) if choice is not None and functions else None
    return Tools([function_tool(function) for function in functions], word, strict)
