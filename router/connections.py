"""The connections to providers: opened when none is idle, kept for a while, found by where they lead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import aiohappyeyeballs

from router.http1 import Connection
from router.target import Origin

# A host that does not complete a handshake in this time is down; it must not use up the attempt's whole time.
CONNECT_TIMEOUT_SECONDS = 10.0
# Below the 5 s after which uvicorn, and with it vLLM, closes idle connections: a request sent into a connection that
# is just being closed is lost.
KEEP_ALIVE_SECONDS = 4.0
# How long the rest of an answer that was left may take; it is most often there already.
REST_SECONDS = 1.0
# Addresses of a name are good for so long: a burst of calls asks once, and a name that moves is followed.
ADDRESSES_SECONDS = 10.0
# The delay of RFC 8305 before the next address is tried beside the first.
_NEXT_ADDRESS_SECONDS = 0.25
# A provider may think for minutes; a NAT forgets a silent connection in less.
_PROBE_AFTER_SECONDS = 60


class Connections:
    """All of one process. Make it, and close it, inside the event loop that uses it.

    It has no limit of its own: there are at most as many connections as open calls, which are limited.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._open: dict[Connection, Origin] = {}
        # Of each origin, the one used last at the end.
        self._idle: dict[Origin, list[Connection]] = {}
        self._leaving: dict[Connection, asyncio.TimerHandle] = {}
        self._addresses: dict[Origin, tuple[float, asyncio.Task[list[Any]]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def get(self, origin: Origin) -> Connection:
        """An open connection that nobody uses. OSError, ssl.SSLError; TimeoutError after CONNECT_TIMEOUT_SECONDS."""
        idle = self._idle.get(origin)
        now = self._loop.time()
        while idle:
            connection = idle.pop()
            if not connection.closed and connection.idle_until > now:
                return connection
            connection.abort()
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            return await self._connect(origin)

    def leave(self, connection: Connection) -> None:
        """Its answer is no longer read: keep it for the next request if the rest comes soon, else close it."""
        if not connection.complete:
            self._leaving[connection] = self._loop.call_later(REST_SECONDS, connection.abort)
        connection.leave()

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for _, lookup in self._addresses.values():
            lookup.cancel()
        for connection in list(self._open):
            connection.abort()
        while self._open:  # noqa: ASYNC110 (each is gone with the next turns of the loop)
            await asyncio.sleep(0.001)

    async def _connect(self, origin: Origin) -> Connection:
        addresses = await self._look_up(origin)
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, loop=self._loop
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            with contextlib.suppress(AttributeError, OSError):  # not everywhere
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_SECONDS)
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, self._on_free, self._on_lost),
                sock=sock,
                ssl=self._tls if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        except BaseException:
            sock.close()
            raise
        if not connection.closed:  # else it is lost already, and said so
            self._open[connection] = origin
        return connection

    async def _look_up(self, origin: Origin) -> list[Any]:
        """The addresses of a host; calls that come together ask once."""
        now = self._loop.time()
        known = self._addresses.get(origin)
        if known is None or known[0] < now:
            asking = self._loop.create_task(self._ask(origin))
            known = self._addresses[origin] = (now + ADDRESSES_SECONDS, asking)
        return await asyncio.shield(known[1])

    async def _ask(self, origin: Origin) -> list[Any]:
        try:
            return await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except BaseException:
            self._addresses.pop(origin, None)
            raise

    def _on_free(self, connection: Connection) -> None:
        self._stop_leaving(connection)
        connection.idle_until = self._loop.time() + KEEP_ALIVE_SECONDS
        self._idle.setdefault(self._open[connection], []).append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEP_ALIVE_SECONDS, self._sweep)

    def _on_lost(self, connection: Connection) -> None:
        self._stop_leaving(connection)
        self._open.pop(connection, None)

    def _stop_leaving(self, connection: Connection) -> None:
        timer = self._leaving.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _sweep(self) -> None:
        """Close what has been idle for too long, and look again while there is anything idle."""
        now = self._loop.time()
        for origin, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_until <= now:
                    connection.abort()
            kept = [connection for connection in idle if connection.idle_until > now and not connection.closed]
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        self._sweeping = self._loop.call_later(KEEP_ALIVE_SECONDS, self._sweep) if self._idle else None
