"""What routers say that they serve."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

from gateway.v1 import common_pb2, keystore_pb2

from keystore.peers import MAX_UNSETTLED, Peer, Peers, access_groups, dearest
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


def test_what_a_model_can_read_is_the_most_that_any_router_says() -> None:
    one, two = _catalog("m", max_input_tokens=8_000), _catalog("m", max_input_tokens=128_000)
    assert dearest([one, two])["m"].max_input_tokens == dearest([two, one])["m"].max_input_tokens == 128_000


def test_the_dearest_is_the_same_in_whatever_order_routers_come() -> None:
    catalogs = [
        _catalog("m", input_nano_usd_per_mtok=1, max_output_tokens=10, shows_all_output=True),
        _catalog("m", output_nano_usd_per_mtok=9, max_output_tokens=0),
        _catalog("m", request_nano_usd=3, max_output_tokens=30, shows_all_output=True),
    ]
    assert len({str(dearest(order)) for order in itertools.permutations(catalogs)}) == 1


def test_a_group_of_models_is_all_that_any_router_has_in_it() -> None:
    one = common_pb2.Catalog(
        models=[
            common_pb2.CatalogModel(name="a", access_groups=["g", "h"]),
            common_pb2.CatalogModel(name="b", access_groups=["g", "g"]),
            common_pb2.CatalogModel(name="c"),
        ]
    )
    two = _catalog("d", access_groups=["g", ""])
    assert access_groups([one, two]) == {"g": {"a", "b", "d"}, "h": {"a"}, "": {"d"}}
    assert access_groups([]) == {}


def test_whoever_goes_by_groups_is_told_whenever_what_is_served_changes() -> None:
    told: list[Mapping[str, frozenset[str]]] = []
    peers, first, second = Peers(told.append), _peer(), _peer()
    for peer in (first, second):
        peers.add(peer)
    peers.set_catalog(first, _catalog("a", access_groups=["g"]))
    peers.set_catalog(second, _catalog("b", access_groups=["g"]))
    peers.remove(first)
    peers.remove(second)
    assert told == [{"g": {"a"}}, {"g": {"a", "b"}}, {"g": {"b"}}]


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
