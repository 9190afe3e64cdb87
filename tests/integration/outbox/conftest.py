"""What the outbox's tests share: entries, and outboxes in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry

from router.metrics import OutboxMetrics
from router.outbox import Adoption, Outbox
from services.ids import IdMint


class Opened:
    """An outbox and its adoption, with the metrics that they share."""

    def __init__(self, root: Path, **options) -> None:
        self.registry = CollectorRegistry()
        metrics = OutboxMetrics(self.registry)
        log = structlog.get_logger()
        self.outbox = Outbox(root, metrics=metrics, log=log, **options)
        self.adoption = Adoption(self.outbox, metrics, log)

    def count(self, name: str) -> float:
        """A counter of the outbox: damaged, adopted, interrupted, write_errors."""
        return self.registry.get_sample_value(f"tollhouse_outbox_{name}_total") or 0

    def lose(self) -> None:
        """What a kill does: the lock is free, nothing else happens."""
        self.outbox._journal._folder.release()


@pytest.fixture
def new_outbox(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens outboxes beside one another."""
    opened: list[Opened] = []

    def open_one(**options) -> Opened:
        opened.append(Opened(tmp_path / "outbox", **options))
        return opened[-1]

    yield open_one
    for each in opened:
        flushing = each.outbox._journal._flushing
        if flushing is not None:
            flushing.cancel()


@pytest.fixture
def new_entry() -> Callable[..., ledger_pb2.Entry]:
    """Makes entries; keyword arguments are members to have instead."""
    mint = IdMint()

    def make(**other) -> ledger_pb2.Entry:
        members = {
            "dispatch_id": mint.new(),
            "status": ledger_pb2.ENTRY_STATUS_SUCCESS,
            "model_group": "gpt",
            "cost_nano_usd": 7,
            "epoch": "e1",
        }
        return ledger_pb2.Entry(**(members | other))

    return make
