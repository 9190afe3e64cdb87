"""The links of edges and routers: each frame to the part that acts on it, in the order in which they come."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.v1 import keystore_pb2

from keystore.admission import Admission
from keystore.counters import MAX_OPERATIONS, Counters
from keystore.extensions import Extensions
from keystore.peers import Peer, Peers, Reply
from keystore.policy.operations import Renew
from keystore.rebuild import Rebuild
from services.errors import GatewayError
from services.link import Link
from services.methods import ADMISSION
from services.transport import Handlers

Frame = keystore_pb2.AdmissionFrame


class AdmissionService:
    """Offers ADMISSION."""

    def __init__(
        self, admission: Admission, extensions: Extensions, peers: Peers, counters: Counters, rebuild: Rebuild
    ) -> None:
        self._admission = admission
        self._extensions = extensions
        self._peers = peers
        self._counters = counters
        self._rebuild = rebuild

    @property
    def handlers(self) -> Handlers:
        """Each RPC's."""
        return {ADMISSION: self.exchange}

    async def exchange(self, link: Link[Reply, Frame]) -> None:
        """Serve one edge or router until its link ends."""
        peer = Peer(link)
        self._peers.add(peer)
        try:
            while True:
                for frame in await link.receive():
                    await self._take(peer, frame)
        finally:
            self._peers.remove(peer)

    async def _take(self, peer: Peer, frame: Frame) -> None:
        match frame.WhichOneof("kind"):
            case "admit":
                self._admission.admit(peer, frame.sequence, frame.admit)
            case "settle":
                await self._admission.settle(peer, frame.sequence, frame.settle)
            case "extend":
                self._extensions.extend(peer, frame.sequence, frame.extend)
            case "renew":
                await self._renew(frame.renew.dispatch_ids)
            case "hello":
                self._rebuild.hello(peer, frame.hello.router_id)
            case "catalog":
                self._peers.set_catalog(peer, frame.catalog)
            case "report":
                await self._rebuild.report(frame.report)

    async def _renew(self, dispatch_ids: Sequence[bytes]) -> None:
        """Renewals that the counters do not take now come again in a quarter of a lease."""
        try:
            for start in range(0, len(dispatch_ids), MAX_OPERATIONS):
                await self._counters.decide([Renew(each) for each in dispatch_ids[start : start + MAX_OPERATIONS]])
        except GatewayError:
            return
