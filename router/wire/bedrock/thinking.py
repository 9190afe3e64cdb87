"""How much a model shall think, in the words of its family: Converse has none of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.thinking import thinking_of as anthropic_thinking_of
from router.wire.anthropic.thinking import within
from router.wire.bedrock.models import is_claude
from router.wire.members import RAWS, TEXT, Members, invalid

Fields = dict[str, object]

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# The three that the families have which know any.
_OF_THREE = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


class Thinking(msgspec.Struct):
    """fields: of `additionalModelRequestFields`. is_on: the model was told to think. untaken: it cannot do what
    `reasoning_effort` asks for."""

    fields: Fields
    is_on: bool = False
    untaken: bool = False


def thinking_of(
    members: Members, deployment: Deployment, model: str, max_tokens: int, *, in_tool_loop: bool
) -> Thinking:
    """max_tokens: what the answer may have; 0: no limit. Raises GatewayError (INVALID_REQUEST)."""
    if is_claude(model):
        return _claude(members, deployment, max_tokens, in_tool_loop=in_tool_loop)
    own = members.take("thinking", RAWS)
    effort = members.take("reasoning_effort", TEXT)
    if effort is not None and effort not in _EFFORTS:
        raise invalid(f"Invalid reasoning_effort: it must be one of {', '.join(_EFFORTS)}.", "reasoning_effort")
    fields: Fields = {} if own is None else {"thinking": own}
    if effort is None or own is not None:
        return Thinking(fields)
    family = next((said for beginning, said in _FAMILIES.items() if model.startswith(beginning)), None)
    if family is None:
        return Thinking({}, untaken=effort != "none")
    said = family(effort)
    return Thinking(said or {}, untaken=said is None)


def _claude(members: Members, deployment: Deployment, max_tokens: int, *, in_tool_loop: bool) -> Thinking:
    found = anthropic_thinking_of(members, deployment, in_tool_loop=in_tool_loop)
    if max_tokens > 0:
        found.config = within(found.config, max_tokens)
    fields: Fields = {} if found.config is None else {"thinking": found.config}
    if found.effort is not None:
        fields["output_config"] = {"effort": found.effort}
    return Thinking(fields, found.is_on, found.untaken)


def _nova(effort: str) -> Fields:
    if effort == "none":
        return {"reasoningConfig": {"type": "disabled"}}
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _OF_THREE[effort]}}


def _gpt_oss(effort: str) -> Fields | None:
    # It always thinks.
    return None if effort == "none" else {"reasoning_effort": _OF_THREE[effort]}


def _low_or_high(effort: str) -> Fields:
    # Without the member they do not think, or as little as they can.
    if effort == "none":
        return {}
    return {"reasoning_config": "low" if _OF_THREE[effort] == "low" else "high"}


# None: the family cannot be told that.
_FAMILIES: Mapping[str, Callable[[str], Fields | None]] = {
    "amazon.nova-2": _nova,
    "moonshotai.": _low_or_high,
    "openai.": _gpt_oss,
    "qwen.": _low_or_high,
    "zai.": _low_or_high,
}
