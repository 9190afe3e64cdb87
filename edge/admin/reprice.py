"""/spend/reprice: what calls cost of which nobody knew the price. Routers know prices, the ledger knows calls."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from gateway.v1 import ledger_pb2, router_pb2

from edge.admin.endpoint import AdminRequest, AdminRoute, convert
from edge.admin.neighbours import ask_a_router
from edge.admin.questions import GROUP
from edge.admin.times import date_range_ms
from edge.exchange import Routers
from services.errors import GatewayError, Reason
from services.ids import from_text, to_text
from services.methods import LIST_ENTRIES, PRICE_USAGES, REPRICE
from services.money import usd_from_nano
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
# A page holds up event loops that calls may share for about 5 ms each.
_PAGE = 500
# Of one request, so that it ends before its client gives up; the next goes on from `next`.
MAX_ENTRIES = 20_000


class Reprice(msgspec.Struct):
    """The body. model: a model group; empty: all. before: `next` of the answer before."""

    model: str = ""
    start_date: str | None = None
    end_date: str | None = None
    before: str = ""


class RepriceAdmin:
    """The handler."""

    def __init__(self, ledger: Channel, routers: Routers) -> None:
        self._ledger = ledger
        self._routers = routers

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [AdminRoute("POST", "/spend/reprice", self.reprice)]

    async def reprice(self, request: AdminRequest) -> object:
        """Page by page, the newest first. What is priced stays so when a later page fails."""
        body: Reprice = convert(request.body, Reprice)
        wanted = _wanted(body)
        seen = repriced = spent = 0
        following: str | None = None
        while entries := await self._unpriced(wanted):
            seen += len(entries)
            changed = await self._price(entries)
            repriced, spent = repriced + changed.entries, spent + changed.cost_nano_usd
            wanted.before_id = entries[-1].dispatch_id
            if seen >= MAX_ENTRIES:
                following = to_text(wanted.before_id)
                break
        return {
            "repriced": repriced,
            "spend": usd_from_nano(spent),
            "still_unpriced": seen - repriced,
            "next": following,
        }

    async def _unpriced(self, wanted: ledger_pb2.ListEntriesRequest) -> Sequence[ledger_pb2.Entry]:
        return (await self._ledger.call(LIST_ENTRIES, wanted, timeout_seconds=TIMEOUT_SECONDS)).entries

    async def _price(self, entries: Sequence[ledger_pb2.Entry]) -> ledger_pb2.RepriceResponse:
        """Give those a price whose usage is of one deployment, and known to have one."""
        plain = [entry for entry in entries if _is_of_one_deployment(entry)]
        usages = [
            router_pb2.UsageOfDeployment(
                deployment_id=entry.deployment_id,
                provider=entry.provider,
                provider_model=entry.provider_model,
                usage=entry.usage,
            )
            for entry in plain
        ]
        asked = router_pb2.PriceUsagesRequest(usages=usages)
        answer = await ask_a_router(self._routers, PRICE_USAGES, asked, timeout_seconds=TIMEOUT_SECONDS)
        priced = [
            ledger_pb2.PricedEntry(dispatch_id=entry.dispatch_id, cost_nano_usd=price.cost_nano_usd)
            for entry, price in zip(plain, answer.prices, strict=True)
            if price.known
        ]
        if not priced:
            return ledger_pb2.RepriceResponse()
        costs = ledger_pb2.RepriceRequest(entries=priced)
        return await self._ledger.call(REPRICE, costs, timeout_seconds=TIMEOUT_SECONDS)


def _is_of_one_deployment(entry: ledger_pb2.Entry) -> bool:
    """Whether its usage, which is that of all attempts together, can only be of the deployment that it names."""
    return all(attempt.deployment_id == entry.deployment_id for attempt in entry.attempts)


def _wanted(body: Reprice) -> ledger_pb2.ListEntriesRequest:
    start_ms, end_ms = date_range_ms(body.start_date, body.end_date)
    wanted = ledger_pb2.ListEntriesRequest(start_ms=start_ms, end_ms=end_ms, page_size=_PAGE, unpriced=True)
    if body.model:
        wanted.filters.add(dimension=GROUP, values=[body.model])
    if body.before:
        try:
            wanted.before_id = from_text(body.before)
        except ValueError:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST, "before must be `next` of an answer.", param="before"
            ) from None
    return wanted
