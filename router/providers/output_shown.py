"""Models that generate nothing unseen: every token that is paid for is text, or a tool call, in their streams.

Holds of their streams grow with what is seen (`router/growth.py`). Models that reason, and those that speak, are paid
for what no event shows, or shows only in part, and are held for whole; so is every model that is not known here. From
the model pages of OpenAI, Anthropic, Google, Mistral, Meta and DeepSeek as of early 2026.
"""

from __future__ import annotations

from collections.abc import Sequence

# (beginning of the model's name, whether it shows all). The longest beginning that fits decides.
SHOWN: Sequence[tuple[str, bool]] = (
    ("gpt-3.5-turbo", True),
    ("gpt-4", True),
    ("gpt-4o-audio", False),
    ("gpt-4o-realtime", False),
    ("gpt-4o-mini-audio", False),
    ("gpt-4o-mini-realtime", False),
    ("gpt-5-chat", True),
    ("claude-3-haiku", True),
    ("claude-3-sonnet", True),
    ("claude-3-opus", True),
    ("claude-3-5", True),
    ("gemini-1.5", True),
    ("gemini-2.0-flash", True),
    ("gemini-2.0-flash-thinking", False),
    ("codestral", True),
    ("mistral-large", True),
    ("open-mistral", True),
    ("open-mixtral", True),
    ("llama-3", True),
    ("meta-llama-3", True),
    ("deepseek-chat", True),
)


def shows_all_output(model: str) -> bool:
    """Whether a model's streams show all that it generates; False when nobody knows. `openai/gpt-4o` is `gpt-4o`."""
    name = model.rpartition("/")[2].lower()
    fitting = [(beginning, shown) for beginning, shown in SHOWN if name.startswith(beginning)]
    return max(fitting, key=lambda each: len(each[0]))[1] if fitting else False
