"""What one admission costs a keystore, with its settlement.

A link of ours asks as an edge does, so many calls at a time, and settles as a router does. CPU is the keystore's; that
of Valkey stands beside it. Verified: money was held for every admission, and the key's spend moved by what was settled.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

import msgspec
from gateway.v1 import common_pb2, keystore_pb2

from bench.gateway import Gateway
from bench.measure import cpu_seconds
from bench.processes import get
from bench.scenarios import SCENARIOS
from services.ids import IdMint
from services.link import Link
from services.methods import ADMISSION
from services.rpc import GrpcChannel

IN_FLIGHT = (1, 64)
SECONDS = 3.0
COST_NANO_USD = 1_000
MODEL = SCENARIOS[0].group

_Link = Link[keystore_pb2.AdmissionFrame, keystore_pb2.AdmissionReplyFrame]


@dataclass(slots=True)
class Asker:
    """One link, on which so many calls are under way until a moment of `time.perf_counter`."""

    link: _Link
    digest: bytes
    until: float
    held: int = 0
    answers: int = 0
    _mint: IdMint = field(default_factory=IdMint)
    _sequence: int = 0
    _last_settlement: int = 0
    _settled: int = 0
    _under_way: dict[int, bytes] = field(default_factory=dict)

    async def run(self, in_flight: int) -> None:
        """Ends when everything is settled."""
        self.link.open_calls = in_flight
        for _ in range(in_flight):
            self._ask()
        while self._under_way or self._settled < self._last_settlement:
            for reply in await self.link.receive():
                if reply.HasField("settled"):
                    self._settled = reply.sequence
                elif reply.sequence in self._under_way:
                    self._answered(reply)

    def _ask(self) -> None:
        self._sequence += 1
        self._under_way[self._sequence] = dispatch_id = self._mint.new()
        admit = keystore_pb2.Admit(
            dispatch_id=dispatch_id,
            key_digest=self.digest,
            model=MODEL,
            operation=common_pb2.OPERATION_CHAT_COMPLETIONS,
            input_tokens_bound=100,
            output_tokens_limit=50,
            choices=1,
        )
        self.link.send(keystore_pb2.AdmissionFrame(sequence=self._sequence, admit=admit))

    def _answered(self, reply: keystore_pb2.AdmissionReplyFrame) -> None:
        dispatch_id = self._under_way.pop(reply.sequence)
        self.answers += 1
        if reply.admitted.hold.held_nano_usd:
            self.held += 1
            self._sequence += 1
            self._last_settlement = self._sequence
            settle = keystore_pb2.Settle(dispatch_id=dispatch_id, cost_nano_usd=COST_NANO_USD, tokens=20)
            self.link.send(keystore_pb2.AdmissionFrame(sequence=self._sequence, settle=settle), urgent=False)
        if time.perf_counter() < self.until:
            self._ask()


async def measure(gateway: Gateway) -> bool:
    """Print a row for each kind of key and number of calls at once; whether everything added up."""
    print("admissions, each with its settlement; CPU us of the keystore (Valkey)")
    keys = {
        "a key's budget": _new_key(gateway, max_budget=1_000_000),
        "budgets of key, team and user, rpm and tpm limits of each": gateway.key,
    }
    channel = GrpcChannel(gateway.addresses["keystore"], gateway.internal_token)
    rows = [
        await _measure_one(gateway, channel, what, key, in_flight)
        for what, key in keys.items()
        for in_flight in IN_FLIGHT
    ]
    await channel.close()
    return all(rows)


async def _measure_one(gateway: Gateway, channel: GrpcChannel, what: str, key: str, in_flight: int) -> bool:
    link = await channel.exchange(ADMISSION, timeout_seconds=5)
    digest = hashlib.sha256(key.encode()).digest()
    await Asker(link, digest, time.perf_counter() + SECONDS / 5).run(in_flight)
    spent_before, cpu_before = _spent(gateway, key), cpu_seconds(gateway.roots)
    begun = time.perf_counter()
    asker = Asker(link, digest, begun + SECONDS)
    await asker.run(in_flight)
    seconds, cpu = time.perf_counter() - begun, cpu_seconds(gateway.roots)
    await link.close()
    moved = _spent(gateway, key) - spent_before
    good = asker.held == asker.answers and moved == asker.held * COST_NANO_USD
    us = {part: (cpu[part] - cpu_before[part]) / asker.answers * 1e6 for part in ("keystore", "valkey")}
    verdict = "verified" if good else f"VOID: {asker.held} of {asker.answers} held, spend moved by {moved} nano-USD"
    print(
        f"{in_flight:>4} at once {asker.answers / seconds:>8,.0f}/s {us['keystore']:>7.0f} ({us['valkey']:.0f})"
        f"  {what}  {verdict}",
        flush=True,
    )
    return good


def _new_key(gateway: Gateway, **members: object) -> str:
    answer = get(f"{gateway.base_url}/key/generate", gateway.master_key, members)
    return str(msgspec.json.decode(answer)["key"])


def _spent(gateway: Gateway, key: str) -> int:
    info = msgspec.json.decode(get(f"{gateway.base_url}/key/info?key={key}", gateway.master_key))["info"]
    return round(info["spend"] * 1e9)
