"""The script that decides about money, on a real server that is told the time."""

from __future__ import annotations

import importlib.resources
from collections import defaultdict
from collections.abc import Iterator, Sequence

import redis

from keystore.counters import KEYS, decode, encode
from keystore.policy.operations import Admit, Balance, Budget, Operation, Read, Result, Seed
from services.embedded.valkey import EmbeddedValkey

LEASE_MS = 60_000
START_MS = 1_800_000_000_000
SCOPES = ("gateway", "key:a", "key:b")
# Few ids and scopes, so that operations meet.
IDS = tuple(bytes([number]) * 16 for number in range(6))
CAPS = (0, 1, 1_000, 50_000, 9_000_000_000_000_000)


class Server:
    """The script on a real server, told the time."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        text = importlib.resources.files("keystore").joinpath("lua", "admission.lua").read_text()
        timed = text.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }")
        assert timed != text
        self._script = client.register_script(timed)
        self._forget = client.register_script(
            importlib.resources.files("keystore").joinpath("lua", "forget.lua").read_text()
        )

    def clear(self) -> None:
        self._client.flushall()
        self._client.hset(KEYS[0], mapping={"epoch": "e", "phase": "ready"})

    def decide(self, asked: list[Operation], now_ms: int, epoch: str = "e") -> list[Result] | None:
        arguments = [word for operation in asked for word in encode(operation)]
        clock = (now_ms // 1000, now_ms % 1000 * 1000)
        answer = self._script(keys=KEYS, args=[epoch, LEASE_MS, len(asked), *arguments, *clock])
        if epoch != "e":
            assert len(answer) == 3
            return None
        return [decode(*each) for each in zip(asked, answer[3:], strict=True)]

    def forget(self, scopes: Sequence[str], epoch: str = "e") -> int:
        return int(self._forget(keys=KEYS[:3], args=[epoch, *scopes]))

    def balances(self, now_ms: int, scopes: Sequence[str] = SCOPES) -> dict[str, Balance]:
        results = self.decide([Read(scope) for scope in scopes], now_ms) or []
        return {scope: result for scope, result in zip(scopes, results, strict=True) if isinstance(result, Balance)}

    def live(self) -> dict[str, int]:
        """What the live holds come to, by scope."""
        scopes = self._client.hgetall(KEYS[4])
        sums: dict[str, int] = defaultdict(int)
        for dispatch_id, amount in self._client.hgetall(KEYS[3]).items():
            for scope in filter(None, scopes[dispatch_id].decode().split("\n")):
                sums[scope] += int(amount)
        return sums

    def slots(self) -> tuple[dict[str, int], dict[str, int]]:
        """The calls that go on under limits, by scope: as they are counted, and as they are known one by one."""
        known = dict.fromkeys(SCOPES, 0)
        for record in self._client.hgetall(KEYS[11]).values():
            for scope in record.decode().split("\n")[2:]:
                known[scope] += 1
        counted = {scope.decode(): int(each) for scope, each in self._client.hgetall(KEYS[10]).items()}
        return counted, {scope: each for scope, each in known.items() if each}

    def live_ids(self) -> set[bytes]:
        return set(self._client.hgetall(KEYS[3]))

    def limited_ids(self) -> set[bytes]:
        return set(self._client.hgetall(KEYS[11]))


def served(valkey: EmbeddedValkey) -> Iterator[Server]:
    """For a fixture."""
    with redis.from_url(valkey.redis_url) as client:
        yield Server(client)
        client.flushall()


def expired(server: Server) -> tuple[bytes, int]:
    """A dispatch whose hold has expired, and when that was."""
    server.clear()
    asked = Admit(IDS[0], 10, 1, (Budget("gateway", 100),))
    server.decide([Seed("gateway", 0), asked], START_MS)
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], START_MS + pause_ms)
    assert server.balances(START_MS + 75_000) == {"gateway": Balance(0, 0)}
    return IDS[0], START_MS + 75_000
