"""The largest answers of well-known models, which the price table does not tell.

A hold for a call without a limit of its own is sized by it: the provider stops there by itself. From the model pages
of OpenAI, Anthropic, Google, Mistral and DeepSeek as of early 2026; `model_info.max_output_tokens` wins. A model that
is not listed has an open end: a usual amount is held, and what it writes beyond is an overrun (docs/limitations.md).
"""

from __future__ import annotations

from collections.abc import Sequence

# (beginning of the model's name, output tokens). The longest beginning that fits decides.
OUTPUT_LIMITS: Sequence[tuple[str, int]] = (
    ("gpt-3.5-turbo", 4_096),
    ("gpt-4", 8_192),
    ("gpt-4-turbo", 4_096),
    ("gpt-4-1106", 4_096),
    ("gpt-4-0125", 4_096),
    ("gpt-4o", 16_384),
    ("gpt-4o-2024-05-13", 4_096),
    ("gpt-4.1", 32_768),
    ("gpt-4.5", 16_384),
    ("gpt-5", 128_000),
    ("gpt-5-chat", 16_384),
    ("o1", 100_000),
    ("o1-mini", 65_536),
    ("o1-preview", 32_768),
    ("o3", 100_000),
    ("o4-mini", 100_000),
    ("claude-3-haiku", 4_096),
    ("claude-3-sonnet", 4_096),
    ("claude-3-opus", 4_096),
    ("claude-3-5", 8_192),
    ("claude-3-7", 128_000),
    ("claude-sonnet-4", 64_000),
    ("claude-opus-4", 64_000),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-haiku-4", 64_000),
    ("gemini-1.5", 8_192),
    ("gemini-2.0", 8_192),
    ("gemini-2.5", 65_536),
    ("gemini-3", 65_536),
    ("deepseek-chat", 8_192),
    ("deepseek-reasoner", 65_536),
)


def output_limit(model: str) -> int:
    """The largest answer of a model, in tokens; 0: not known. `openai/gpt-4o` and `gpt-4o` are one."""
    name = model.rpartition("/")[2].lower()
    fitting = [(beginning, tokens) for beginning, tokens in OUTPUT_LIMITS if name.startswith(beginning)]
    return max(fitting, key=lambda each: len(each[0]))[1] if fitting else 0
