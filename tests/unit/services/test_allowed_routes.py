"""What a key's `allowed_routes` have, and that it is no more than they say."""

from __future__ import annotations

import pytest

from services.allowed_routes import allows_route


@pytest.mark.parametrize(
    ("allowed", "route", "group", "holds"),
    [
        (("management_routes",), "/key/generate", "management_routes", True),
        (("llm_api_routes",), "/key/generate", "management_routes", False),
        (("/key/*",), "/key/generate", "management_routes", True),
        (("/key/*",), "/keys/generate", "management_routes", False),
        (("/key/*",), "/key", "management_routes", False),
        # What is for calls is not for the admin's paths.
        (("/v1/*",), "/key/generate", "management_routes", False),
        (("/v1/*",), "/v1/models", "info_routes", True),
        (("/v1/*",), "/*", "", False),
        (("/v1",), "/key/generate", "management_routes", False),
        (("/models",), "/v1/models", "info_routes", True),
        (("/v1/models",), "/models", "info_routes", True),
        (("beta/*",), "/v1beta/models", "info_routes", False),
        (("*",), "/key/generate", "management_routes", True),
        (("/*",), "/key/generate", "management_routes", True),
        (("",), "/key/generate", "management_routes", False),
        ((), "/key/generate", "management_routes", False),
    ],
)
def test_groups_and_prefixes_stand_for_their_own_routes_only(
    allowed: tuple[str, ...], route: str, group: str, holds: bool
) -> None:
    assert allows_route(allowed, (route,), (group,)) == holds


def test_a_route_is_allowed_by_any_of_its_spellings() -> None:
    spellings = ("/key/sk-1/regenerate", "/key/{key}/regenerate")
    for name in (*spellings, "/key/sk-1/*"):
        assert allows_route((name,), spellings, ())
    assert not allows_route(("/key/sk-2/*",), spellings, ())
