"""Leaving out a member of a body by its path, in the form that `additional_drop_params` has: `seed`, `metadata.team`,
`tools[*].function.strict`, `messages[0].name`."""

from __future__ import annotations

import re

import msgspec

from services.decoding import NOT_DECODED

# More steps than any body of OpenAI's language is deep.
MAX_STEPS = 16

_STEP = re.compile(r"([^.\[\]]+)|\[(\*|\d+)\]")
_any_decoder = msgspec.json.Decoder()


def remove(members: dict[str, msgspec.Raw], path: str) -> bool:
    """Take what `path` leads to out of `members`; whether there was anything."""
    if path in members:
        del members[path]
        return True
    first, *steps = [name or index for name, index in _STEP.findall(path)] or [path]
    if first not in members or not 0 < len(steps) <= MAX_STEPS:
        return False
    try:
        value = _any_decoder.decode(members[first])
    except NOT_DECODED:
        return False
    if not _remove_in(value, steps):
        return False
    members[first] = msgspec.Raw(msgspec.json.encode(value))
    return True


def _remove_in(value: object, steps: list[str]) -> bool:
    step, *rest = steps
    if isinstance(value, dict) and step in value:
        if rest:
            return _remove_in(value[step], rest)
        del value[step]
        return True
    # An item itself is never taken out: the others would change their places.
    if isinstance(value, list) and rest:
        items = value if step == "*" else value[int(step) : int(step) + 1] if step.isdecimal() and len(step) < 9 else []
        return sum(_remove_in(item, rest) for item in items) > 0
    return False
