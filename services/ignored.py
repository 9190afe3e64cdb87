"""The keys of a configuration that have no effect, each named once, for one warning at start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.known_keys import Standing, near_names, standing
from services.section import Section
from services.yamltext import Place

# A file of another program's has only unknown keys; past these nobody reads on.
_MAX_UNKNOWN = 50


@dataclass(frozen=True, slots=True)
class IgnoredKey:
    """A key without effect. path: where lists are `[]`. place: its first. near: what an unknown one may mean."""

    path: str
    place: Place
    times: int
    known: bool
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Of an unknown key, a line with its place."""
        meant = f", perhaps a typo; known: {', '.join(self.near)}" if self.near else ", perhaps a typo"
        again = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.place} is unknown{meant}{again}"


def ignored_keys(sections: Iterable[tuple[str, Section]]) -> tuple[IgnoredKey, ...]:
    """The keys without effect in sections, each with its path, in the order of their first appearance."""
    found: dict[tuple[str, str], IgnoredKey] = {}
    for path, section in sections:
        for name in section.raw:
            what = standing(path, name)
            if what is Standing.ACTED_ON:
                continue
            first = found.get((path, name))
            found[path, name] = (
                replace(first, times=first.times + 1) if first else _ignored(path, name, section.place_of(name), what)
            )
    return tuple(found.values())


def _ignored(path: str, name: str, place: Place, what: Standing) -> IgnoredKey:
    known = what is Standing.NOT_YET
    full = f"{path}.{name}" if path else name
    return IgnoredKey(full, place, times=1, known=known, near=() if known else near_names(path, name))


def not_acted_on(keys: Sequence[IgnoredKey]) -> list[str]:
    """LiteLLM's keys among them, by their paths."""
    return [key.path for key in keys if key.known]


def unknown(keys: Sequence[IgnoredKey]) -> list[str]:
    """The others, a line each."""
    lines = [str(key) for key in keys if not key.known]
    more = len(lines) - _MAX_UNKNOWN
    return [*lines[:_MAX_UNKNOWN], f"and {more} more"] if more > 0 else lines
