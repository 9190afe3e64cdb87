"""Asking for more of a hold over a link that may break, and what is noted of the answers."""

from __future__ import annotations

import asyncio

import pytest
from gateway.v1 import common_pb2, keystore_pb2, router_pb2

from router import extensions
from router.extensions import Extensions
from router.live import LiveHolds
from services.errors import GatewayError, Reason, unavailable
from services.link import LinkClosed

Reply = keystore_pb2.AdmissionReplyFrame
OPEN = router_pb2.Open(
    dispatch_id=b"d" * 16,
    principal=common_pb2.Principal(key_id="k"),
    hold=common_pb2.Hold(held_nano_usd=10, epoch="e"),
)


class Keystore:
    """The far end of the link."""

    def __init__(self) -> None:
        self.frames: list[keystore_pb2.AdmissionFrame] = []
        self.live = LiveHolds()
        self.live.add(OPEN)
        self.extensions = Extensions(self.live)
        self.extensions.linked(self.send)

    def send(self, frame: keystore_pb2.AdmissionFrame) -> int:
        self.frames.append(frame)
        return len(self.frames)

    async def asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.frames) < count:
                await asyncio.sleep(0)

    @property
    def reported(self) -> list[int]:
        return [hold.held_nano_usd for hold in self.live.report()]


@pytest.fixture
def keystore(monkeypatch: pytest.MonkeyPatch) -> Keystore:
    monkeypatch.setattr(extensions, "PAUSE_SECONDS", 0.0)
    return Keystore()


def refused(sequence: int, error: GatewayError) -> Reply:
    return Reply(sequence=sequence, refused=error.to_proto())


def extended(sequence: int, held_nano_usd: int) -> Reply:
    return Reply(sequence=sequence, extended=keystore_pb2.Extended(held_nano_usd=held_nano_usd))


async def test_what_is_granted_is_told_and_reported_from_then_on(keystore: Keystore) -> None:
    asking = asyncio.create_task(keystore.extensions.extend(OPEN, 40, 20))
    await keystore.asked(1)
    asked = keystore.frames[0].extend
    assert (asked.dispatch_id, asked.key_id) == (OPEN.dispatch_id, "k")
    assert (asked.wanted_nano_usd, asked.smallest_nano_usd) == (40, 20)
    assert keystore.reported == [10]
    keystore.extensions.answered(extended(1, 30))
    # Before anybody else has had his turn: a report that is asked for next must have it.
    assert keystore.reported == [30]
    assert await asking == 30
    keystore.live.remove(OPEN)
    assert keystore.reported == []


async def test_a_refusal_for_want_of_money_is_final(keystore: Keystore) -> None:
    asking = asyncio.create_task(keystore.extensions.extend(OPEN, 40, 20))
    await keystore.asked(1)
    keystore.extensions.answered(refused(1, GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, "No.")))
    with pytest.raises(GatewayError) as caught:
        await asking
    assert caught.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    assert len(keystore.frames) == 1
    assert keystore.reported == [10]


async def test_a_keystore_that_is_not_ready_or_goes_away_is_asked_again(keystore: Keystore) -> None:
    asking = asyncio.create_task(keystore.extensions.extend(OPEN, 40, 20))
    await keystore.asked(1)
    keystore.extensions.answered(refused(1, unavailable("Not now.")))
    await keystore.asked(2)
    keystore.extensions.unlinked()
    await asyncio.sleep(0.01)
    assert len(keystore.frames) == 2
    keystore.extensions.linked(keystore.send)
    await keystore.asked(3)
    keystore.extensions.answered(extended(3, 40))
    assert await asking == 40


async def test_an_answer_to_a_call_that_has_ended_is_passed_over(keystore: Keystore) -> None:
    asking = asyncio.create_task(keystore.extensions.extend(OPEN, 40, 20))
    await keystore.asked(1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    keystore.live.remove(OPEN)
    keystore.extensions.answered(extended(1, 40))
    keystore.extensions.answered(extended(99, 40))
    assert keystore.reported == []


async def test_without_a_keystore_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(extensions, "PAUSE_SECONDS", 0.01)
    asked = Extensions(LiveHolds())
    with pytest.raises(GatewayError) as caught:
        await asked.extend(OPEN, 40, 20)
    assert caught.value.reason == Reason.ERROR_REASON_UNAVAILABLE

    def broken(frame: keystore_pb2.AdmissionFrame) -> int:
        raise LinkClosed

    asked.linked(broken)
    with pytest.raises(GatewayError) as caught:
        await asked.extend(OPEN, 40, 20)
    assert caught.value.reason == Reason.ERROR_REASON_UNAVAILABLE
