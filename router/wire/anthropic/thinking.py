"""How much a model shall think: `reasoning_effort`, and `thinking` in Anthropic's own words, which wins."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.models import can_think, knows_xhigh, thinks_adaptively
from router.wire.members import Members, invalid

# Anthropic refuses less.
MIN_BUDGET_TOKENS = 1024

Config = dict[str, msgspec.Raw]

# What each effort is where only a number of tokens can be given.
_BUDGET_TOKENS: Mapping[str, int] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16_384,
}
_EFFORTS: Mapping[str, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}

_config_decoder = msgspec.json.Decoder(Config)
_effort_decoder = msgspec.json.Decoder(str)
_budget_decoder = msgspec.json.Decoder(int)
_ADAPTIVE, _ENABLED, _DISABLED = (msgspec.Raw(f'"{word}"'.encode()) for word in ("adaptive", "enabled", "disabled"))


class Thinking(msgspec.Struct):
    """config: `thinking` of the request; None: the model's default. effort: of `output_config`. untaken: the model
    cannot do what `reasoning_effort` asks for."""

    config: Config | None = None
    effort: str | None = None
    untaken: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the model was told to think."""
        return self.config is not None and self.config.get("type") != _DISABLED


def thinking_of(members: Members, deployment: Deployment, *, in_tool_loop: bool) -> Thinking:
    """in_tool_loop: the caller kept no thinking of a turn that is not over. Raises GatewayError (INVALID_REQUEST)."""
    model = deployment.provider_model
    config = members.take("thinking", _config_decoder)
    effort = members.take("reasoning_effort", _effort_decoder)
    if effort is not None and effort not in _EFFORTS and effort != "none":
        raise invalid(f"Invalid reasoning_effort: it must be none or one of {', '.join(_EFFORTS)}.", "reasoning_effort")
    if config is not None:
        # Beside a budget an effort would say the same thing twice.
        return Thinking(config, _effort(effort, model) if effort and config.get("type") == _ADAPTIVE else None)
    if effort is None:
        return Thinking()
    if not can_think(model):
        return Thinking(untaken=effort != "none")
    if thinks_adaptively(model):
        return (
            Thinking({"type": _DISABLED}) if effort == "none" else Thinking({"type": _ADAPTIVE}, _effort(effort, model))
        )
    if effort == "none" or in_tool_loop:
        # Given a budget, Anthropic refuses a call of a tool that came without thinking.
        return Thinking()
    budget = msgspec.Raw(str(_BUDGET_TOKENS[effort]).encode())
    return Thinking({"type": _ENABLED, "budget_tokens": budget})


def budget_of(config: Config | None) -> int:
    """The budget in tokens; 0 when there is none."""
    if config is None or "budget_tokens" not in config:
        return 0
    try:
        return max(0, _budget_decoder.decode(config["budget_tokens"]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Not a number: Anthropic will say so.
        return 0


def within(config: Config | None, max_tokens: int) -> Config | None:
    """A configuration whose budget is below the output's limit, as Anthropic demands; None when there is no room."""
    if config is None or budget_of(config) < max_tokens:
        return config
    if max_tokens - 1 < MIN_BUDGET_TOKENS:
        return None
    return {**config, "budget_tokens": msgspec.Raw(str(max_tokens - 1).encode())}


def _effort(effort: str, model: str) -> str | None:
    word = _EFFORTS.get(effort)
    return "high" if word == "xhigh" and not knows_xhigh(model) else word
