"""How a change that is stored comes to hold: here at once, everywhere from the next admission on."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from keystore.counters import Counters
from keystore.keys import Keys
from services.errors import GatewayError


class Announcer:
    """Of one keystore."""

    def __init__(self, keys: Keys, counters: Counters, log: FilteringBoundLogger) -> None:
        self._keys = keys
        self._counters = counters
        self._log = log

    async def announce(self, version: int) -> None:
        """UNAVAILABLE while Redis is away: it is stored, and holds everywhere within a second or so."""
        await self._keys.reach(version)
        await self._counters.announce(version)

    async def announce_if_possible(self, version: int) -> None:
        """The same of what must not be told as failed, because it cannot be asked for again."""
        try:
            await self.announce(version)
        except GatewayError as error:
            self._log.warning("change_not_announced", version=version, error=error.message)
