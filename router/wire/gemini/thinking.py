"""How much a model shall think: `reasoning_effort`, and `thinking` in Anthropic's words, which wins.

Models before Gemini 3 are given a budget of tokens, later ones a level; which effort is which is Google's own table,
of its OpenAI-compatible endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.wire.members import TEXT, Members, invalid

_BUDGET_TOKENS: Mapping[str, int] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 24_576,
}
_LEVELS: Mapping[str, str] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
# Pro models cannot be kept from thinking; this is the least they do.
_LEAST_BUDGET_OF_PRO = 128
_LEAST_LEVEL_OF_PRO = "low"
_OF_TWO_LEVELS = re.compile(r"gemini-3(?:\.0)?-pro(?!-image)")

_VERSION = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?(?!\d)")
_FIRST_THAT_THINKS = (2, 5)
_FIRST_WITH_LEVELS = (3, 0)

Config = dict[str, object]


class _Asked(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class Thinking(msgspec.Struct):
    """config: `thinkingConfig`; None: the model's default. untaken: the model cannot do what is asked, by name."""

    config: Config | None = None
    untaken: str = ""


_asked_decoder = msgspec.json.Decoder(_Asked)


def thinking_of(members: Members, model: str) -> Thinking:
    """Raises GatewayError (INVALID_REQUEST)."""
    asked = members.take("thinking", _asked_decoder)
    effort = members.take("reasoning_effort", TEXT)
    if effort is not None and effort not in _BUDGET_TOKENS and effort != "none":
        raise invalid(
            f"Invalid reasoning_effort: it must be none or one of {', '.join(_BUDGET_TOKENS)}.", "reasoning_effort"
        )
    least = asked.type == "disabled" if asked is not None else effort == "none"
    if asked is None and effort is None:
        return Thinking()
    if version_of(model) < _FIRST_THAT_THINKS:
        name = "thinking" if asked is not None else "reasoning_effort"
        return Thinking(untaken="" if least else name)
    if least:
        return Thinking(_least(model))
    config: Config = {"includeThoughts": True}
    if asked is None:
        config |= _at_effort(effort or "", model)
    elif asked.budget_tokens is not None:
        config["thinkingBudget"] = asked.budget_tokens
    return Thinking(config)


def must_sign(model: str) -> bool:
    """Whether the model refuses calls in the conversation that carry no signature."""
    return version_of(model) >= _FIRST_WITH_LEVELS


def version_of(model: str) -> tuple[int, int]:
    """A model without a version that can be read is taken for one that takes a budget, which the later ones do too."""
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else _FIRST_THAT_THINKS


def _at_effort(effort: str, model: str) -> Config:
    if version_of(model) < _FIRST_WITH_LEVELS:
        return {"thinkingBudget": _BUDGET_TOKENS[effort]}
    if effort == "minimal":
        return _least(model)
    level = _LEVELS[effort]
    # The first Pro with levels has two of them.
    return {"thinkingLevel": "high" if level == "medium" and _OF_TWO_LEVELS.search(model.lower()) else level}


def _least(model: str) -> Config:
    is_pro = "pro" in model.lower()
    if version_of(model) < _FIRST_WITH_LEVELS:
        return {"thinkingBudget": _LEAST_BUDGET_OF_PRO if is_pro else 0}
    return {"thinkingLevel": _LEAST_LEVEL_OF_PRO if is_pro else "minimal"}
