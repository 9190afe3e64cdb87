"""Real keystores on real servers, the other ends of links in the test's hands; only the ledger is a list of entries."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.resources
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2
from prometheus_client import CollectorRegistry

from keystore.counters import KEYS
from keystore.main import build
from keystore.term_members import TERMS
from services.config import Config
from services.default_terms import DefaultTerms, OwnerSettings
from services.embedded.account import server_account
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey
from services.errors import GatewayError, unavailable
from services.ids import IdMint
from services.inprocess import InProcessChannel
from services.lifecycle import Role, Runtime
from services.link import Link, LinkClosed
from services.methods import ADMISSION, CREATE_KEY, SUM_SPEND
from services.money import nano_from_usd
from services.postgres import migrate
from services.settings import Settings

# $1 a million tokens in, $2 out: 1,000 and 2,000 nano-USD a token.
CATALOG = common_pb2.Catalog(
    models=[
        common_pb2.CatalogModel(
            name="priced", input_nano_usd_per_mtok=1_000_000_000, output_nano_usd_per_mtok=2_000_000_000
        ),
        common_pb2.CatalogModel(name="unpriced", unpriced=True),
        common_pb2.CatalogModel(
            name="shown", output_nano_usd_per_mtok=2_000_000_000, max_output_tokens=100_000, shows_all_output=True
        ),
    ]
)
ANSWER_SECONDS = 10

_numbers = itertools.count(1)


@dataclass(slots=True)
class FakeLedger:
    """Entries as (dispatch id, key id, cost); what else an entry says of who called is in `others`."""

    entries: list[tuple[bytes, str, int]] = field(default_factory=list)
    others: dict[bytes, dict[int, str]] = field(default_factory=dict)
    away: bool = False
    sums: int = 0

    async def sum_spend(self, request: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        """What the real one answers."""
        if self.away:
            raise unavailable("The ledger is away.")
        self.sums += 1
        excluded = set(request.excluded_ids)
        costs = [
            cost
            for dispatch_id, key_id, cost in self.entries
            if all(self._said(dispatch_id, key_id, each.dimension) in each.values for each in request.filters)
            and dispatch_id not in excluded
            and dispatch_id >= request.since_id
        ]
        return ledger_pb2.SumSpendResponse(cost_nano_usd=sum(costs), entries=len(costs))

    def _said(self, dispatch_id: bytes, key_id: str, dimension: int) -> str:
        if dimension == ledger_pb2.SPEND_DIMENSION_KEY:
            return key_id
        return self.others.get(dispatch_id, {}).get(dimension, "")


class Peer:
    """One end of an admission link: an edge's, or with a name a router's."""

    def __init__(self, link: Link[Any, Any]) -> None:
        self.link = link
        self.settled = 0
        self.epochs: asyncio.Queue[str] = asyncio.Queue()
        self._sequence = 0
        self._mint = IdMint()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._changed = asyncio.Condition()
        self.reader = asyncio.create_task(self._read())

    def send(self, **kind: Any) -> int:
        """Send a frame of one kind; its sequence."""
        self._sequence += 1
        self.link.send(keystore_pb2.AdmissionFrame(sequence=self._sequence, **kind))
        return self._sequence

    async def admit(self, secret: str, **members: Any) -> keystore_pb2.Admitted:
        """Ask for leave; an empty secret is the master's. GatewayError: the refusal."""
        reply = await self.ask(secret, **members)
        if reply.HasField("refused"):
            raise GatewayError.from_proto(reply.refused)
        return reply.admitted

    async def ask(self, secret: str, **members: Any) -> keystore_pb2.AdmissionReplyFrame:
        """The same, with all that is answered."""
        members.setdefault("dispatch_id", self._mint.new())
        members.setdefault("model", "priced")
        members.setdefault("output_tokens_limit", 1_000)
        digest = hashlib.sha256(secret.encode()).digest() if secret else b""
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._sequence + 1] = answer
        self.send(admit=keystore_pb2.Admit(key_digest=digest, choices=1, **members))
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer

    async def extend(self, dispatch_id: bytes, key_id: str, wanted_nano_usd: int, smallest_nano_usd: int) -> int:
        """Ask for more of a hold; what is held then. GatewayError: the refusal."""
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._sequence + 1] = answer
        self.send(
            extend=keystore_pb2.Extend(
                dispatch_id=dispatch_id,
                key_id=key_id,
                wanted_nano_usd=wanted_nano_usd,
                smallest_nano_usd=smallest_nano_usd,
            )
        )
        async with asyncio.timeout(ANSWER_SECONDS):
            reply = await answer
        if reply.HasField("refused"):
            raise GatewayError.from_proto(reply.refused)
        return int(reply.extended.held_nano_usd)

    def new_id(self) -> bytes:
        """A dispatch id."""
        return self._mint.new()

    async def settle(self, dispatch_id: bytes, cost_nano_usd: int, epoch: str = "", tokens: int = 0) -> None:
        """Settle, and wait for the acknowledgement."""
        settle = keystore_pb2.Settle(dispatch_id=dispatch_id, cost_nano_usd=cost_nano_usd, epoch=epoch, tokens=tokens)
        await self.acknowledged(self.send(settle=settle))

    async def acknowledged(self, sequence: int) -> None:
        """Until a settlement is acknowledged."""
        async with asyncio.timeout(ANSWER_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.settled >= sequence)

    async def _read(self) -> None:
        try:
            while True:
                for reply in await self.link.receive():
                    if reply.HasField("settled"):
                        async with self._changed:
                            self.settled = reply.sequence
                            self._changed.notify_all()
                    elif reply.HasField("epoch"):
                        self.epochs.put_nowait(reply.epoch.epoch)
                    else:
                        self._answers.pop(reply.sequence).set_result(reply)
        except LinkClosed:
            return


