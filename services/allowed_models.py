"""Which models a list of names allows: names, `openai/*`, groups of models, and LiteLLM's words for all and none. Pure.

Admission decides by these rules, and so do admin paths: what is given away, and what is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

EVERY = "all-proxy-models"
# Of keys: whatever their team allows, which is asked anyway.
TEAMS = "all-team-models"
_EVERYTHING = frozenset((EVERY, TEAMS, "*"))

# What each group of models stands for.
Groups = Mapping[str, frozenset[str]]


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


def compiled(names: Iterable[str], groups: Groups) -> Allowed:
    """The list, with every group of models in it for its members. An empty list holds nothing back."""
    listed = set(names)
    if not listed or listed & _EVERYTHING:
        return Allowed(True)
    for name in listed & groups.keys():
        listed |= groups[name]
    patterns = [_pattern(name) for name in sorted(listed) if "*" in name]
    return Allowed(False, frozenset(listed), re.compile("|".join(patterns), re.DOTALL) if patterns else None)


def first_beyond(own: Iterable[str], wanted: Sequence[str], groups: Groups) -> str | None:
    """The first of a list that wants more than another has; None when it wants no more.

    A pattern is within another that fits its very text. A group is what it stands for.
    """
    listed, allowed = frozenset(own), compiled(own, groups)
    if allowed.everything:
        return None
    if not wanted:
        return EVERY
    for name in wanted:
        if name in listed:
            continue
        if name in _EVERYTHING or not all(map(allowed.allows, (name, *groups.get(name, ())))):
            return name
    return None


def merged(*several: Groups) -> Groups:
    """Groups of several sources. One that two of them name stands for the models of both."""
    groups: dict[str, frozenset[str]] = {}
    for each in several:
        for name, models in each.items():
            groups[name] = groups.get(name, frozenset()) | models
    return groups


def _pattern(name: str) -> str:
    """Between two stars the first place is as good as any, and is never left for another: a name that somebody has
    made up of many stars takes no longer than its length says."""
    first, *others, last = map(re.escape, name.split("*"))
    return first + "".join(f"(?>.*?{part})" for part in others if part) + ".*" + last
