"""What a wire makes of callers' requests: how its tests ask, and how they are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import pytest

from router.catalog import Deployment
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason


class Encode(Protocol):
    """The half of a wire that writes requests."""

    def __call__(
        self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int
    ) -> HttpRequest: ...


class Asking:
    """Requests to a deployment, unless another is named, by callers who say `usual` beside what a test says."""

    def __init__(self, encode: Encode, to: Deployment, usual: Mapping[str, Any]) -> None:
        self._encode = encode
        self._to = to
        self._usual = {"model": to.group, **usual}

    def request(
        self, caller: Mapping[str, Any], to: Deployment | None = None, *, limit: int = 0, stream: bool = False
    ) -> HttpRequest:
        """What the provider is asked. limit: 0 imposes none."""
        body = json.dumps({**self._usual, **caller}).encode()
        return self._encode(body, to or self._to, stream=stream, output_tokens_limit=limit)

    def sent(
        self, caller: Mapping[str, Any], to: Deployment | None = None, *, limit: int = 0, stream: bool = False
    ) -> dict[str, Any]:
        """The body of it."""
        decoded = json.loads(self.request(caller, to, limit=limit, stream=stream).body)
        assert isinstance(decoded, dict)
        return decoded

    def refused(self, caller: Mapping[str, Any], to: Deployment | None = None, *, limit: int = 0) -> GatewayError:
        """Why the caller is told that this cannot be meant."""
        with pytest.raises(GatewayError) as caught:
            self.request(caller, to, limit=limit)
        assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
        return caught.value

    def translated(self, caller: Mapping[str, Any], to: Deployment | None = None, *, limit: int = 0) -> Any:
        """The body of what anything at all is translated to; None where it is refused, which it must be as a bad
        request. Nothing of the usual is added."""
        try:
            request = self._encode(json.dumps(caller).encode(), to or self._to, stream=False, output_tokens_limit=limit)
        except GatewayError as error:
            assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST
            return None
        return json.loads(request.body)