class Keystore:
    """A running keystore."""

    def __init__(self, role: Role, channel: InProcessChannel, registry: CollectorRegistry) -> None:
        self.role = role
        self.channel = channel
        self.registry = registry
        self._peers: list[Peer] = []

    async def edge(self) -> Peer:
        """A new edge's link."""
        peer = Peer(await self.channel.exchange(ADMISSION, timeout_seconds=5))
        self._peers.append(peer)
        return peer

    async def router(self, router_id: str) -> Peer:
        """A new router's link, with the catalog told."""
        peer = await self.edge()
        peer.send(hello=keystore_pb2.Hello(router_id=router_id))
        peer.send(catalog=CATALOG)
        # Frames of a link are taken in order, those of different links are not: the catalog must be here before an
        # edge asks on another. That the router is known is stored before its next frame is taken.
        async with asyncio.timeout(ANSWER_SECONDS):
            while self.role._admission._peers.prices is None:  # type: ignore[attr-defined]
                await asyncio.sleep(0.005)
        return peer

    async def call(self, method: Any, request: Any) -> Any:
        """One unary call."""
        return await self.channel.call(method, request, timeout_seconds=ANSWER_SECONDS)

    async def create_key(self, budget_nano_usd: int | None = None, **members: Any) -> tuple[str, keystore_pb2.Key]:
        """A new key: its secret, and itself."""
        key = self.key(max_budget_nano_usd=budget_nano_usd, **members)
        answer = await self.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(key=key))
        return answer.secret, answer.key

    @staticmethod
    def key(**members: Any) -> keystore_pb2.Key:
        """A key with these members of its own or of its terms."""
        terms = {name: members.pop(name) for name in TERMS.intersection(members)}
        return keystore_pb2.Key(terms=keystore_pb2.Terms(**terms), **members)

    @staticmethod
    def digest(secret: str) -> str:
        """SHA-256 of a secret, in hex."""
        return hashlib.sha256(secret.encode()).hexdigest()

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 when there is none."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def stop(self) -> None:
        """End it, and its links."""
        for peer in self._peers:
            await peer.link.close()
            await peer.reader
        await self.role.stop()
        await self.channel.close()


