"""The edge's side of the data plane: all calls of this process on one link to each router.

An edge stays with one router until STAY_CALLS are in flight there, then spills to the least loaded: batches stay
big, which is what makes a frame cheap (performance.md, section G).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from gateway.v1 import common_pb2, router_pb2
from structlog.typing import FilteringBoundLogger

from services.credit import CALL_BYTES, LINK_BYTES, STEP_BYTES, Window
from services.errors import GatewayError, unavailable
from services.link import MAX_DATA_BYTES, Link, LinkClosed
from services.methods import INFERENCE
from services.reconnect import keep_open
from services.resolve import Replicas
from services.transport import Channel

# Until so many calls are in flight at one router, the next goes there too.
STAY_CALLS = 64
# How long a call waits for a router when none is linked: a process that has just started, a router that comes back.
LINK_TIMEOUT_SECONDS = 2.0

_Link = Link[router_pb2.EdgeFrame, router_pb2.RouterFrame]
_END = router_pb2.End()
_CANCEL = router_pb2.Cancel()


class RouterCall:
    """One open call. Its reader takes what has arrived (`take`) and waits for more (`wait`)."""

    __slots__ = (
        "_consumed",
        "_parts",
        "_router",
        "_waiter",
        "_window",
        "error",
        "gone",
        "head",
        "lost",
        "needs_body",
        "number",
        "result",
        "sent",
    )

    def __init__(self, router: RouterLink, number: int) -> None:
        self.number = number
        # The body is still to be sent.
        self.needs_body = False
        self.sent = False
        self.lost = False
        self.gone = False
        self.head: router_pb2.Head | None = None
        self.result: router_pb2.Result | None = None
        self.error: GatewayError | None = None
        self._router = router
        self._window = Window(CALL_BYTES, router.window)
        self._parts: list[bytes] = []
        self._consumed = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """The router has said its last word on this call, or never will."""
        return self.result is not None or self.error is not None or self.lost

    @property
    def over(self) -> bool:
        """Nothing more is to be waited for."""
        return self.ended or self.gone

    def fits(self, body: bytes) -> bool:
        """Whether a body may travel in `open`; its credit is taken then."""
        return len(body) <= MAX_DATA_BYTES and self._window.try_take(len(body))

    async def send_body(self, body: bytes) -> None:
        """Send a request body that did not fit into `open`, in parts, as fast as the router takes it."""
        for start in range(0, len(body), MAX_DATA_BYTES):
            part = body[start : start + MAX_DATA_BYTES]
            if not self._window.try_take(len(part)):
                await self._window.take(len(part))
            if self.over:
                return
            frame = router_pb2.EdgeFrame(call=self.number)
            frame.data.body = part
            self._router.send(frame)
        self._router.send(router_pb2.EdgeFrame(call=self.number, end=_END))

    async def wait(self) -> None:
        """Until something has arrived that has not been looked at."""
        self._waiter = self._router.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """The parts of the answer that have arrived and were not taken yet; empty when there are none."""
        parts = self._parts
        if not parts:
            return b""
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return body

    def consumed(self, size: int) -> None:
        """So much of what was taken has left this process: let the router send as much again."""
        self._consumed += size
        if self._consumed >= STEP_BYTES and not self.over:
            self._router.send(router_pb2.EdgeFrame(call=self.number, credit=router_pb2.Credit(bytes=self._consumed)))
            self._consumed = 0

    def close(self) -> None:
        """The caller has its answer, or is gone: forget the call, and cancel it if it is still open."""
        self._router.forget(self)

    def wake(self) -> None:
        """Something has arrived."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def on_frame(self, kind: str | None, frame: router_pb2.RouterFrame) -> None:
        """A frame of this call."""
        if kind == "data":
            self._parts.append(frame.data.body)
        elif kind == "answer":
            answer = frame.answer
            self.head = answer.head
            self._parts.append(answer.body)
            self.result = answer.result
        elif kind == "result":
            self.result = frame.result
        elif kind == "head":
            self.head = frame.head
        elif kind == "sent":
            self.sent = True
            return
        elif kind == "error":
            self.error = GatewayError.from_proto(frame.error)
        elif kind == "credit":
            self._window.give(frame.credit.bytes)
            return
        self.wake()

    def on_lost(self) -> None:
        """The link has broken."""
        if not self.ended:
            self.lost = True
            self._stop_waiting()

    def on_gone(self) -> None:
        """The caller has gone away."""
        self.gone = True
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        # Whoever waits for credit goes on, and finds the call over.
        self._window.give(self.uncredited())
        self.wake()

    def uncredited(self) -> int:
        """What this call still has under way towards the router."""
        return max(0, CALL_BYTES - self._window.available)

    def settle_credit(self) -> None:
        """What was under way no longer counts against the link."""
        self._window.give_back_to_outer(self.uncredited())


