"""Takes over the folders of processes that are gone: their entries go through this process's own outbox.

What was in flight there, an `opened` without an entry, becomes the entry that the `opened` carries: interrupted, its
cost estimated. A folder is deleted once all of it is on disk here. Killed in between, it is taken over again by
another process, and entries arrive twice; the ledger and the keystore know them by their dispatch ids.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from gateway.v1 import ledger_pb2
from structlog.typing import FilteringBoundLogger

from router.metrics import OutboxMetrics
from router.outbox.folder import Folder, others, take_over
from router.outbox.outbox import Outbox
from router.outbox.segment import Chunk, read_chunk
from services.errors import GatewayError

INTERVAL_SECONDS = 30.0
# Read, appended and committed at once; about a millisecond of the event loop's time.
CHUNK_BYTES = 64 * 1024


class Adoption:
    """A round at the start, and every 30 s."""

    def __init__(self, outbox: Outbox, metrics: OutboxMetrics, log: FilteringBoundLogger) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._log = log
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a folder in the middle of it stays for another process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def run_once(self) -> None:
        """Take over every folder whose process is gone. What cannot be taken over now is left as it is."""
        for path in await asyncio.to_thread(others, self._outbox.root, self._outbox.path):
            try:
                folder = take_over(path)
                if folder is not None:
                    await self._take_over(folder)
            except (GatewayError, OSError) as error:
                self._log.warning("outbox_not_adopted", path=str(path), error=str(error))

    async def _run(self) -> None:
        while True:
            try:
                await self.run_once()
            except Exception:
                self._log.exception("adoption_failed")
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _take_over(self, folder: Folder) -> None:
        try:
            first = self._outbox.last_sequence + 1
            in_flight: dict[bytes, ledger_pb2.Entry] = {}
            entries = 0
            for path in folder.segments():
                entries += await self._copy(path, in_flight)
            for entry in in_flight.values():
                self._outbox.append(entry)
            await self._outbox.committed(self._outbox.last_sequence)
            await self._outbox.sync(first)
        except BaseException:
            folder.release()
            raise
        await asyncio.to_thread(folder.remove)
        self._metrics.adopted.inc()
        self._metrics.interrupted.inc(len(in_flight))
        self._log.info("outbox_adopted", path=str(folder.path), entries=entries, interrupted=len(in_flight))

    async def _copy(self, path: Path, in_flight: dict[bytes, ledger_pb2.Entry]) -> int:
        """Append the entries of a segment, and keep in `in_flight` what was opened; how many entries there were."""
        size = await asyncio.to_thread(os.path.getsize, path)
        offset = entries = 0
        while offset < size:
            chunk = await asyncio.to_thread(read_chunk, path, offset, CHUNK_BYTES, size)
            entries += self._append(chunk, in_flight)
            await self._outbox.committed(self._outbox.last_sequence)
            offset = chunk.end
            if chunk.damaged:
                # The last record of a process that was killed in mid-write is cut off; anything else is a bad disk.
                self._metrics.damaged.inc()
                self._log.warning("outbox_segment_damaged", path=str(path), offset=offset, size=size)
                break
        return entries

    def _append(self, chunk: Chunk, in_flight: dict[bytes, ledger_pb2.Entry]) -> int:
        entries = 0
        for record in chunk.records:
            if record.HasField("opened"):
                in_flight[record.opened.dispatch_id] = record.opened
            elif record.HasField("entry"):
                in_flight.pop(record.entry.dispatch_id, None)
                self._outbox.append(record.entry)
                entries += 1
        return entries
