"""A Redis-protocol server (Valkey, or Redis 7 or newer): one way to run a script or a command, with an end to waiting.

Every call has a deadline and is made twice before it fails, so only what may be repeated is asked here. The second
attempt is for connections that a restart of the server has cut, and for a busy event loop of our own, which looks like
a server that is away. Then it is GatewayError UNAVAILABLE, and for a moment the server is not asked at all, so that
callers fail at once instead of queueing.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis
import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.errors import GatewayError, unavailable

# Connections are few: calls that matter run one after the other.
MAX_CONNECTIONS = 8
CONNECT_TIMEOUT_SECONDS = 1.0
# After a failure the server is left alone for as long as it took to find out, and at least for this.
BREAK_SECONDS = 0.25

Argument = bytes | str | int

_NOT_NOW = (
    OSError,
    TimeoutError,
    redis.exceptions.ConnectionError,  # with it: BusyLoading, MaxConnections
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,  # a primary that has become a replica
    redis.exceptions.OutOfMemoryError,
)


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a Lua script, and the name under which the server keeps it."""

    text: str
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        # What the protocol names scripts by; guards nothing.
        object.__setattr__(self, "sha1", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


class RedisServer:
    """The server at a `redis://`, `rediss://` or `unix://` URL; connections are made when they are needed.

    ValueError when the URL cannot be read. Answers are bytes, integers and lists of them.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._resting_until = 0.0
        # Of the client only its way to make connections is used: what it does around a command costs more than the
        # command (110 us here, 45 without).
        self._connections = redis.asyncio.ConnectionPool.from_url(
            url,
            decode_responses=False,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            # Deadline and repetition are ours (`_within`), of a call as a whole.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._idle: list[AbstractConnection] = []
        self._in_use = 0

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], *, timeout_seconds: float
    ) -> Any:
        """Run a script, loading it first where the server does not know it."""

        async def evaluate() -> Any:
            try:
                return await self._ask("EVALSHA", script.sha1, len(keys), *keys, *arguments)
            except redis.exceptions.NoScriptError:
                return await self._ask("EVAL", script.text, len(keys), *keys, *arguments)

        return await self._within(timeout_seconds, evaluate)

    async def command(self, *words: Argument, timeout_seconds: float) -> Any:
        """Run one command."""
        return await self._within(timeout_seconds, lambda: self._ask(*words))

    async def close(self) -> None:
        """Drop the connections that are not in use."""
        await self._drop_idle()

    async def _ask(self, *words: Argument) -> Any:
        """One command on a connection of its own for as long as it takes."""
        if self._in_use >= MAX_CONNECTIONS:
            raise redis.exceptions.MaxConnectionsError("all connections are in use")
        connection = self._idle.pop() if self._idle else self._connections.make_connection()  # type: ignore[no-untyped-call]
        self._in_use += 1
        try:
            # Packed in C: 0.1 ms for a call of 128 operations, by redis-py itself 0.66.
            packed = hiredis.pack_command(words)  # type: ignore[arg-type]
            await connection.send_packed_command(packed, check_health=False)
            answer = await connection.read_response()
        except redis.exceptions.ResponseError:
            # An answer all the same.
            self._idle.append(connection)
            raise
        except BaseException:
            # A cancelled call's answer is still to come; and when one connection is cut, the others are too.
            await connection.disconnect(nowait=True)
            await self._drop_idle()
            raise
        finally:
            self._in_use -= 1
        self._idle.append(connection)
        return answer

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def _within(self, timeout_seconds: float, ask: Callable[[], Awaitable[Any]]) -> Any:
        if self._clock() < self._resting_until:
            raise _away()
        begun = self._clock()
        for last in (False, True):
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await ask()
            except _NOT_NOW as error:
                if last:
                    now = self._clock()
                    self._resting_until = now + max(BREAK_SECONDS, now - begun)
                    raise _away() from error
        raise AssertionError("the loop returns or raises")


def _away() -> GatewayError:
    return unavailable("The counters do not answer; try again.")
