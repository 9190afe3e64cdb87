"""Keys that admin requests are about: which they may be, and what they are called."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from gateway.v1 import keystore_pb2

from edge.admin.endpoint import AdminRequest
from services.errors import GatewayError, Reason
from services.methods import GET_KEY
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
# Each is a question to the keystore, and they are asked at once.
MAX_NAMED = 100

# What LiteLLM calls the master key in its reports.
MASTER_KEY = "litellm_proxy_master_key"


class KeyDirectory:
    """Asks the keystore."""

    def __init__(self, keystore: Channel) -> None:
        self._keystore = keystore

    async def confined_to(self, request: AdminRequest, named: str = "") -> str | None:
        """The one key whose calls a request may be about, by its id; empty: the master key; None: everybody's.

        named: a key that it asks for, as a secret, SHA-256, token or id. Who does not see everything may ask for the
        key that asks alone.
        """
        own = None if request.reach.everything else request.caller.key
        if not named:
            return own.key_id if own is not None else None
        if own is None and named == MASTER_KEY:
            return ""
        key = await self._find(named)
        if own is not None and (key is None or key.key_id != own.key_id):
            raise GatewayError(
                Reason.ERROR_REASON_PERMISSION_DENIED,
                "Authentication Error, a key may see only itself.",
                param="api_key",
            )
        if key is None and named.startswith("sk-"):
            raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "Key not found in database", param="api_key")
        # The calls of a key that is deleted are still there, under its id.
        return key.key_id if key is not None else named

    async def named(self, key_ids: Iterable[str]) -> Mapping[str, keystore_pb2.Key]:
        """Keys by their ids, the first MAX_NAMED of them. The master key and deleted keys have a token and no more."""
        wanted = list(dict.fromkeys(key_ids))[:MAX_NAMED]
        keys = await asyncio.gather(*(self._named(key_id) for key_id in wanted))
        return dict(zip(wanted, keys, strict=True))

    async def _named(self, key_id: str) -> keystore_pb2.Key:
        if not key_id:
            return keystore_pb2.Key(token=MASTER_KEY)
        return await self._find(key_id) or keystore_pb2.Key(token=key_id)

    async def _find(self, name: str) -> keystore_pb2.Key | None:
        return await self._found(keystore_pb2.GetKeyRequest(name=name))

    async def _found(self, wanted: keystore_pb2.GetKeyRequest) -> keystore_pb2.Key | None:
        try:
            return (await self._keystore.call(GET_KEY, wanted, timeout_seconds=TIMEOUT_SECONDS)).key
        except GatewayError as error:
            if error.reason != Reason.ERROR_REASON_NOT_FOUND:
                raise
            return None
