"""What makes a request authentic when a key in a header is not enough.

    request = wire.encode(...)
    request = await signed(signer, request, deployment, timeout_seconds)    before anything is sent

A deployment whose `auth` names a signer has its requests signed; `http.post` leaves its credential to that signer.
`extra_headers` win here as they do there: a header that they set is not set again.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from router.catalog import Deployment
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason

_AUTHENTICATION = Reason.ERROR_REASON_PROVIDER_AUTHENTICATION


class Signer(Protocol):
    """Makes requests authentic for one kind of credential. Nothing of it is ever in a log, a repr or an error."""

    async def sign(self, request: HttpRequest, deployment: Deployment) -> HttpRequest:
        """The request with its credential, which may have to be fetched.

        Raises GatewayError: PROVIDER_AUTHENTICATION when there is no credential or its token service refuses it,
        PROVIDER_UNAVAILABLE or PROVIDER_TIMEOUT when that service does not answer.
        """

    def refused(self, deployment: Deployment) -> None:
        """The provider did not take what was signed for the deployment: a token that was kept is fetched anew."""


class NoCredential(Exception):
    """There is nothing to sign with.

    what: completes "openai ...", and says nothing that is secret. retry_after_seconds: when it may work again, as far
    as anybody said.
    """

    def __init__(self, what: str, reason: Reason = _AUTHENTICATION, retry_after_seconds: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    def error(self, provider: str, retry_after_seconds: float | None = None) -> GatewayError:
        """What a caller is told, as a new exception: many calls may wait for the same credential."""
        return GatewayError(
            self.reason, f"{provider} {self.what}.", provider=provider, retry_after_seconds=retry_after_seconds
        )


async def signed(signer: Signer, request: HttpRequest, deployment: Deployment, timeout_seconds: float) -> HttpRequest:
    """`signer.sign`, within the time that the attempt has."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await signer.sign(request, deployment)
    except TimeoutError:
        raise GatewayError(
            Reason.ERROR_REASON_PROVIDER_TIMEOUT,
            f"Request to {deployment.provider} timed out after {timeout_seconds:g} s, waiting for its credential.",
            provider=deployment.provider,
        ) from None
