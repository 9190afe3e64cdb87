"""What holds for every wire alike."""

from __future__ import annotations

import pytest

from router.catalog import Deployment
from router.wire import WIRES
from router.wire.http import post
from services.errors import Reason


@pytest.mark.parametrize("name", WIRES)
def test_a_busy_provider_is_a_rate_limit_with_its_wait_in_every_language(name: str) -> None:
    wire = WIRES[name](lambda: 0.0)
    deployment = Deployment("d", "m", "provider", "m", "https://provider.example", "key", wire=name)
    error = wire.decode_error(429, {"retry-after": "7"}, b'{"message": "Slow down."}', deployment)
    assert (error.reason, error.message) == (Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "Slow down.")
    assert (error.provider, error.provider_status, error.retry_after_seconds) == ("provider", 429, 7.0)


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ("bearer", "authorization", "Bearer k&y"),
        ("header:x-goog-api-key", "x-goog-api-key", "k&y"),
        ("azure", "api-key", "k&y"),
        ("query:key", "", ""),
    ],
)
def test_the_key_stands_where_the_host_wants_it(auth: str, name: str, value: str) -> None:
    for url, in_query in (("https://h/p", "?key=k%26y"), ("https://h/p?a=b", "&key=k%26y")):
        deployment = Deployment("d", "m", "provider", "m", "https://h", "k&y", auth=auth, extra_headers={"X-Team": "a"})
        request = post(url, b"{}", deployment, stream=False, show_usage=False)
        assert request.url == url + (in_query if auth == "query:key" else "")
        assert {each: sent for each, sent in request.headers.items() if "k&y" in sent} == (
            {name: value} if name else {}
        )
        assert request.headers["x-team"] == "a"


def test_what_a_deployments_own_headers_say_goes_over_its_key() -> None:
    deployment = Deployment(
        "d",
        "m",
        "p",
        "m",
        "https://h",
        "key",
        headers={"x-version": "1", "user-agent": "row"},
        extra_headers={"Authorization": "Basic a", "X-Version": "2"},
    )
    request = post("https://h/p", b"{}", deployment, stream=False, show_usage=False)
    told = {name: request.headers[name] for name in ("authorization", "x-version", "user-agent")}
    assert told == {"authorization": "Basic a", "x-version": "2", "user-agent": "row"}
