"""The way to a role that several equal processes offer: to one of them at a time, and to another when that goes away.

A process keeps to the replica that it has chosen, so that batches stay big; which one that is differs from process to
process by chance. Routers are not reached so: an edge spreads its calls over them (`edge/exchange.py`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from services.errors import GatewayError, Reason, unavailable
from services.link import Link
from services.methods import Down, Exchange, Request, Response, Unary, Up
from services.resolve import Replicas
from services.transport import Channel

# A replica that did not answer is asked again after this time, or when no other is left.
REST_SECONDS = 1.0
# How long one of several is waited for before the next is tried. One that lives opens a link in milliseconds.
OPEN_SECONDS = 1.0

_UNAVAILABLE = Reason.ERROR_REASON_UNAVAILABLE


class ReplicatedChannel:
    """`Channel` over replicas. Make it inside the event loop that uses it."""

    def __init__(
        self,
        replicas: Replicas,
        *,
        choose: Callable[[list[str]], str] = random.choice,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        self._replicas = replicas
        self._choose = choose
        self._rest_seconds = rest_seconds
        self._loop = asyncio.get_running_loop()
        self._channels: dict[str, Channel] = {}
        self._known = asyncio.Event()
        self._current = ""
        # Until when a replica is asked only if there is no other.
        self._resting: dict[str, float] = {}
        # The links that were opened, and where they lead.
        self._links: list[tuple[str, Link[Any, Any]]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._follower = self._loop.create_task(self._follow())

    async def call(self, method: Unary[Request, Response], request: Request, *, timeout_seconds: float) -> Response:
        """A question that one replica does not answer is put to the others, if it changes nothing."""
        tried: set[str] = set()
        while True:
            address = await self._next(tried, timeout_seconds)
            try:
                return await self._channels[address].call(method, request, timeout_seconds=timeout_seconds)
            except GatewayError as error:
                if error.reason != _UNAVAILABLE:
                    raise
                self._rest(address)
                tried.add(address)
                if not method.reads or tried.issuperset(self._channels):
                    raise

    async def exchange(self, method: Exchange[Up, Down], *, timeout_seconds: float) -> Link[Up, Down]:
        tried: set[str] = set()
        while True:
            address = await self._next(tried, timeout_seconds)
            tried.add(address)
            is_last = tried.issuperset(self._channels)
            seconds = timeout_seconds if is_last else min(timeout_seconds, OPEN_SECONDS)
            try:
                opened = await self._channels[address].exchange(method, timeout_seconds=seconds)
            except GatewayError:
                self._rest(address)
                if is_last:
                    raise
                continue
            self._links.append((address, opened))
            return opened

    async def close(self) -> None:
        self._follower.cancel()
        await asyncio.wait({self._follower, *self._leaving})
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def _next(self, tried: set[str], timeout_seconds: float) -> str:
        """The replica to ask now: the one that is in use, unless it rests or was tried."""
        if not self._known.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._known.wait()
            except TimeoutError:
                raise unavailable("A part of the gateway is nowhere to be found.") from None
        for address, link in self._links:
            if link.closed:  # its replica has ended it, or is gone
                self._rest(address)
        self._links = [each for each in self._links if not each[1].closed]
        now = self._loop.time()
        left = [address for address in sorted(self._channels) if address not in tried]
        if not left:
            raise unavailable("A part of the gateway has gone away; try again.")
        awake = [address for address in left if self._resting.get(address, 0.0) <= now]
        if self._current not in awake:
            self._current = self._choose(awake or left)
        return self._current

    def _rest(self, address: str) -> None:
        if address in self._channels:
            self._resting[address] = self._loop.time() + self._rest_seconds

    async def _follow(self) -> None:
        async for addresses in self._replicas.watch():
            for address in self._channels.keys() - addresses:
                self._resting.pop(address, None)
                # Its calls and links end with their replica, or when this channel is closed.
                task = self._loop.create_task(self._channels.pop(address).close())
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)
            for address in addresses - self._channels.keys():
                self._channels[address] = self._replicas.open(address)
            if self._channels:
                self._known.set()
            else:
                self._known.clear()
