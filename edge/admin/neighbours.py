"""What several tables of admin routes ask of the edge's neighbours."""

from __future__ import annotations

from gateway.v1 import keystore_pb2

from edge.exchange import Routers
from services.errors import GatewayError, Reason, unavailable
from services.methods import GET_KEY, Request, Response, Unary
from services.transport import Channel

KEYSTORE_TIMEOUT_SECONDS = 10.0


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


async def key_of(keystore: Channel, digest: bytes) -> keystore_pb2.Key:
    """The virtual key of a caller, by its secret's digest. GatewayError when there is none, or it is blocked."""
    named = keystore_pb2.GetKeyRequest(digest=digest)
    try:
        key = (await keystore.call(GET_KEY, named, timeout_seconds=KEYSTORE_TIMEOUT_SECONDS)).key
    except GatewayError as error:
        if error.reason != Reason.ERROR_REASON_NOT_FOUND:
            raise
        raise GatewayError(
            Reason.ERROR_REASON_KEY_INVALID, "Authentication Error, Invalid proxy server token passed.", param="key"
        ) from None
    if key.blocked:
        raise GatewayError(Reason.ERROR_REASON_KEY_BLOCKED, "Authentication Error, Key is blocked.", param="None")
    return key
