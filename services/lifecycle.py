"""What the composition root gives a role, and what a role gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.config import Config
from services.resolve import Replicas, fixed
from services.settings import Settings
from services.transport import Channel, Handlers

# In this order roles start, so that each finds what it calls; they stop in the other order, so that each can drain.
ROLES = ("ledger", "keystore", "router", "edge")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a role is built from: `role.main.build(runtime) -> Role`."""

    config: Config
    settings: Settings
    log: FilteringBoundLogger
    # One a process, label `role` where several roles count the same.
    registry: CollectorRegistry
    # Ways to the ledger and the keystore, by role.
    channels: Mapping[str, Channel]
    # The routers, as they come and go; only an edge calls them.
    routers: Replicas = field(default_factory=lambda: fixed({}))
    # Where the edge listens for HTTP; port 0: any.
    http_host: str = "127.0.0.1"
    http_port: int = 4000


class Role(Protocol):
    """One of the four, built but not begun."""

    @property
    def handlers(self) -> Handlers:
        """The RPCs that it offers."""

    async def start(self) -> None:
        """Begin. A neighbour that is not there yet is waited for in the background, never here."""

    async def stop(self) -> None:
        """Finish what is open, within 10 s, then end."""