class RouterLink:
    """The link to one router replica, kept open, and the calls on it. Its channel is closed with it."""

    def __init__(self, address: str, channel: Channel, log: FilteringBoundLogger, on_change: asyncio.Event) -> None:
        self.address = address
        self.channel = channel
        self.calls: dict[int, RouterCall] = {}
        self.catalog: common_pb2.Catalog | None = None
        self.draining = False
        self.window = Window(LINK_BYTES)
        self.loop = asyncio.get_running_loop()
        self._log = log
        self._on_change = on_change
        self._emptied: asyncio.Event | None = None
        self._link: _Link | None = None
        self._number = 0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether calls may be opened here."""
        return self._link is not None and self.catalog is not None and not self.draining

    async def start(self) -> None:
        """Begin to keep the link open."""
        self._keeper = asyncio.create_task(keep_open(self.channel, INFERENCE, self._read, self._log))

    async def stop(self) -> None:
        """End the link; what is open on it is cancelled."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self.channel.close()

    async def leave(self) -> None:
        """End the link once no call is open on it; none is opened from now on. A link that breaks loses its calls."""
        self._emptied = asyncio.Event()
        if self.calls:
            await self._emptied.wait()
        await self.stop()

    def open(self, request: router_pb2.Open, body: bytes) -> RouterCall:
        """Begin a call, with its body if that fits, else `send_body` is to follow (`needs_body` tells).

        When the link has just broken, the call is lost from the start.
        """
        self._number += 1
        call = RouterCall(self, self._number)
        self.calls[call.number] = call
        frame = router_pb2.EdgeFrame(call=call.number, open=request)
        call.needs_body = not call.fits(body)
        if not call.needs_body:
            frame.open.body = body
        self.send(frame)
        if self._link is not None:
            self._link.open_calls = len(self.calls)
        return call

    def send(self, frame: router_pb2.EdgeFrame) -> None:
        """Send a frame; on a broken link its call is lost, which its reader sees."""
        link = self._link
        try:
            if link is None:
                raise LinkClosed()
            link.send(frame)
        except LinkClosed:
            call = self.calls.get(frame.call)
            if call is not None:
                call.on_lost()

    def forget(self, call: RouterCall) -> None:
        """The call is over for its caller."""
        if self.calls.pop(call.number, None) is None:
            return
        if not call.ended:
            self.send(router_pb2.EdgeFrame(call=call.number, cancel=_CANCEL))
        call.settle_credit()
        if self._link is not None:
            self._link.open_calls = len(self.calls)
        if self._emptied is not None and not self.calls:
            self._emptied.set()

    async def _read(self, link: _Link) -> None:
        self._link = link
        self.draining = False
        self.window = Window(LINK_BYTES)
        try:
            while True:
                for frame in await link.receive():
                    kind = frame.WhichOneof("kind")
                    call = self.calls.get(frame.call)
                    if call is not None:
                        call.on_frame(kind, frame)
                    elif frame.call == 0:
                        self._on_stream_frame(kind, frame)
        finally:
            self._link = None
            self.catalog = None
            for call in list(self.calls.values()):
                call.on_lost()
            self._on_change.set()

    def _on_stream_frame(self, kind: str | None, frame: router_pb2.RouterFrame) -> None:
        if kind == "catalog":
            self.catalog = frame.catalog
        elif kind == "drain":
            self.draining = True
        self._on_change.set()


class Routers:
    """All router replicas that this edge knows, as they come and go."""

    def __init__(self, replicas: Replicas, log: FilteringBoundLogger) -> None:
        self._replicas = replicas
        self._log = log
        self._changed = asyncio.Event()
        self._links: list[RouterLink] = []
        self._follower: asyncio.Task[None] | None = None
        # Each lets the last calls at a router that is gone come to their end.
        self._leaving: dict[asyncio.Task[None], RouterLink] = {}
        self._catalog_of: tuple[int, ...] = ()
        self._models: dict[str, common_pb2.CatalogModel] = {}

    async def start(self) -> None:
        """Begin to keep a link open to every replica that there is."""
        self._follower = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """End the links."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait({self._follower})
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*(link.stop() for link in (*self._links, *self._leaving.values())))

    async def _follow(self) -> None:
        async for addresses in self._replicas.watch():
            for link in [link for link in self._links if link.address not in addresses]:
                self._links.remove(link)
                task = asyncio.create_task(link.leave())
                self._leaving[task] = link
                task.add_done_callback(self._leaving.pop)
            for address in sorted(addresses - {link.address for link in self._links}):
                link = RouterLink(address, self._replicas.open(address), self._log, self._changed)
                self._links.append(link)
                await link.start()

    @property
    def channels(self) -> list[Channel]:
        """The way to each replica."""
        return [link.channel for link in self._links]

    def open_calls(self) -> int:
        """How many calls are open at all of them."""
        return sum(len(link.calls) for link in self._links)

    @property
    def connected(self) -> bool:
        """Whether a router takes calls."""
        return any(link.usable for link in self._links)

    async def catalogs(self) -> AsyncIterator[common_pb2.Catalog]:
        """What all routers serve, at once and again after every change; what they agree on once."""
        told: list[common_pb2.Catalog] = []
        while True:
            now: list[common_pb2.Catalog] = []
            for link in self._links:
                if link.catalog is not None and link.catalog not in now:
                    now.append(link.catalog)
            if now and now != told:
                told = now
                yield common_pb2.Catalog(models=[model for catalog in now for model in catalog.models])
            else:
                self._changed.clear()
                await self._changed.wait()

    @property
    def models(self) -> dict[str, common_pb2.CatalogModel]:
        """Every model group that some router serves; the last known while none is there."""
        catalogs = [link.catalog for link in self._links if link.catalog is not None]
        identity = tuple(id(catalog) for catalog in catalogs)
        if identity and identity != self._catalog_of:
            self._models = {model.name: model for catalog in catalogs for model in catalog.models}
            self._catalog_of = identity
        return self._models

    def choose(self) -> RouterLink | None:
        """The router for the next call; None when none takes calls."""
        usable = [link for link in self._links if link.usable]
        if not usable:
            return None
        first = usable[0]
        if len(first.calls) < STAY_CALLS or len(usable) == 1:
            return first
        return min(usable, key=lambda link: len(link.calls))

    async def wait_for_router(self) -> RouterLink:
        """As `choose`, but waits a little for one. GatewayError (UNAVAILABLE) when none comes."""
        loop: Any = asyncio.get_running_loop()
        deadline = loop.time() + LINK_TIMEOUT_SECONDS
        while (link := self.choose()) is None:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                raise unavailable("No router is reachable; try again.") from None
        return link
