"""An engine's surroundings for tests: a caller that writes down what it is told, an outbox that only remembers, a
budget of one call, and a signer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
from gateway.v1 import ledger_pb2, router_pb2

from router.catalog import Deployment
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason, unavailable


@dataclass
class Log:
    """`router.accounting.Log` in memory. events: shared with the caller, to see what came before what."""

    events: list[str]
    entries: list[ledger_pb2.Entry] = field(default_factory=list)
    opened_entries: list[ledger_pb2.Entry] = field(default_factory=list)
    full: bool = False
    blocked: bool = False

    def opened(self, entry: ledger_pb2.Entry) -> int:
        if self.full:
            raise unavailable("The outbox is full.")
        self.events.append("opened")
        self.opened_entries.append(entry)
        return 0

    def append(self, entry: ledger_pb2.Entry) -> int:
        self.events.append("entry")
        self.entries.append(entry)
        return len(self.entries)

    async def committed(self, sequence: int) -> None:
        await asyncio.sleep(3600 if self.blocked else 0)
        self.events.append("committed")


@dataclass
class Recorder:
    """`router.call.Caller` that writes down what it is told."""

    request: router_pb2.Open
    sent_body: bytes
    events: list[str]
    heads: list[router_pb2.Head] = field(default_factory=list)
    out: bytes = b""
    results: list[router_pb2.Result] = field(default_factory=list)
    reads: bool = True

    async def body(self) -> bytes:
        return self.sent_body

    def sent(self, deployment_id: str) -> None:
        self.events.append(f"sent {deployment_id}")

    async def answer(self, head: router_pb2.Head, body: bytes, result: router_pb2.Result) -> None:
        self.head(head)
        await self.data(body)
        self.result(result)

    def head(self, head: router_pb2.Head, *, urgent: bool = True) -> None:
        self.events.append("head")
        self.heads.append(head)

    async def data(self, body: bytes, *, urgent: bool = True) -> None:
        if not self.reads:
            await asyncio.sleep(3600)
        self.events.append("data")
        self.out += body

    def result(self, result: router_pb2.Result) -> None:
        self.events.append("result")
        self.results.append(result)


@dataclass
class Budget:
    """`router.growth.Extend` under a cap: what was asked for, and what is held of it."""

    cap_nano_usd: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)
    held_nano_usd: int = 0
    away: bool = False

    async def extend(self, request: router_pb2.Open, wanted_nano_usd: int, smallest_nano_usd: int) -> int:
        self.asked.append((wanted_nano_usd, smallest_nano_usd))
        await asyncio.sleep(0)
        if self.away:
            raise unavailable("The keystore is away.")
        if smallest_nano_usd > self.cap_nano_usd:
            raise GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, "Budget has been exceeded!")
        self.held_nano_usd = min(wanted_nano_usd, self.cap_nano_usd)
        return self.held_nano_usd


class KeySigner:
    """`router.credentials.Signer` that shows a key, or raises what it is told to."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.failures: dict[str, Exception] = {}
        self.hangs = False

    async def sign(self, request: HttpRequest, deployment: Deployment) -> HttpRequest:
        self.events.append(f"sign {deployment.id}")
        if self.hangs:
            await asyncio.sleep(3600)
        if deployment.id in self.failures:
            raise self.failures[deployment.id]
        return msgspec.structs.replace(request, headers={**request.headers, "api-key": "signed-for-you"})

    def refused(self, deployment: Deployment) -> None:
        self.events.append(f"refused {deployment.id}")
