"""What the tests of signers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from router.catalog import Deployment
from router.credentials.tokens import Fetched
from router.wire.base import HttpRequest


@dataclass
class RecordingService:
    """`TokenService` that writes down what it is asked, and gives `token-1`, `token-2` and so on."""

    posts: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    gets: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    async def post(self, url: str, form: Mapping[str, str]) -> Fetched[str]:
        self.posts.append((url, form))
        return self._token()

    async def get(self, url: str, headers: Mapping[str, str]) -> Fetched[str]:
        self.gets.append((url, headers))
        return self._token()

    def _token(self) -> Fetched[str]:
        return Fetched(f"token-{len(self.posts) + len(self.gets)}", 3600)


@pytest.fixture
def token_service() -> RecordingService:
    return RecordingService()


def deployment(auth: str, api_key: str = "", **options: str) -> Deployment:
    return Deployment(
        id="d",
        group="g",
        provider="cloud",
        provider_model="m",
        api_base="https://cloud.example",
        api_key=api_key,
        auth=auth,
        options=options,
    )


def request(**headers: str) -> HttpRequest:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("POST", "https://cloud.example/m", {"content-type": "application/json", **names}, b"{}")
