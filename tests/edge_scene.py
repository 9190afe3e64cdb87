"""The real edge app, on a real socket, with scripted neighbours behind it.

scene.client()          speaks to it with the master key
scene.keys, .spend      what the keystore knows and the ledger has; .checked: how deployments are
scene.questions, .listed    what the ledger was asked for: sums, entries
scene.run               what the router does with a call; scene.refusal: what the keystore says instead of leave
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx
import pytest
import structlog
from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2, router_pb2
from prometheus_client import CollectorRegistry

from edge.main import Edge, build
from router.call import Caller
from router.catalog import Catalog, Deployment
from router.estimates import Estimates
from router.live import LiveHolds
from router.service import InferenceService
from services.config import Config, parse
from services.errors import GatewayError
from services.inprocess import InProcessChannel
from services.lifecycle import Runtime
from services.methods import (
    ADMISSION,
    CHECK_HEALTH,
    ESTIMATE_COST,
    EXPORT_ENTRIES,
    INFERENCE,
    LIST_ALERTS,
    LIST_ENTRIES,
    PRICE_USAGES,
    QUERY_SPEND,
    REPRICE,
)
from services.money import Rates
from services.resolve import fixed
from services.settings import Settings
from services.transport import Handlers
from tests.scripted_keystore import Kept, keys_of, owners_of

LOG = structlog.get_logger()
MASTER_KEY = "sk-master"
# $2.50, $10 and $1.25 per million tokens.
PRICED = Deployment(
    "d",
    "m",
    "openai",
    "priced-model",
    "",
    rates=Rates.of(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000),
)
DAY = "2026-01-31"


@dataclass
class Scene:
    """What the edge's neighbours are to say, and what they were told."""

    run: Callable[[Caller], Awaitable[None]] | None = None
    refusal: GatewayError | None = None
    kept: Kept = field(default_factory=Kept)
    entries: list[ledger_pb2.Entry] = field(default_factory=list)
    spend: list[ledger_pb2.SpendRow] = field(default_factory=lambda: [ledger_pb2.SpendRow()])
    checked: list[router_pb2.DeploymentHealth] = field(default_factory=list)
    admits: list[keystore_pb2.Admit] = field(default_factory=list)
    settles: list[keystore_pb2.Settle] = field(default_factory=list)
    questions: list[ledger_pb2.QuerySpendRequest] = field(default_factory=list)
    # What costs are reckoned by.
    deployment: Deployment = PRICED
    listed: list[ledger_pb2.ListEntriesRequest] = field(default_factory=list)
    # What an export asks for, and is answered, page by page; unset: there is nothing.
    exported: list[ledger_pb2.ExportEntriesRequest] = field(default_factory=list)
    page: Callable[[ledger_pb2.ExportEntriesRequest], Awaitable[ledger_pb2.ExportEntriesResponse]] | None = None
    edge: Edge | None = None
    config: Config = field(default_factory=Config)

    @property
    def keys(self) -> dict[str, keystore_pb2.Key]:
        """By every name that the test calls them."""
        return self.kept.keys

    def client(self, key: str = MASTER_KEY) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=10)

    @property
    def port(self) -> int:
        assert self.edge is not None
        return self.edge.http_port

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add_key(self, secret: str, key: keystore_pb2.Key) -> None:
        """Make a key known by its secret's digest, which is what the edge asks by, and by its id."""
        self.kept.add(secret, key)

    def keystore(self) -> Handlers:
        return {ADMISSION: self._admission, **keys_of(self.kept), **owners_of(self.kept)}

    def ledger(self) -> Handlers:
        async def query(request: ledger_pb2.QuerySpendRequest) -> ledger_pb2.QuerySpendResponse:
            self.questions.append(request)
            return ledger_pb2.QuerySpendResponse(rows=[_grouped(row, request.group_by) for row in self.spend])

        async def list_entries(request: ledger_pb2.ListEntriesRequest) -> ledger_pb2.ListEntriesResponse:
            self.listed.append(request)
            # All of them are one page.
            return ledger_pb2.ListEntriesResponse(entries=[] if request.before_id else self.entries)

        async def reprice(request: ledger_pb2.RepriceRequest) -> ledger_pb2.RepriceResponse:
            costs = [priced.cost_nano_usd for priced in request.entries]
            return ledger_pb2.RepriceResponse(entries=len(costs), cost_nano_usd=sum(costs))

        async def export(request: ledger_pb2.ExportEntriesRequest) -> ledger_pb2.ExportEntriesResponse:
            self.exported.append(request)
            return await self.page(request) if self.page is not None else ledger_pb2.ExportEntriesResponse()

        async def alerts(request: ledger_pb2.ListAlertsRequest) -> ledger_pb2.ListAlertsResponse:
            return ledger_pb2.ListAlertsResponse()

        return {
            QUERY_SPEND: query,
            LIST_ENTRIES: list_entries,
            LIST_ALERTS: alerts,
            EXPORT_ENTRIES: export,
            REPRICE: reprice,
        }

    def router(self) -> Handlers:
        catalog = common_pb2.Catalog(
            models=[
                common_pb2.CatalogModel(name="m", max_output_tokens=5),
                common_pb2.CatalogModel(name="org/large", max_input_tokens=7, access_groups=["gpt-of-catalog"]),
            ]
        )

        async def run(caller: Caller) -> None:
            assert self.run is not None
            await self.run(caller)

        async def check(request: router_pb2.CheckHealthRequest) -> router_pb2.CheckHealthResponse:
            return router_pb2.CheckHealthResponse(deployments=self.checked)

        service = InferenceService(run, lambda: catalog, LiveHolds(), LOG)
        estimates = Estimates(lambda: Catalog({"m": (self.deployment,)}))
        return {
            INFERENCE: service.exchange,
            CHECK_HEALTH: check,
            ESTIMATE_COST: estimates.estimate,
            PRICE_USAGES: estimates.price,
        }

    async def _admission(self, link) -> None:
        while True:
            for frame in await link.receive():
                if frame.HasField("settle"):
                    self.settles.append(frame.settle)
                    continue
                if not frame.HasField("admit"):
                    continue
                self.admits.append(frame.admit)
                reply = keystore_pb2.AdmissionReplyFrame(sequence=frame.sequence)
                if self.refusal is not None:
                    reply.refused.CopyFrom(self.refusal.to_proto())
                else:
                    reply.admitted.principal.key_id = "k"
                    reply.admitted.hold.epoch = "e"
                link.send(reply)


