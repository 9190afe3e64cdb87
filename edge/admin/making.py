"""What the configuration says of keys, users and teams that are made: defaults, and the most of a key. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edge.admin.rights import seconds
from edge.admin.words import Body, invalid
from services.admin_defaults import Params
from services.durations import parse

_DURATIONS = frozenset(("duration", "budget_duration"))


def with_defaults(body: Body, defaults: Params) -> dict[str, Any]:
    """A body, with what it does not name, or names as null."""
    return {**defaults, **{name: value for name, value in body.items() if value is not None or name not in defaults}}


def bounded(body: Body, upper: Params, *, changes: bool) -> dict[str, Any]:
    """A body of a key within the upper bounds. GatewayError names what is above its own.

    changes: of a key that there is: what the body does not name stays; else it is as the bound.
    """
    said = dict(body)
    for name, most in upper.items():
        if said.get(name) is None:
            if name in said or not changes:
                said[name] = most
        elif _measure(name, said[name]) > _measure(name, most):
            raise invalid(f"{name} is over max limit set in config - user_value={said[name]}; max_value={most}", name)
    return said


def _measure(name: str, value: object) -> float:
    """How much something is. A budget for a shorter time is more money, so there the shorter is the larger."""
    if name in _DURATIONS:
        if not isinstance(value, str):
            raise invalid(f"{name} must be a text.", name)
        try:
            parse(value)
        except ValueError as error:
            raise invalid(f"Invalid duration: {error}.", name) from None
        return seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name} must be a number.", name)
    return value


def require(body: Mapping[str, object], names: Iterable[str]) -> None:
    """GatewayError for the first of these that a body does not name."""
    for name in names:
        if body.get(name) is None:
            raise invalid(f"The configuration requires {name} of keys that are made so.", name)
