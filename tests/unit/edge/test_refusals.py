"""Entries of refused calls reach the ledger once it is there, and never grow without bound."""

from __future__ import annotations

import asyncio

import structlog
from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2
from prometheus_client import CollectorRegistry

from edge.metrics import EdgeMetrics
from edge.refusals import MAX_WAITING, MAX_WAITING_BYTES, Refusals, refused_entry
from services.errors import GatewayError, Reason
from services.inprocess import InProcessChannel
from services.methods import RECORD

LOG = structlog.get_logger()


def entry_of(number: int, tags: tuple[str, ...] = ()) -> ledger_pb2.Entry:
    admit = keystore_pb2.Admit(dispatch_id=number.to_bytes(16), model="m", end_user_id="c", tags=tags)
    principal = common_pb2.Principal(key_id="k", user_id="u")
    return refused_entry(admit, principal, "call", GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, "no"))


def test_an_entry_says_whose_call_it_was_and_why_it_was_refused() -> None:
    entry = entry_of(1, ("red",))
    assert (entry.principal.key_id, entry.principal.user_id, entry.principal.end_user_id) == ("k", "u", "c")
    assert list(entry.principal.tags) == ["red"]
    assert (entry.status, entry.error_reason) == (
        ledger_pb2.ENTRY_STATUS_FAILURE,
        Reason.ERROR_REASON_BUDGET_EXCEEDED,
    )
    assert (entry.cost_nano_usd, len(entry.attempts)) == (0, 0)


async def test_what_a_broken_link_did_not_deliver_comes_again() -> None:
    seen: list[bytes] = []
    links = 0

    async def record(link) -> None:
        nonlocal links
        links += 1
        acknowledges = links > 1
        while True:
            frames = await link.receive()
            seen.extend(frame.entry.dispatch_id for frame in frames)
            if not acknowledges:
                return
            link.send(ledger_pb2.StoredFrame(sequence=frames[-1].sequence))

    channel = InProcessChannel({RECORD: record}, LOG)
    refusals = Refusals(channel, EdgeMetrics(CollectorRegistry()), LOG)
    for number in range(5):
        refusals.note(entry_of(number))
    await refusals.start()
    async with asyncio.timeout(10):
        while links < 2:
            await asyncio.sleep(0.01)
    refusals.note(entry_of(5))
    await refusals.stop(10)
    await channel.close()
    assert seen[-6:] == [entry_of(number).dispatch_id for number in range(6)]


async def test_while_the_ledger_is_away_so_many_wait_and_the_rest_is_counted() -> None:
    for tags, most in (((), MAX_WAITING), (tuple(f"{n}{'t' * 250}" for n in range(64)), MAX_WAITING_BYTES // 16_000)):
        metrics = EdgeMetrics(CollectorRegistry())
        refusals = Refusals(InProcessChannel({}, LOG), metrics, LOG)
        for number in range(MAX_WAITING + 10):
            refusals.note(entry_of(number, tags))
        assert 10 <= metrics.unrecorded == MAX_WAITING + 10 - len(refusals._waiting)
        assert len(refusals._waiting) <= most
