"""How much a model shall think: `reasoning_effort`, and `thinking` in Cohere's or Anthropic's words, which wins."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.members import RAWS, TEXT, Members, invalid

Config = dict[str, msgspec.Raw]

# Where a model thinks, it does so unless told otherwise, and without a budget as much as it wants: the high efforts.
_BUDGET_TOKENS: Mapping[str, int | None] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 4096,
    "high": None,
    "xhigh": None,
    "max": None,
}

# Those before the first that think, and their kin. A model that is not known is taken for a new one.
_CANNOT_THINK = re.compile(r"command(-light|-nightly|-light-nightly)?$|command-r|command-a-(03|vision|translate)|c4ai-")

_ENABLED, _DISABLED = (msgspec.Raw(f'"{word}"'.encode()) for word in ("enabled", "disabled"))


class Thinking(msgspec.Struct):
    """config: `thinking` of the request; None: the model's default. untaken: the model cannot do what
    `reasoning_effort` asks for."""

    config: Config | None = None
    untaken: bool = False


def thinking_of(members: Members, deployment: Deployment) -> Thinking:
    """Raises GatewayError (INVALID_REQUEST)."""
    config = members.take("thinking", RAWS)
    effort = members.take("reasoning_effort", TEXT)
    if effort is not None and effort not in _BUDGET_TOKENS and effort != "none":
        known = ", ".join(_BUDGET_TOKENS)
        raise invalid(f"Invalid reasoning_effort: it must be none or one of {known}.", "reasoning_effort")
    if config is not None:
        return Thinking(_in_coheres_words(config))
    if effort is None:
        return Thinking()
    if _CANNOT_THINK.match(deployment.provider_model.lower()):
        return Thinking(untaken=effort != "none")
    if effort == "none":
        return Thinking({"type": _DISABLED})
    budget = _BUDGET_TOKENS[effort]
    return Thinking({"type": _ENABLED} | ({} if budget is None else {"token_budget": msgspec.Raw(b"%d" % budget)}))


def _in_coheres_words(config: Config) -> Config:
    """Anthropic has a third type, `adaptive`, and calls the budget otherwise."""
    renamed = {"token_budget" if name == "budget_tokens" else name: raw for name, raw in config.items()}
    if renamed.get("type") != _DISABLED:
        renamed["type"] = _ENABLED
    return renamed
