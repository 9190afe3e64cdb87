"""Keeps a link to a neighbour open for as long as a process lives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from structlog.typing import FilteringBoundLogger

from services.errors import GatewayError
from services.link import Link, LinkClosed
from services.methods import Exchange
from services.transport import Channel

# The first pause is short, since most breaks are restarts; the last spares a neighbour that is down.
FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 5.0


async def keep_open(
    channel: Channel,
    method: Exchange[Any, Any],
    use: Callable[[Link[Any, Any]], Awaitable[None]],
    log: FilteringBoundLogger,
) -> NoReturn:
    """Open the link, hand it to `use` until it ends, and again, until cancelled. `use` may raise LinkClosed."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            link = await channel.exchange(method, timeout_seconds=CONNECT_TIMEOUT_SECONDS)
        except GatewayError as error:
            log.debug("link_not_open", method=method.path, error=error.message)
        else:
            pause = FIRST_PAUSE_SECONDS
            try:
                await use(link)
            except LinkClosed as closed:
                log.info("link_closed", method=method.path, error=closed.error.message if closed.error else None)
            finally:
                await link.close()
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (spreads neighbours, guards nothing)
        pause = min(LAST_PAUSE_SECONDS, pause * 2)