def _grouped(row: ledger_pb2.SpendRow, group_by: Sequence[ledger_pb2.SpendDimension]) -> ledger_pb2.SpendRow:
    """The row with as many keys as are grouped by: those that it has, and then a day or a number in each place."""
    grouped = ledger_pb2.SpendRow()
    grouped.CopyFrom(row)
    given = [*row.keys, *("1" for _ in group_by)][: len(group_by)]
    days = zip(given, group_by, strict=True)
    grouped.keys[:] = [DAY if each == ledger_pb2.SPEND_DIMENSION_DAY else key for key, each in days]
    return grouped


@pytest.fixture
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """An edge of the test's own. A test's mark `scene_config("...")` is its configuration."""
    mark = request.node.get_closest_marker("scene_config")
    text = mark.args[0] if mark is not None else ""
    made = Scene(config=parse(text, name="scene.yaml", environ={}))
    channels = {
        "keystore": InProcessChannel(made.keystore(), LOG),
        "ledger": InProcessChannel(made.ledger(), LOG),
    }
    edge = made.edge = build(
        Runtime(
            config=made.config,
            settings=Settings(master_key=MASTER_KEY, max_body_bytes=100_000),
            log=LOG,
            registry=CollectorRegistry(),
            channels=channels,
            routers=fixed({"here": InProcessChannel(made.router(), LOG)}),
            http_port=0,
        )
    )
    await edge.start()
    yield made
    await edge.stop()
    for channel in channels.values():
        await channel.close()
