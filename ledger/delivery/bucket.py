"""Delivers entries to object storage that speaks S3: an object for each batch, an entry a line, compressed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ledger.delivery.form import lines_of
from ledger.rows import Entry
from services.deliveries import ExportBucket
from services.entry_columns import time_text
from services.ids import millis_of
from services.sender import Sender
from services.sigv4 import authorization, date_headers


class Bucket:
    """See `Sink`. now: seconds since the epoch, by which requests are signed."""

    name = "bucket"
    # Some MB before they are compressed.
    most_entries = 2_000
    # Objects are worth something from a few hundred entries on.
    wait_seconds = 60.0

    def __init__(self, wanted: ExportBucket, sender: Sender, now: Callable[[], float]) -> None:
        self._wanted = wanted
        self._sender = sender
        self._now = now

    async def deliver(self, key: str, entries: Sequence[Entry]) -> None:
        """See `Sink`. What comes again replaces the object that it may have made."""
        body = await asyncio.to_thread(lambda: gzip.compress(lines_of(entries), mtime=0))
        day = time_text(millis_of(entries[0].dispatch_id))[:10]
        wanted = self._wanted
        url = f"{wanted.address}/{wanted.prefix}{day}/entries-{key}.jsonl.gz"
        parts = urlsplit(url)
        headers = {
            "host": parts.netloc,
            "content-type": "application/gzip",
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            **date_headers(wanted.keys, datetime.fromtimestamp(self._now(), UTC)),
        }
        headers["authorization"] = authorization(
            "PUT", parts.path, headers, body, wanted.keys, region=wanted.region, service="s3", takes_path_as_sent=True
        )
        await self._sender.send("PUT", url, headers, body)

    async def close(self) -> None:
        """See `Sink`."""
        await self._sender.close()
