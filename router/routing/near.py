"""What to say of a model group that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# A caller's text comes back in the answer and in logs; real names are far shorter.
_SHOWN_CHARACTERS = 200


def near_names(asked: str, names: Iterable[str]) -> list[str]:
    """At most three of the names that look like the one asked for, the likest first; case does not count."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(asked[:_SHOWN_CHARACTERS].lower(), by_lower, n=3)
    return [by_lower[name] for name in near]


def unknown_model_message(asked: str, names: Iterable[str]) -> str:
    """The answer to a call for an unknown group, in words that LiteLLM's clients look for.

    `names` are those that the caller may know of: they are shown.
    """
    shown = asked if len(asked) <= _SHOWN_CHARACTERS else f"{asked[:_SHOWN_CHARACTERS]}..."
    message = f"litellm.BadRequestError: You passed in model={shown}. There are no healthy deployments for this model"
    near = near_names(asked, names)
    return f"{message}. Did you mean {' or '.join(near)}?" if near else message
