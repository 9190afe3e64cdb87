"""Wires the edge."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from edge.admin.access_groups import AccessGroupAdmin
from edge.admin.activity import ActivityAdmin
from edge.admin.alerts import AlertsAdmin
from edge.admin.allowed import AllowedModels
from edge.admin.audit import AuditAdmin
from edge.admin.budgets import BudgetAdmin
from edge.admin.caller import Callers
from edge.admin.costs import CostAdmin
from edge.admin.customers import CustomerAdmin
from edge.admin.daily import DailySpend
from edge.admin.directory import KeyDirectory
from edge.admin.endpoint import AdminAnswer, AdminRequest, AdminRoute
from edge.admin.export import SpendExport
from edge.admin.health import HealthAdmin
from edge.admin.key_lists import KeyLists
from edge.admin.key_rights import KeyRights
from edge.admin.keys import KeyAdmin
from edge.admin.memberships import Memberships
from edge.admin.models import ModelAdmin
from edge.admin.organizations import OrganizationAdmin
from edge.admin.owners import Owners
from edge.admin.questions import SpendQuestions
from edge.admin.receipts import Receipts
from edge.admin.reports import SpendReports
from edge.admin.reprice import RepriceAdmin
from edge.admin.spend import SpendAdmin
from edge.admin.tags import TagAdmin
from edge.admin.team_members import TeamMemberAdmin
from edge.admin.teams import TeamAdmin
from edge.admin.users import UserAdmin
from edge.admission import AdmissionClient
from edge.app import App
from edge.auth import Authenticator
from edge.exchange import Routers
from edge.inference import Inference, Operation
from edge.metrics import EdgeMetrics
from edge.refusals import Refusals
from services.admin_defaults import AdminDefaults
from services.exposition import render
from services.http_server import HttpServer
from services.ids import IdMint
from services.lifecycle import Runtime
from services.transport import Channel, Handlers

# Of the 10 s that a role has to stop.
GRACE_SECONDS = 9
# What is left of them, for entries of refused calls.
REFUSALS_SECONDS = 0.5


class Edge:
    """The edge: holds nothing but its connections."""

    def __init__(self, runtime: Runtime) -> None:
        keystore, ledger = runtime.channels["keystore"], runtime.channels["ledger"]
        authenticator = Authenticator(
            runtime.settings.master_key, runtime.config.general_settings.litellm_key_header_name
        )
        metrics = EdgeMetrics(runtime.registry)
        mint = IdMint()
        own_version = version("tollhouse")
        self._routers = Routers(runtime.routers, runtime.log)
        self._refusals = Refusals(ledger, metrics, runtime.log)
        self._admission = AdmissionClient(keystore, self._routers.open_calls, runtime.log)

        def inference(operation: Operation) -> Inference:
            return Inference(
                operation,
                authenticator=authenticator,
                admission=self._admission,
                routers=self._routers,
                refusals=self._refusals,
                mint=mint,
                metrics=metrics,
                max_body_bytes=runtime.settings.max_body_bytes,
                version=own_version,
                budget_exceeded_status=runtime.config.litellm_settings.budget_exceeded_status_code,
                log=runtime.log,
            )

        async def exposition(_: AdminRequest) -> AdminAnswer:
            return AdminAnswer(200, await render(runtime.registry), CONTENT_TYPE_LATEST)

        directory = KeyDirectory(keystore)
        questions = SpendQuestions(ledger, directory)
        owners = Owners(keystore)
        allowed = AllowedModels(owners, self._routers)
        # Everything but inference; what docs/reference/admin.md describes.
        self.admin_routes = [
            *HealthAdmin(self._admission, self._routers).routes(),
            *ModelAdmin(allowed).routes(),
            *self._management(keystore, owners, allowed, runtime.config.litellm_settings.admin),
            *SpendAdmin(ledger, keystore, questions).routes(),
            *SpendExport(ledger).routes(),
            *Receipts(ledger).routes(),
            *AlertsAdmin(ledger).routes(),
            *SpendReports(questions, directory, owners).routes(),
            *DailySpend(questions, lambda: datetime.now(UTC)).routes(),
            *ActivityAdmin(questions, directory).routes(),
            *CostAdmin(allowed, self._routers).routes(),
            *RepriceAdmin(ledger, self._routers).routes(),
            AdminRoute("GET", "/metrics", exposition),
        ]
        app = App(inference, self.admin_routes, authenticator, Callers(keystore), runtime.log)
        self._server = HttpServer(app, runtime.http_host, runtime.http_port, GRACE_SECONDS)
        self._telling: asyncio.Task[None] | None = None

    def _management(
        self, keystore: Channel, owners: Owners, allowed: AllowedModels, defaults: AdminDefaults
    ) -> list[AdminRoute]:
        """Keys, and all whom calls are counted to beside them."""
        rights = KeyRights(owners, allowed, defaults)
        memberships = Memberships(owners)
        keys = KeyAdmin(keystore, owners, rights, defaults)
        return [
            *keys.routes(),
            *KeyLists(keystore, owners, rights).routes(),
            *UserAdmin(keystore, owners, memberships, keys, rights, defaults).routes(),
            *TeamAdmin(keystore, owners, memberships, allowed, defaults).routes(),
            *TeamMemberAdmin(owners, memberships).routes(),
            *CustomerAdmin(owners).routes(),
            *OrganizationAdmin(owners, memberships).routes(),
            *BudgetAdmin(owners).routes(),
            *TagAdmin(owners).routes(),
            *AccessGroupAdmin(owners, self._routers).routes(),
            *AuditAdmin(keystore).routes(),
        ]

    @property
    def handlers(self) -> Handlers:
        """An edge offers no RPC."""
        return {}

    @property
    def http_port(self) -> int:
        """Where it listens, once started."""
        return self._server.port

    async def start(self) -> None:
        """Begin to link to the neighbours, and listen."""
        await self._admission.start()
        await self._refusals.start()
        await self._routers.start()
        self._telling = asyncio.create_task(self._tell_catalogs())
        await self._server.start()

    async def stop(self) -> None:
        """Finish what is open, then leave the neighbours."""
        await self._server.stop()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})
        await asyncio.gather(self._admission.stop(), self._routers.stop(), self._refusals.stop(REFUSALS_SECONDS))

    async def _tell_catalogs(self) -> None:
        async for catalog in self._routers.catalogs():
            self._admission.tell(catalog)


def build(runtime: Runtime) -> Edge:
    """The edge of this process."""
    return Edge(runtime)
