"""`GET /metrics` of a process, on an address of its own: what every role offers to Prometheus.

A process with an edge answers `/metrics` there, too, for the master key; this is for the others, and for a scraper that
should not know that key.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A look is a timer and a subtraction.
LAG_INTERVAL_SECONDS = 0.25


async def render(registry: CollectorRegistry) -> bytes:
    """All metrics of a registry, as CONTENT_TYPE_LATEST says.

    They are collected in the event loop, whose code changes what they are made of; the text, which takes longer, is
    made in a thread.
    """
    collected = _Collected(list(registry.collect()))
    return await asyncio.to_thread(generate_latest, collected)


class _Collected(Collector):
    """Metrics as they were at one moment."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class Exposition:
    """The ASGI app. token: what a scraper presents as its bearer."""

    def __init__(self, registry: CollectorRegistry, token: str) -> None:
        self._registry = registry
        self._authorization = f"Bearer {token}".encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: object, send: _Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._authorization):
            await _answer(send, 401, "text/plain", b"The token of the metrics is missing or wrong.\n")
        elif scope["path"] != "/metrics" or scope["method"] != "GET":
            await _answer(send, 404, "text/plain", b"Only GET /metrics is here.\n")
        else:
            await _answer(send, 200, CONTENT_TYPE_LATEST, await render(self._registry))


async def watch_lag(registry: CollectorRegistry) -> NoReturn:
    """Observe how late the event loop comes to what is due: above some milliseconds, all calls of a process wait."""
    lag_seconds = Histogram(
        "tollhouse_event_loop_lag_seconds",
        "How late a timer of the event loop fires",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
        registry=registry,
    )
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_INTERVAL_SECONDS
        await asyncio.sleep(LAG_INTERVAL_SECONDS)
        lag_seconds.observe(max(0.0, loop.time() - due))


async def _answer(send: _Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
