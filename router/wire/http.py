"""The HTTP side of every request: the headers that all of them carry, and the credential in its place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

from router.catalog import Deployment
from router.wire.base import HttpRequest

_NONE: Mapping[str, str] = MappingProxyType({})


def post(
    url: str,
    body: bytes,
    deployment: Deployment,
    *,
    stream: bool,
    show_usage: bool = False,
    accept: str = "",
    headers: Mapping[str, str] = _NONE,
    dropped: tuple[str, ...] = (),
) -> HttpRequest:
    """A request with a JSON body.

    show_usage: whether the caller wants the event with the usage, if this is a stream. accept: the media type of the
    answer, when it is neither JSON nor a stream of events. headers: what the wire adds,
    in lower case; those of the deployment's provider win over them, and its `extra_headers` over all. dropped: the
    caller's members that are not sent.
    """
    sent = {
        "content-type": "application/json",
        "accept": accept or ("text/event-stream" if stream else "application/json"),
        # A compressed stream could not be decoded as it comes.
        "accept-encoding": "identity",
        "user-agent": "tollhouse",
    }
    if headers:
        sent.update(headers)
    if deployment.headers:
        sent.update(deployment.headers)
    if deployment.api_key:
        url = _with_key(url, sent, deployment)
    if deployment.extra_headers:
        sent.update((name.lower(), value) for name, value in deployment.extra_headers.items())
    return HttpRequest(
        method="POST", url=url, headers=sent, body=body, show_usage=stream and show_usage, dropped=dropped
    )


def _with_key(url: str, headers: dict[str, str], deployment: Deployment) -> str:
    """Puts the key where the deployment's `auth` says; the URL, which changes when that is its query."""
    where, _, name = deployment.auth.partition(":")
    if where == "bearer":
        headers["authorization"] = f"Bearer {deployment.api_key}"
    elif where == "header":
        headers[name] = deployment.api_key
    elif where == "azure":
        headers["api-key"] = deployment.api_key
    elif where == "query":
        return f"{url}{'&' if '?' in url else '?'}{name}={quote(deployment.api_key, safe='')}"
    return url
