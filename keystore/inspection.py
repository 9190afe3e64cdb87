"""The counters as whoever compares them with the ledger sees them: looked at, and corrected upwards; one at a time.

`counters.py` says what lies under which key. Beside that there is the lease of the keystore that compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keystore.counters import KEYS, REBUILD_DEADLINE_SECONDS, Counters, pairs, script
from keystore.policy.drift import Look
from services.redis import Argument, RedisServer, Script

LEAD = "{tollhouse}:reconciler"
# Unsettled dispatches that one look carries: 2 MB, and some 20 ms of the server. It is also what one question to the
# ledger may leave out, with room to spare.
MAX_UNSETTLED = 50_000
# Scopes in one page of names; a hint to the server.
SCAN_COUNT = 100


class Inspection:
    """GatewayError UNAVAILABLE when Redis does not answer. who: a text that is this process's alone."""

    def __init__(self, server: RedisServer, counters: Counters, who: str) -> None:
        self._server = server
        self._counters = counters
        self._who = who
        self._lead = script("lead")
        self._look = script("look")
        self._correct = script("correct")
        self._forget = script("forget")
        self._corrections = 0

    @property
    def epoch(self) -> str:
        """The epoch that the counters were last found in; empty before the first decision."""
        return self._counters.epoch

    async def lead(self, seconds: float) -> bool:
        """Be the one who compares for so long; False while another is."""
        return bool(await self._run(self._lead, [LEAD], [self._who, int(seconds * 1000)]))

    async def scopes(self, cursor: int) -> tuple[int, list[str]]:
        """The next scopes that have counters, and where to go on; 0 begins, and ends. A scope may come twice."""
        following, page = await self._server.command(
            "HSCAN", KEYS[1], cursor, "COUNT", SCAN_COUNT, timeout_seconds=REBUILD_DEADLINE_SECONDS
        )
        return int(following), [scope.decode() for scope in pairs(page)]

    async def look(self, epoch: str, scopes: Sequence[str]) -> Mapping[str, Look] | None:
        """These scopes, as far as they are known. None in another epoch, and when too much is unsettled."""
        answer = await self._run(self._look, KEYS, [epoch, MAX_UNSETTLED, *scopes])
        if not answer:
            return None
        spent, amounts = answer[0], pairs(answer[1])
        known = {scope: int(each) for scope, each in zip(scopes, spent, strict=True) if each}
        unsettled: dict[str, dict[bytes, int | None]] = {scope: {} for scope in known}
        for dispatch_id, names in pairs(answer[2]).items():
            amount = amounts.get(dispatch_id)
            for scope in names.decode().split("\n"):
                if scope in unsettled:
                    unsettled[scope][dispatch_id] = None if amount is None else int(amount)
        return {scope: Look(each, unsettled[scope]) for scope, each in known.items()}

    async def forget(self, epoch: str, scopes: Sequence[str]) -> int:
        """Drop scopes in which nothing is held; how many. Of ended periods only: nobody asks for them any more."""
        return int(await self._run(self._forget, KEYS[:3], [epoch, *scopes]))

    async def correct(self, epoch: str, scope: str, amount_nano_usd: int) -> bool:
        """Add to what is spent. False in another epoch, and when another has become the one who compares."""
        self._corrections += 1
        name = f"{self._who}:{self._corrections}"
        arguments: list[Argument] = [epoch, self._who, name, scope, amount_nano_usd]
        return bool(await self._run(self._correct, [KEYS[0], KEYS[1], LEAD], arguments))

    async def _run(self, what: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        return await self._server.run(what, keys, arguments, timeout_seconds=REBUILD_DEADLINE_SECONDS)
