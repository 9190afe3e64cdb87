"""Which model groups a list of names allows: names, `openai/*`, groups of models, and LiteLLM's words for all and none.
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

EVERY = "all-proxy-models"
# Of keys: whatever their team allows, which is asked anyway.
TEAMS = "all-team-models"
# It is no model's name: a list that has nothing else allows nothing.
NOTHING = "no-default-models"

AccessGroups = Mapping[str, frozenset[str]]


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """What a list comes to. everything: it holds nothing back."""

    everything: bool
    names: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def allows(self, model: str) -> bool:
        """Whether this model group may be called."""
        if self.everything or model in self.names:
            return True
        return self.pattern is not None and self.pattern.fullmatch(model) is not None


def compiled(names: Iterable[str], groups: AccessGroups) -> Allowed:
    """The list, with every group of models in it for its members. An empty list holds nothing back."""
    listed = set(names)
    if not listed or listed & {EVERY, TEAMS, "*"}:
        return Allowed(True)
    for name in listed & groups.keys():
        listed |= groups[name]
    patterns = [_pattern(name) for name in sorted(listed) if "*" in name]
    return Allowed(False, frozenset(listed), re.compile("|".join(patterns), re.DOTALL) if patterns else None)


def _pattern(name: str) -> str:
    """Between two stars the first place is as good as any, and is never left for another: a name that somebody has
    made up of many stars takes no longer than its length says."""
    first, *others, last = map(re.escape, name.split("*"))
    return first + "".join(f"(?>.*?{part})" for part in others if part) + ".*" + last
