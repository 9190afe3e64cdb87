"""Credentials that are more than a key in a header: AWS's signatures, tokens of Google, Entra and IBM Cloud."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from router.credentials.aws import AwsSigner
from router.credentials.azure import AzureSigner
from router.credentials.base import Signer, signed
from router.credentials.google import GoogleSigner
from router.credentials.headers import masked
from router.credentials.ibm import IbmSigner
from router.credentials.token_service import TokenService

__all__ = ["Credentials", "Signer", "masked", "signed"]


class Credentials:
    """All signers, by the names that `auth` gives them. Make it, and close it, inside the event loop that uses it.

    environ: variables of the process, looked up when a call needs them.
    """

    def __init__(self, environ: Mapping[str, str], service: TokenService | None = None) -> None:
        self._service = service or TokenService()
        self._aws = AwsSigner(environ, clock=time.monotonic, now=lambda: datetime.now(UTC))
        self._google = GoogleSigner(self._service, environ, clock=time.monotonic, now=time.time)
        self._azure = AzureSigner(self._service, environ, clock=time.monotonic)
        self._ibm = IbmSigner(self._service, environ, clock=time.monotonic)
        self.signers: Mapping[str, Signer] = {
            "aws": self._aws,
            "google": self._google,
            "azure": self._azure,
            "ibm": self._ibm,
        }

    async def close(self) -> None:
        """Break off what is being fetched, and close every connection to a token service."""
        await asyncio.gather(self._aws.close(), self._google.close(), self._azure.close(), self._ibm.close())
        await self._service.close()
