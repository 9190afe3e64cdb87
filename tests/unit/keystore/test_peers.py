"""What routers say that they serve."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.v1 import common_pb2, keystore_pb2

from keystore.peers import MAX_UNSETTLED, Peer, Peers, dearest
from keystore.policy.holds import Prices
from services.inprocess import InProcessLink


def _catalog(name: str, **members: Any) -> common_pb2.Catalog:
    return common_pb2.Catalog(models=[common_pb2.CatalogModel(name=name, **members)])


def _peer() -> Peer:
    return Peer(InProcessLink[keystore_pb2.AdmissionReplyFrame, keystore_pb2.AdmissionFrame].pair()[0])


def test_where_routers_differ_the_dearest_counts() -> None:
    one = _catalog("m", input_nano_usd_per_mtok=1, output_nano_usd_per_mtok=9, max_output_tokens=10)
    two = _catalog("m", input_nano_usd_per_mtok=5, output_nano_usd_per_mtok=2, max_output_tokens=20)
    assert dearest([one, two]) == {"m": Prices(5, 9, 0, 20)}
    assert dearest([one, _catalog("m")]) == {"m": Prices(1, 9, 0, 0)}


def test_a_model_shows_all_it_writes_only_where_every_router_says_so() -> None:
    shown, unknown = _catalog("m", shows_all_output=True), _catalog("m")
    assert dearest([shown, shown])["m"].shows_all_output
    assert not dearest([shown, unknown])["m"].shows_all_output
    assert not dearest([unknown, shown])["m"].shows_all_output


def test_prices_outlive_the_last_router_but_not_its_successor() -> None:
    peers, first, second = Peers(), _peer(), _peer()
    assert peers.prices is None
    peers.add(first)
    peers.set_catalog(first, _catalog("old", request_nano_usd=1))
    peers.remove(first)
    assert peers.prices == {"old": Prices(request_nano_usd=1)}
    peers.add(second)
    peers.set_catalog(second, _catalog("new", request_nano_usd=2))
    assert peers.prices == {"new": Prices(request_nano_usd=2)}


def test_of_two_routers_the_one_that_leaves_takes_its_catalog() -> None:
    peers, first, second = Peers(), _peer(), _peer()
    for peer, name in ((first, "a"), (second, "b")):
        peers.add(peer)
        peers.set_catalog(peer, _catalog(name))
    assert set(peers.prices or ()) == {"a", "b"}
    peers.remove(first)
    assert set(peers.prices or ()) == {"b"}


async def test_a_peer_has_room_for_so_many_settlements_and_again_when_some_are_done() -> None:
    peer = _peer()
    peer.unsettled = MAX_UNSETTLED - 1
    await peer.room()
    peer.unsettled += 1
    waiting = asyncio.create_task(peer.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    peer.settled(1, sequence=1)
    async with asyncio.timeout(1):
        await waiting
