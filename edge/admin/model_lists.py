"""What lists of models come to: names, `openai/*`, groups of models, LiteLLM's words for all and none. Pure.

Admission decides by the same rules (the keystore's `policy/models.py`); here they say what callers are shown, and that
nobody gives away more than they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

EVERY = "all-proxy-models"
# Of keys: whatever their team allows.
TEAMS = "all-team-models"
_EVERYTHING = frozenset((EVERY, TEAMS, "*"))

# What each group of models stands for.
Groups = Mapping[str, frozenset[str]]


class ModelList:
    """One list. An empty one holds nothing back."""

    def __init__(self, names: Iterable[str], groups: Groups) -> None:
        listed = frozenset(names)
        self.everything = not listed or bool(listed & _EVERYTHING)
        self._listed = listed
        members = listed.union(*(groups[name] for name in listed & groups.keys()))
        self._names = members
        patterns = [re.escape(name).replace(r"\*", ".*") for name in sorted(members) if "*" in name]
        self._pattern = re.compile("|".join(patterns), re.DOTALL) if patterns else None

    def allows(self, model: str) -> bool:
        """Whether a model group may be called."""
        if self.everything or model in self._names:
            return True
        return self._pattern is not None and self._pattern.fullmatch(model) is not None

    def beyond(self, wanted: Sequence[str], groups: Groups) -> str | None:
        """The first of a list that wants more than this one has; None when it wants no more.

        A pattern is within another that fits its very text. A group is what it stands for.
        """
        if self.everything:
            return None
        if not wanted:
            return EVERY
        for name in wanted:
            if name in self._listed:
                continue
            if name in _EVERYTHING or not all(self.allows(each) for each in (name, *groups.get(name, ()))):
                return name
        return None
