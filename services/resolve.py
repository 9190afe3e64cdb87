"""Where the replicas of a role are, as they come and go: names asked of the resolver once a second.

gRPC asks it only when a connection breaks, so that a replica which is new would stand idle until then.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from services.transport import Channel

# A replica that has come is used within about this time; one question a second is nothing to a name server.
PAUSE_SECONDS = 1.0

# `host:port` -> the `address:port` that it stands for now. OSError: nobody knows.
LookUp = Callable[[str], Awaitable[frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Replicas:
    """The equal processes that offer a role.

    watch: their addresses, at once and again after every change. open: a way to one of them; whoever opens it closes
    it.
    """

    watch: Callable[[], AsyncIterator[frozenset[str]]]
    open: Callable[[str], Channel]


def fixed(channels: Mapping[str, Channel]) -> Replicas:
    """Replicas that neither come nor go, by any names: the one in this process, for instance."""

    async def watch() -> AsyncIterator[frozenset[str]]:
        yield frozenset(channels)

    return Replicas(watch, channels.__getitem__)


async def watch(
    names: Sequence[str], look_up: LookUp, log: FilteringBoundLogger, *, pause_seconds: float = PAUSE_SECONDS
) -> AsyncIterator[frozenset[str]]:
    """All addresses of some `host:port`, at once and again after every change.

    A name of which the resolver knows nothing keeps the addresses that it had: an address that nobody names any more
    is given up, one of which nothing is known is not. All names are asked at once and the slowest is waited for, so
    that no question is ever put while the last is open.
    """
    known: dict[str, frozenset[str]] = {}
    failing: set[str] = set()
    told: frozenset[str] | None = None
    while True:
        answers = await asyncio.gather(*(_ask(name, look_up) for name in names))
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, OSError):
                if name not in failing:  # once, not every second
                    log.warning("name_not_resolved", name=name, error=str(answer))
                failing.add(name)
            else:
                failing.discard(name)
                known[name] = answer
        addresses = frozenset[str]().union(*known.values())
        if addresses != told:
            log.info("replicas", names=list(names), addresses=sorted(addresses))
            told = addresses
            yield addresses
        await asyncio.sleep(pause_seconds)


async def look_up(name: str) -> frozenset[str]:
    """Ask this host's resolver."""
    host, _, port = name.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except UnicodeError as error:  # longer than a name may be
        raise OSError(f"{host} is no name of a host") from error
    # One replica with an address in each family is one replica: both would be two links to it.
    family = socket.AF_INET if any(kind == socket.AF_INET for kind, *_ in found) else socket.AF_INET6
    form = "{}:{}" if family == socket.AF_INET else "[{}]:{}"
    return frozenset(form.format(*address[:2]) for kind, _, _, _, address in found if kind == family)


async def _ask(name: str, look_up: LookUp) -> frozenset[str] | OSError:
    try:
        return await look_up(name)
    except OSError as error:
        return error
