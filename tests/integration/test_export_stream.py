"""Exports from the reader's side: slow ones, those that leave, ledgers that fail. The edge over a scripted ledger."""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import AsyncExitStack

import httpx
import pytest
from gateway.v1 import keystore_pb2, ledger_pb2

from edge.admin.export import MAX_EXPORTS
from services.errors import GatewayError, Reason, unavailable
from services.ids import IdMint
from tests.edge_scene import Scene

PATH = "/spend/export?start_date=2026-01-01&end_date=2026-01-31"
PAGE_ENTRIES = 500


class Ledger:
    """Gives so many pages, then an empty one; each entry once, in order."""

    def __init__(self, pages: int) -> None:
        mint = IdMint()
        self.pages = [
            [ledger_pb2.Entry(dispatch_id=mint.new(), call_id="x" * 1000) for _ in range(PAGE_ENTRIES)]
            for _ in range(pages)
        ]
        self.fails_at: int | None = None
        self.given = 0

    async def page(self, request: ledger_pb2.ExportEntriesRequest) -> ledger_pb2.ExportEntriesResponse:
        number = self.given
        assert request.after_id == (self.pages[number - 1][-1].dispatch_id if number else b"")
        if number == self.fails_at:
            raise unavailable("The database does not answer; try again.")
        self.given += 1
        return ledger_pb2.ExportEntriesResponse(entries=self.pages[number] if number < len(self.pages) else [])


async def settled(ledger: Ledger) -> int:
    """How many pages the ledger has given, once nobody asks for more."""
    before = -1
    while before != ledger.given:
        before = ledger.given
        await asyncio.sleep(0.5)
    return before


async def test_a_reader_that_stops_stops_the_ledger_and_goes_on_where_it_was(scene: Scene) -> None:
    ledger = Ledger(60)
    scene.page = ledger.page
    async with scene.client() as client, client.stream("GET", PATH) as answer:
        parts = answer.aiter_raw(1000)
        data = await anext(parts)
        # Sockets hold some MB, and a page comes to half of one.
        assert 0 < await settled(ledger) < 40
        data += b"".join([part async for part in parts])
    assert ledger.given == 61
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="spend-2026-01-01-2026-01-31.csv"'
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert len({row["dispatch_id"] for row in rows}) == len(rows) == 60 * PAGE_ENTRIES
    days = scene.exported[0]
    assert (days.end_ms - days.start_ms) == 31 * 86_400_000


@pytest.mark.parametrize("name", ["csv", "parquet"])
async def test_a_ledger_that_fails_in_the_middle_leaves_a_file_without_its_end(scene: Scene, name: str) -> None:
    ledger = Ledger(12)
    scene.page = ledger.page
    ledger.fails_at = 8
    async with scene.client() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"{PATH}&format={name}")
        # One that cannot begin is an error like any other.
        ledger.given = ledger.fails_at = 0
        answer = await client.get(f"{PATH}&format={name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "503")
        ledger.fails_at = None
        assert (await client.get(f"{PATH}&format={name}")).status_code == 200


async def test_those_who_leave_make_room(scene: Scene) -> None:
    async with AsyncExitStack() as readers, scene.client() as client:
        for _ in range(MAX_EXPORTS):
            ledgers = Ledger(60)
            scene.page = ledgers.page
            answer = await readers.enter_async_context(client.stream("GET", PATH))
            assert answer.status_code == 200
            await settled(ledgers)
        refused = await client.get(PATH)
        assert (refused.status_code, "under way" in refused.json()["error"]["message"]) == (503, True)
    async with scene.client() as client:
        scene.page = Ledger(1).page
        async with asyncio.timeout(5):
            while (answer := await client.get(PATH)).status_code == 503:
                await asyncio.sleep(0.05)
        assert answer.text.count("\r\n") == 1 + PAGE_ENTRIES
        # What is only asked about is not read.
        scene.page = (empty := Ledger(2)).page
        head = await client.head(PATH)
        assert (head.status_code, head.content, empty.given) == (200, b"", 1)


async def test_of_many_that_begin_at_once_no_more_are_let_in(scene: Scene) -> None:
    let_go = asyncio.Event()

    async def page(_: ledger_pb2.ExportEntriesRequest) -> ledger_pb2.ExportEntriesResponse:
        await let_go.wait()
        return ledger_pb2.ExportEntriesResponse()

    scene.page = page
    async with scene.client() as client, asyncio.timeout(20):
        asked = [asyncio.create_task(client.get(PATH)) for _ in range(3 * MAX_EXPORTS)]
        while len(refused := [each for each in asked if each.done()]) < 2 * MAX_EXPORTS:
            await asyncio.sleep(0.01)
        let_go.set()
        statuses = sorted([answer.status_code for answer in await asyncio.gather(*asked)])
    assert {each.result().status_code for each in refused} == {503}
    assert statuses == [200] * MAX_EXPORTS + [503] * 2 * MAX_EXPORTS


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_date"),
        ("start_date=2026-01-01", "start_date"),
        ("start_date=2026-01-02&end_date=2026-01-01", "end_date"),
        ("start_date=2026-01-01&end_date=2026-01-01&format=xlsx", "format"),
        ("start_date=2026-01-01&end_date=2026-01-01&user_id=ada", "user_id"),
    ],
)
async def test_what_cannot_be_meant_is_named(scene: Scene, query: str, param: str) -> None:
    async with scene.client() as client:
        answer = await client.get(f"/spend/export?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert scene.exported == []


async def test_only_an_admin_may_have_it(scene: Scene) -> None:
    scene.add_key("sk-own", keystore_pb2.Key(key_id="id-1"))
    for secret in ("sk-own", "sk-unknown"):
        async with scene.client(secret) as client:
            answer = await client.get(PATH)
        assert answer.status_code == GatewayError(Reason.ERROR_REASON_PERMISSION_DENIED, "").meaning.http_status
    assert scene.exported == []
