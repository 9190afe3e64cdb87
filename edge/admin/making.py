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


def bounded(body: Body, upper: Params, fill: Params) -> dict[str, Any]:
    """A body of a key within the upper bounds. GatewayError names what is above its own.

    fill: what the body's members are that it does not name, or takes away.
    """
    said = {**body, **{name: value for name, value in fill.items() if body.get(name) is None}}
    for name, most in upper.items():
        if said.get(name) is not None and _measure(name, said[name]) > _measure(name, most):
            raise invalid(f"{name} is over max limit set in config - user_value={said[name]}; max_value={most}", name)
    return said


def taken_away(body: Body, upper: Params) -> Params:
    """What of a key cannot be taken away, for none at all is above any bound: it becomes the bound."""
    return {name: most for name, most in upper.items() if name in body and body[name] is None}


def filled_for(own: Params, defaults: Params, upper: Params) -> Params:
    """What a new key has that its maker does not ask for. own: what the key that asks has, as rows show it.

    What that is bound by goes before the configuration's defaults, and no less than its upper bounds.
    """
    # A limit of 0 is one, and equals False.
    has = {name: value for name, value in own.items() if value or (value == 0 and value is not False)}
    if "max_budget" in has:
        # A budget comes with its own period, or with none.
        has.setdefault("budget_duration", None)
    filled: dict[str, object] = {**upper, **defaults}
    for name in filled.keys() & has.keys():
        most = upper.get(name)
        if most is None or has[name] is None or _measure(name, has[name]) <= _measure(name, most):
            filled[name] = has[name]
        else:
            filled[name] = most
    return {name: value for name, value in filled.items() if value is not None}


def _measure(name: str, value: object) -> float:
    """How much something is; of a duration, how long. Of budgets too, as in LiteLLM: a bound of 30d lets one of a day
    by, which may be more money."""
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
