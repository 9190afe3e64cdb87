"""Names and the addresses that they stand for, as these change."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import structlog
from structlog.testing import capture_logs

from services import resolve
from services.inprocess import InProcessChannel
from services.resolve import fixed, look_up
from services.telemetry import create_log

ONE, TWO, THREE = "10.0.0.1:41", "10.0.0.2:41", "10.0.0.3:41"


class Names:
    """A resolver whose answers are put in beforehand; the last one stays. None: it knows nothing."""

    def __init__(self, **answers: list[set[str] | None]) -> None:
        self.answers = answers
        self.asked = 0

    async def __call__(self, name: str) -> frozenset[str]:
        self.asked += 1
        left = self.answers[name]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return frozenset(answer)


def watch(names: Names) -> AsyncIterator[frozenset[str]]:
    return resolve.watch(list(names.answers), names, create_log("critical"), pause_seconds=0)


async def first(watching: AsyncIterator[frozenset[str]], count: int) -> list[set[str]]:
    async with asyncio.timeout(5):
        return [set(await anext(watching)) for _ in range(count)]


async def test_what_comes_and_what_goes_is_told() -> None:
    names = Names(router=[{ONE}, {ONE, TWO}, {TWO}])
    assert await first(watch(names), 3) == [{ONE}, {ONE, TWO}, {TWO}]


async def test_what_stays_is_told_once() -> None:
    names = Names(router=[{ONE}, {ONE}, {ONE}, {TWO}])
    assert await first(watch(names), 2) == [{ONE}, {TWO}]
    assert names.asked == 4


async def test_the_addresses_of_several_names_are_one_set() -> None:
    names = Names(a=[{ONE, TWO}], b=[{TWO}, {THREE}])
    assert await first(watch(names), 2) == [{ONE, TWO}, {ONE, TWO, THREE}]


async def test_a_name_that_is_not_known_yet_is_nowhere_until_it_is() -> None:
    assert await first(watch(Names(router=[None, None, {ONE}])), 2) == [set(), {ONE}]


async def test_a_resolver_that_fails_takes_nothing_away() -> None:
    """Else a name server's short absence would end every link."""
    names = Names(a=[{ONE}, None, None, None, {TWO}], b=[{THREE}])
    assert await first(watch(names), 2) == [{ONE, THREE}, {TWO, THREE}]


async def test_a_name_that_stays_unknown_is_warned_of_once() -> None:
    with capture_logs() as logged:
        assert await first(
            resolve.watch(["r"], Names(r=[None, None, None, {ONE}]), structlog.get_logger(), pause_seconds=0), 2
        )
    assert [line["name"] for line in logged if line["event"] == "name_not_resolved"] == ["r"]


async def test_replicas_that_stay_are_told_once_and_opened_by_name() -> None:
    one, two = (InProcessChannel({}, create_log("critical")) for _ in range(2))
    replicas = fixed({"a": one, "b": two})
    assert [addresses async for addresses in replicas.watch()] == [{"a", "b"}]
    assert (replicas.open("a"), replicas.open("b")) == (one, two)


@pytest.mark.parametrize("name", ["127.0.0.1:4101", "[::1]:4101"])
async def test_an_address_stands_for_itself(name: str) -> None:
    assert await look_up(name) == {name}


async def test_a_host_with_both_families_is_one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, 1, 6, "", ("fd00::1", 41, 0, 0)), (socket.AF_INET, 1, 6, "", ("10.0.0.1", 41))]

    async def getaddrinfo(*_: object, **__: object) -> object:
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert await look_up("router:41") == {"10.0.0.1:41"}
    found.pop()
    assert await look_up("router:41") == {"[fd00::1]:41"}


async def test_a_name_that_cannot_be_one_is_not_known() -> None:
    with pytest.raises(OSError, match="is no name"):
        await look_up(f"{'a' * 70}:4101")
