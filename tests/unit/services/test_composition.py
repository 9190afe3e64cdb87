"""The composition root: roles are built and started in one order, ended in the other, whatever happens."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import pytest
from gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry

from services import composition
from services.composition import Composition
from services.config import Config
from services.inprocess import InProcessChannel
from services.lifecycle import ROLES, Runtime
from services.methods import SUM_SPEND
from services.process import StartError
from services.replicated import ReplicatedChannel
from services.rpc import GrpcChannel
from services.settings import Settings
from services.telemetry import create_log
from services.transport import Handlers


class RecordingRole:
    """A role that tells what happens to it."""

    def __init__(self, name: str, runtime: Runtime, events: list[str]) -> None:
        self.runtime = runtime
        self.handlers: Handlers = {SUM_SPEND: self._sum_spend} if name == "ledger" else {}
        self.failure: BaseException | None = None
        self.http_port = 4321
        self._name = name
        self._events = events

    async def start(self) -> None:
        self._events.append(f"start {self._name}")
        if isinstance(self.failure, OSError):
            raise self.failure

    async def stop(self) -> None:
        self._events.append(f"stop {self._name}")
        if self.failure is not None:
            raise self.failure

    async def _sum_spend(self, _: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        return ledger_pb2.SumSpendResponse()


class Fixture:
    """Four recording roles in the place of the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.roles: dict[str, RecordingRole] = {}
        self.failures: dict[str, BaseException] = {}
        for name in ROLES:
            monkeypatch.setitem(sys.modules, f"{name}.main", SimpleNamespace(build=self._builder(name)))

    def _builder(self, name: str) -> Callable[[Runtime], RecordingRole]:
        def build(runtime: Runtime) -> RecordingRole:
            self.roles[name] = RecordingRole(name, runtime, self.events)
            self.roles[name].failure = self.failures.get(name)
            return self.roles[name]

        return build

    def compose(self, *roles: str) -> Composition:
        settings = Settings(internal_token="token", routers=("127.0.0.1:1", "127.0.0.1:2"))
        return Composition(
            roles,
            Config(),
            settings,
            create_log("error"),
            CollectorRegistry(),
            http_host="127.0.0.1",
            http_port=0,
            offers_rpc=False,
        )

    async def routers(self) -> Mapping[str, type]:
        """The edge's ways to the routers that there are at first."""
        replicas = self.roles["edge"].runtime.routers
        addresses = await anext(replicas.watch())
        return {address: type(replicas.open(address)) for address in addresses}

    def channels(self, role: str) -> Mapping[str, type]:
        return {name: type(channel) for name, channel in self.roles[role].runtime.channels.items()}


@pytest.fixture
def fixture(monkeypatch: pytest.MonkeyPatch) -> Fixture:
    return Fixture(monkeypatch)


async def test_roles_start_in_their_order_and_end_in_the_other(fixture: Fixture) -> None:
    whole = fixture.compose("edge", "ledger", "router", "keystore")
    await whole.start()
    assert whole.http_port == 4321
    await whole.stop()
    assert fixture.events == [f"start {name}" for name in ROLES] + [f"stop {name}" for name in reversed(ROLES)]


async def test_roles_in_one_process_meet_inside_it(fixture: Fixture) -> None:
    whole = fixture.compose(*ROLES)
    await whole.start()
    assert fixture.channels("ledger") == {}
    assert fixture.channels("edge") == dict.fromkeys(("ledger", "keystore"), InProcessChannel)
    assert await fixture.routers() == {"here": InProcessChannel}
    ledger = fixture.roles["edge"].runtime.channels["ledger"]
    assert await ledger.call(SUM_SPEND, ledger_pb2.SumSpendRequest(), timeout_seconds=5)
    await whole.stop()


async def test_roles_elsewhere_are_called_at_their_addresses(fixture: Fixture) -> None:
    part = fixture.compose("edge", "keystore")
    await part.start()
    assert set(fixture.roles) == {"edge", "keystore"}
    assert fixture.channels("edge") == {"ledger": ReplicatedChannel, "keystore": InProcessChannel}
    assert await fixture.routers() == {"127.0.0.1:1": GrpcChannel, "127.0.0.1:2": GrpcChannel}
    await part.stop()


async def test_without_an_edge_there_is_no_http_port(fixture: Fixture) -> None:
    part = fixture.compose("ledger")
    await part.start()
    assert (part.http_port, part.grpc_port) == (None, None)
    await part.stop()


async def test_a_role_that_cannot_start_is_named_and_those_begun_are_ended(fixture: Fixture) -> None:
    fixture.failures["router"] = OSError("the disk is full")
    whole = fixture.compose(*ROLES)
    with pytest.raises(StartError, match="cannot start the router: the disk is full"):
        await whole.start()
    await whole.stop()
    assert fixture.events[-3:] == ["stop router", "stop keystore", "stop ledger"]
    assert "start edge" not in fixture.events


async def test_a_role_that_fails_to_end_does_not_keep_the_others(fixture: Fixture) -> None:
    fixture.failures["router"] = RuntimeError("broken")
    whole = fixture.compose(*ROLES)
    await whole.start()
    await whole.stop()
    assert fixture.events[-4:] == [f"stop {name}" for name in reversed(ROLES)]


async def test_a_role_that_hangs_does_not_keep_the_others(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "STOP_SECONDS", 0.05)
    whole = fixture.compose(*ROLES)
    await whole.start()
    monkeypatch.setattr(fixture.roles["router"], "stop", asyncio.Event().wait)
    await whole.stop()
    assert fixture.events[-2:] == ["stop keystore", "stop ledger"]
