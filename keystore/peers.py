"""Who is on the other end of the admission links: edges, which ask for leave, and routers, which settle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gateway.v1 import common_pb2, keystore_pb2

from keystore.policy.holds import Prices
from services.link import Link, LinkClosed

# Settlements of one peer that wait for the counters; twice what a router sends ahead of its acknowledgements. Beyond
# it the link is not read.
MAX_UNSETTLED = 8192

Reply = keystore_pb2.AdmissionReplyFrame


@dataclass(slots=True, eq=False)
class Peer:
    """One link."""

    link: Link[Reply, keystore_pb2.AdmissionFrame]
    # Of a router that has said hello.
    router_id: str = ""
    # The epoch for which it was asked to report.
    asked_epoch: str = ""
    unsettled: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, reply: Reply, *, urgent: bool = True) -> None:
        """Send, if there is still somebody: a call's hold lapses with its lease, a settlement comes again."""
        try:
            self.link.send(reply, urgent=urgent)
        except LinkClosed:
            return

    async def room(self) -> None:
        """Until another settlement may wait."""
        while self.unsettled >= MAX_UNSETTLED:
            self._room.clear()
            await self._room.wait()

    def settled(self, count: int, sequence: int) -> None:
        """So many settlements more are done, the last of them with this sequence."""
        self.unsettled -= count
        self._room.set()
        # Not urgent: a router keeps what is not acknowledged, and waits for nothing.
        self.send(Reply(sequence=sequence, settled=keystore_pb2.Settled()), urgent=False)


class Peers:
    """The links that are open, and what routers have said that they serve.

    `on_groups` is told the groups of models whenever what is served changes.
    """

    def __init__(self, on_groups: Callable[[Mapping[str, frozenset[str]]], None] = lambda _: None) -> None:
        self._on_groups = on_groups
        self._peers: set[Peer] = set()
        self._catalogs: dict[Peer, common_pb2.Catalog] = {}
        self._prices: Mapping[str, Prices] | None = None

    @property
    def routers(self) -> list[Peer]:
        """Those that have said hello."""
        return [peer for peer in self._peers if peer.router_id]

    @property
    def prices(self) -> Mapping[str, Prices] | None:
        """By model group; None until a router has said what it serves."""
        return self._prices

    def add(self, peer: Peer) -> None:
        """A link has opened."""
        self._peers.add(peer)

    def remove(self, peer: Peer) -> None:
        """A link has ended. Prices do not leave with the last router: its catalog is good until another one comes."""
        self._peers.discard(peer)
        if len(self._catalogs) > 1 and self._catalogs.pop(peer, None) is not None:
            self._catalogs_changed()

    def set_catalog(self, peer: Peer, catalog: common_pb2.Catalog) -> None:
        """What a router serves, in place of what it served before."""
        self._catalogs = {other: kept for other, kept in self._catalogs.items() if other in self._peers}
        self._catalogs[peer] = catalog
        self._catalogs_changed()

    def _catalogs_changed(self) -> None:
        self._prices = dearest(self._catalogs.values())
        self._on_groups(access_groups(self._catalogs.values()))


def dearest(catalogs: Iterable[common_pb2.Catalog]) -> Mapping[str, Prices]:
    """The prices of each model group, the dearest where routers differ: a call may reach any of them."""
    prices: dict[str, Prices] = {}
    for catalog in catalogs:
        for model in catalog.models:
            other = prices.get(model.name, Prices())
            limits = (model.max_output_tokens, other.max_output_tokens)
            prices[model.name] = Prices(
                max(model.input_nano_usd_per_mtok, other.input_nano_usd_per_mtok),
                max(model.output_nano_usd_per_mtok, other.output_nano_usd_per_mtok),
                max(model.request_nano_usd, other.request_nano_usd),
                # 0 is unknown, and larger than any limit.
                max(limits) if all(limits) or model.name not in prices else 0,
                model.shows_all_output and (model.name not in prices or other.shows_all_output),
                max(model.max_input_tokens, other.max_input_tokens),
            )
    return prices


def access_groups(catalogs: Iterable[common_pb2.Catalog]) -> Mapping[str, frozenset[str]]:
    """The model groups that each name of a group of models stands for, with any router."""
    groups: dict[str, set[str]] = {}
    for catalog in catalogs:
        for model in catalog.models:
            for group in model.access_groups:
                groups.setdefault(group, set()).add(model.name)
    return {group: frozenset(names) for group, names in groups.items()}
