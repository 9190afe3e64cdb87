"""One role, several processes: one is used at a time, and another when that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from gateway.v1 import keystore_pb2, ledger_pb2

from services.errors import GatewayError, Reason, unavailable
from services.inprocess import InProcessChannel
from services.link import LinkClosed
from services.methods import CREATE_KEY, RECORD, SUM_SPEND
from services.replicated import ReplicatedChannel
from services.resolve import Replicas
from services.transport import Channel

LOG = structlog.get_logger()


class Process:
    """A replica that can be ended, and that counts what it is asked."""

    def __init__(self) -> None:
        self.up = True
        self.calls = 0
        self.links: list[Any] = []
        self.opens = True
        self._channel = InProcessChannel({SUM_SPEND: self._sum, CREATE_KEY: self._create, RECORD: self._record}, LOG)

    async def _sum(self, _: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        self.calls += 1
        if not self.up:
            raise unavailable("gone")
        return ledger_pb2.SumSpendResponse(cost_nano_usd=7)

    async def _create(self, _: keystore_pb2.CreateKeyRequest) -> keystore_pb2.CreateKeyResponse:
        self.calls += 1
        if not self.up:
            raise unavailable("gone")
        return keystore_pb2.CreateKeyResponse()

    async def _record(self, link: Any) -> None:
        if not self.up:
            raise unavailable("gone")
        self.links.append(link)
        while True:
            await link.receive()

    async def call(self, *arguments: Any, **named: Any) -> Any:
        return await self._channel.call(*arguments, **named)

    async def exchange(self, method: Any, *, timeout_seconds: float) -> Any:
        if not self.opens:
            await asyncio.sleep(timeout_seconds)
            raise unavailable("nobody is there")
        return await self._channel.exchange(method, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        await self._channel.close()

    async def end(self) -> None:
        self.up = self.opens = False
        for link in self.links:
            await link.close()


class Fleet:
    def __init__(self, *names: str) -> None:
        self.processes = {name: Process() for name in names}
        self.there: asyncio.Queue[set[str]] = asyncio.Queue()
        self.there.put_nowait(set(names))
        self.channel: Channel = ReplicatedChannel(
            Replicas(self._watch, self.processes.__getitem__), choose=min, rest_seconds=0.2
        )

    async def _watch(self) -> AsyncIterator[frozenset[str]]:
        while True:
            yield frozenset(await self.there.get())

    async def sum(self) -> int:
        answer = await self.channel.call(SUM_SPEND, ledger_pb2.SumSpendRequest(), timeout_seconds=0.5)
        return answer.cost_nano_usd


@pytest.fixture
async def two() -> AsyncIterator[Fleet]:
    fleet = Fleet("a", "b")
    yield fleet
    await fleet.channel.close()


async def test_a_process_keeps_to_one_replica(two: Fleet) -> None:
    for _ in range(5):
        assert await two.sum() == 7
    assert [process.calls for process in two.processes.values()] == [5, 0]


async def test_a_question_that_one_does_not_answer_is_put_to_another(two: Fleet) -> None:
    await two.sum()
    two.processes["a"].up = False
    assert await two.sum() == 7
    assert await two.sum() == 7
    assert two.processes["a"].calls == 2  # the one that rests is not asked again at once


async def test_what_changes_something_is_not_repeated(two: Fleet) -> None:
    two.processes["a"].up = False
    with pytest.raises(GatewayError):
        await two.channel.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(), timeout_seconds=0.5)
    assert two.processes["b"].calls == 0
    await two.channel.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(), timeout_seconds=0.5)
    assert two.processes["b"].calls == 1


async def test_another_error_is_the_answer(two: Fleet) -> None:
    async def refuse(_: Any) -> Any:
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, "no")

    two.processes["a"]._channel = InProcessChannel({SUM_SPEND: refuse}, LOG)
    with pytest.raises(GatewayError, match="no"):
        await two.sum()
    assert two.processes["b"].calls == 0


async def test_a_link_whose_replica_ends_is_opened_at_another(two: Fleet) -> None:
    link = await two.channel.exchange(RECORD, timeout_seconds=0.5)
    await asyncio.sleep(0)
    await two.processes["a"].end()
    with pytest.raises(LinkClosed):
        await link.receive()
    link = await two.channel.exchange(RECORD, timeout_seconds=0.5)
    link.send(ledger_pb2.RecordFrame(sequence=1))
    await asyncio.sleep(0.01)
    assert len(two.processes["b"].links) == 1


async def test_a_replica_that_comes_back_is_used_again(two: Fleet) -> None:
    two.processes["a"].up = False
    await two.sum()
    two.processes["a"].up = True
    await asyncio.sleep(0.3)
    two.processes["b"].up = False
    assert await two.sum() == 7


async def test_the_last_one_is_asked_although_it_rests(two: Fleet) -> None:
    two.there.put_nowait({"a"})
    await asyncio.sleep(0.01)
    two.processes["a"].up = False
    with pytest.raises(GatewayError):
        await two.sum()
    two.processes["a"].up = True
    assert await two.sum() == 7


async def test_a_replica_that_nobody_names_any_more_is_left(two: Fleet) -> None:
    await two.sum()
    two.there.put_nowait({"b"})
    await asyncio.sleep(0.01)
    assert await two.sum() == 7
    assert two.processes["b"].calls == 1


async def test_nobody_to_be_found_is_said_in_time() -> None:
    fleet = Fleet()
    with pytest.raises(GatewayError) as caught:
        await fleet.sum()
    assert caught.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    await fleet.channel.close()