StartKeystore = Callable[..., Awaitable[Keystore]]


async def _has_begun(redis_url: str) -> bool:
    """Whether the counters are ready; of a server that is away nothing is expected."""
    with redis.from_url(redis_url, decode_responses=True) as client, suppress(redis.ConnectionError):
        return bool(client.hget(KEYS[0], "phase") == "ready")
    return True


@pytest.fixture
def ledger() -> FakeLedger:
    """The ledger that the test's keystores ask."""
    return FakeLedger()


@pytest.fixture
async def start_keystore(database_url: str, redis_url: str, ledger: FakeLedger) -> AsyncIterator[StartKeystore]:
    """`await start_keystore(...)` runs one more keystore on the same servers."""
    log = structlog.get_logger()
    folder = importlib.resources.files("keystore") / "migrations"
    with importlib.resources.as_file(folder) as path:
        await migrate(database_url, "keystore", path, log)
    started: list[Keystore] = []

    async def start(
        *,
        lease_seconds: float = 60.0,
        max_budget: str | None = None,
        counters: str = redis_url,
        database: str = "",
        pepper: str = "pepper",
        parallel: int | None = None,
    ) -> Keystore:
        registry = CollectorRegistry()
        runtime = Runtime(
            config=Config(
                owners=OwnerSettings(
                    gateway=DefaultTerms(
                        max_budget_nano_usd=nano_from_usd(max_budget) if max_budget else None,
                        max_parallel_requests=parallel,
                    )
                )
            ),
            settings=Settings(
                database_url=database or database_url,
                redis_url=counters,
                pepper=pepper,
                hold_lease_seconds=lease_seconds,
            ),
            log=log,
            registry=registry,
            channels={"ledger": InProcessChannel({SUM_SPEND: ledger.sum_spend}, log)},
        )
        role = build(runtime)
        await role.start()
        started.append(Keystore(role, InProcessChannel(role.handlers, log), registry))
        # A router that comes sooner is asked for what it has open, for counters that begin.
        await _eventually(lambda: _has_begun(counters))
        return started[-1]

    yield start
    for keystore in started:
        await keystore.stop()


@pytest.fixture
async def postgres(server_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL that the test may stop."""
    folder = server_folder / f"keystore-postgres-{next(_numbers)}"
    folder.mkdir(mode=0o711)
    server = EmbeddedPostgres(folder, server_account(), durable=False)
    await asyncio.to_thread(server.start)
    with importlib.resources.as_file(importlib.resources.files("keystore") / "migrations") as path:
        await migrate(server.database_url, "keystore", path, structlog.get_logger())
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def own_valkey(tmp_path_factory: pytest.TempPathFactory, server_folder: Path) -> AsyncIterator[EmbeddedValkey]:
    """A Valkey that the test may stop; what it was told survives."""
    folder = server_folder / "own-valkey"
    folder.mkdir(mode=0o711, exist_ok=True)
    server = EmbeddedValkey(folder, server_account())
    await asyncio.to_thread(server.start)
    with redis.from_url(server.redis_url) as client:
        client.flushall()
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def keystore(start_keystore: StartKeystore) -> Keystore:
    """One keystore, without a budget of the gateway's."""
    return await start_keystore()


async def _eventually(holds: Callable[[], Awaitable[bool]], seconds: float = ANSWER_SECONDS) -> None:
    ends = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < ends, "it did not come to pass in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """`await eventually(async_condition)` waits until it holds."""
    return _eventually


async def _gather_refusals(asking: Sequence[Awaitable[Any]]) -> tuple[list[Any], list[GatewayError]]:
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)], refused


@pytest.fixture
def gather() -> Callable[..., Awaitable[tuple[list[Any], list[GatewayError]]]]:
    """`admitted, refused = await gather(admissions)`."""
    return _gather_refusals
