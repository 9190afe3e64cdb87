"""Tells what is kept, for as long as the process lives: each alert over each channel, again until it is taken.

A ledger takes alerts up for longer than a delivery can last; another goes on when that time is up. What was told by a
ledger that was killed before it could say so is told twice.
"""

from __future__ import annotations

import asyncio
import contextlib

from structlog.typing import FilteringBoundLogger

from ledger.alerts.store import AlertStore, Waiting
from services.alert_channels import AlertChannels
from services.errors import GatewayError
from services.sender import Later

# Between two looks.
IDLE_SECONDS = 1.0
# At once.
MOST = 10
# Longer than any channel's own limit.
TELL_SECONDS = 30.0
HOLD_SECONDS = 60.0
# Pauses double from the first to the last: 50 attempts are seven hours.
FIRST_PAUSE_SECONDS = 2.0
LAST_PAUSE_SECONDS = 600.0
MAX_ATTEMPTS = 50
# Longer than the longest common period of a budget.
KEPT_DAYS = 400
FORGET_EVERY_SECONDS = 3600.0


class Teller:
    """Runs between `start` and `stop`."""

    def __init__(
        self,
        store: AlertStore,
        channels: AlertChannels,
        log: FilteringBoundLogger,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        self._store = store
        self._channels = channels
        self._log = log
        self._first_pause_seconds = first_pause_seconds
        self._max_attempts = max_attempts
        self._forgot_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        # What is being told: a receiver that hangs keeps no other.
        self._telling: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; what is being told comes again from whoever is next."""
        if self._task is not None:
            for task in (self._task, *self._telling):
                task.cancel()
            await asyncio.wait({self._task, *self._telling})
        await self._channels.close()

    async def _run(self) -> None:
        while True:
            told = 0
            try:
                told = await self._step()
            except GatewayError:
                pass  # PostgreSQL is away; nothing is lost
            except Exception:
                self._log.exception("alerts_failed")
            if not told:
                await asyncio.sleep(IDLE_SECONDS)

    async def _step(self) -> int:
        now = asyncio.get_running_loop().time()
        if now - self._forgot_at > FORGET_EVERY_SECONDS:
            await self._store.forget(KEPT_DAYS)
            self._forgot_at = now
        room = MOST - len(self._telling)
        waiting = await self._store.take(room, HOLD_SECONDS) if room else []
        for each in waiting:
            task = asyncio.get_running_loop().create_task(self._tell(each))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        return len(waiting)

    async def _tell(self, waiting: Waiting) -> None:
        asked_seconds = 0.0
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._channels.tell(waiting.channel, waiting.alert)
        except Later as error:
            why, asked_seconds = str(error), error.after_seconds
        except TimeoutError:
            why = "it takes too long"
        except Exception:
            self._log.exception("alert_failed", channel=waiting.channel, number=waiting.number)
            why = "a mistake of the gateway's own; its log has more"
        else:
            with contextlib.suppress(GatewayError):  # it is told once more then
                await self._store.delivered(waiting.number)
            return
        doubled = self._first_pause_seconds * 2.0 ** min(waiting.attempts - 1, 16)
        pause = min(LAST_PAUSE_SECONDS, max(doubled, asked_seconds))
        gives_up = waiting.attempts >= self._max_attempts
        event = "alert_given_up" if gives_up else "alert_not_taken"
        self._log.warning(event, channel=waiting.channel, number=waiting.number, reason=why, pause_seconds=pause)
        with contextlib.suppress(GatewayError):
            await self._store.failed(waiting.number, why, pause, gives_up=gives_up)
