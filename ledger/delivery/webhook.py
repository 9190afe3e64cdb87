"""Delivers entries to an address of the operator's, as signed JSON: https://www.standardwebhooks.com, version 1."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

from ledger.delivery.form import parts_of
from ledger.delivery.sink import NotTaken
from ledger.rows import Entry
from services.deliveries import ExportWebhook
from services.sender import Sender

# Of one request: what receivers before us take.
MAX_BODY_BYTES = 512 * 1024
# What says that the batch is wrong, not the receiver.
_OF_THE_BATCH = frozenset((400, 413, 415, 422))
_PREFIX = "whsec_"


class Webhook:
    """See `Sink`. now: the wall clock."""

    name = "webhook"
    most_entries = 500
    wait_seconds = 0.0

    def __init__(self, wanted: ExportWebhook, sender: Sender, now: Callable[[], float]) -> None:
        self._wanted = wanted
        self._sender = sender
        self._now = now

    async def deliver(self, key: str, entries: Sequence[Entry]) -> None:
        """See `Sink`: one request after the other, each of whole entries."""
        parts = await asyncio.to_thread(lambda: list(parts_of(entries, MAX_BODY_BYTES)))
        for number, part in enumerate(parts):
            body = b'{"type":"entries","data":' + part + b"}"
            headers = {
                **self._wanted.headers,
                "content-type": "application/json",
                **signature_headers(self._wanted.secret, f"{key}-{number}", int(self._now()), body),
            }
            status = await self._sender.send("POST", self._wanted.url, headers, body, settled=_OF_THE_BATCH)
            if status in _OF_THE_BATCH:
                raise NotTaken(f"its receiver answers {status}")

    async def close(self) -> None:
        """See `Sink`."""
        await self._sender.close()


def signature_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """What tells a receiver that a message is ours, and when it was sent. Without a secret it is not signed."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secret:
        signed = f"{message_id}.{timestamp}.".encode() + body
        digest = hmac.digest(_key_of(secret), signed, hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key_of(secret: str) -> bytes:
    """`whsec_` and base64, as the standard writes it; any other text is the key itself."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
