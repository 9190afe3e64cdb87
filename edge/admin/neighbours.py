"""How admin routes ask whichever router answers."""

from __future__ import annotations

from edge.exchange import Routers
from services.errors import GatewayError, Reason, unavailable
from services.methods import Request, Response, Unary


async def ask_a_router(
    routers: Routers, method: Unary[Request, Response], asked: Request, *, timeout_seconds: float
) -> Response:
    """The first that answers: all have the same deployments."""
    failure = unavailable("No router is reachable; try again.")
    for channel in routers.channels:
        try:
            return await channel.call(method, asked, timeout_seconds=timeout_seconds)
        except GatewayError as error:
            if error.reason != Reason.ERROR_REASON_UNAVAILABLE:
                raise
            failure = error
    raise failure
