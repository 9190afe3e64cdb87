"""What families of models on Bedrock take and do not: tables over the beginnings of plain names (`address.py`).

From AWS's user guide as of early 2026 ("Get validated JSON results from models", "Converse: supported models and
features", the pages of the models' parameters). A model that no row knows is taken for a new one that can do it all.
"""

from __future__ import annotations

from collections.abc import Sequence

# They refuse `outputConfig.textFormat` and `strict` of a tool.
_NO_STRUCTURED_OUTPUT = (
    "ai21.",
    "amazon.",
    "anthropic.claude-3",
    "anthropic.claude-instant",
    "anthropic.claude-opus-4-1",
    "anthropic.claude-opus-4-2",
    "anthropic.claude-opus-4-7",
    "anthropic.claude-opus-4-8",
    "anthropic.claude-sonnet-4-2",
    "anthropic.claude-v2",
    "cohere.",
    "deepseek.r1",
    "meta.",
    "mistral.mistral-7b",
    "mistral.mistral-large-24",
    "mistral.mistral-small",
    "mistral.mixtral",
    "mistral.pixtral",
    "writer.",
)
# They refuse `toolChoice`.
_NO_TOOL_CHOICE = ("ai21.", "cohere.", "meta.", "writer.")
# They refuse thinking that came without a signature, or any.
_NO_UNSIGNED_THINKING = ("anthropic.", "deepseek.r1")


def takes_structured_output(model: str) -> bool:
    """Whether an answer, or the arguments of a call, can be held to a schema."""
    return not _begins(model, _NO_STRUCTURED_OUTPUT)


def takes_tool_choice(model: str) -> bool:
    """Whether it can be told to call a tool."""
    return not _begins(model, _NO_TOOL_CHOICE)


def takes_unsigned_thinking(model: str) -> bool:
    """Whether it takes back its thinking of earlier turns when that is not signed."""
    return not _begins(model, _NO_UNSIGNED_THINKING) and not is_claude(model)


def is_claude(model: str) -> bool:
    """Whether it takes Anthropic's own parameters; an opaque ARN does not tell."""
    return "claude" in model


def _begins(model: str, beginnings: Sequence[str]) -> bool:
    return model.startswith(tuple(beginnings))
