"""What a role offers (Handlers) and how it reaches another (Channel), whichever transport lies between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from services.link import Link
from services.methods import Down, Exchange, Request, Response, Unary, Up

# A method's handler: `async (request) -> response` for Unary, `async (link) -> None` for Exchange. It runs in a task
# of its own with an empty context. It raises GatewayError for what it means to say; anything else is logged whole
# and told to the peer as an internal error. An exchange handler returns when `receive` raises LinkClosed.
Handler = Callable[[Any], Awaitable[Any]]
Handlers = Mapping[Unary[Any, Any] | Exchange[Any, Any], Handler]


class Channel(Protocol):
    """The way to one process (or to one set of equal processes) that offers a role."""

    async def call(self, method: Unary[Request, Response], request: Request, *, timeout_seconds: float) -> Response:
        """One request, one response. Raises GatewayError: the peer's own, UNAVAILABLE or DEADLINE_EXCEEDED."""

    async def exchange(self, method: Exchange[Up, Down], *, timeout_seconds: float) -> Link[Up, Down]:
        """Open a link. Raises GatewayError when the peer does not answer in time."""

    async def close(self) -> None:
        """End it, and every link on it."""
