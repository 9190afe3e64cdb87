"""Which routes a key's `allowed_routes` have: routes themselves, LiteLLM's groups of routes, `/x/*`. Pure.

Admission decides calls by these rules, and the edge admin routes.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

# LiteLLM's groups of routes.
CALLS = "llm_api_routes"
MANAGEMENT = "management_routes"
INFO = "info_routes"

_VERSION = "/v1"


def allows_route(allowed: Iterable[str], spellings: Iterable[str], groups: Container[str]) -> bool:
    """Whether a route, by one of its spellings, or a group that it belongs to, is among those allowed.

    The `/v1` that a route begins with makes no difference; but `/v1/*` does not stand for a route without it.
    """
    plain = {_plain(each) for each in spellings}
    whole = plain.union(spellings)
    return any(
        name == "*"
        or name in groups
        or (any(each.startswith(name[:-1]) for each in whole) if name.endswith("/*") else _plain(name) in plain)
        for name in allowed
    )


def _plain(route: str) -> str:
    return route.removeprefix(_VERSION) if route.startswith(f"{_VERSION}/") else route
