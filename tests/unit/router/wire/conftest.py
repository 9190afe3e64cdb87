"""Deployments, and the recorded traffic that the wires are held to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.catalog import Deployment

Exchanges = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def deployment() -> Deployment:
    return Deployment(
        id="d1",
        group="group",
        provider="openai",
        provider_model="gpt-4o-mini",
        api_base="https://provider.example/v1",
        api_key="sk-provider-secret",
    )


@pytest.fixture(scope="session")
def exchanges() -> Exchanges:
    """Recorded exchanges of one dialect; the test is skipped where the recordings are not at hand."""
    shared = os.environ.get("TOLLHOUSE_SHARED")
    if not shared:
        pytest.skip("TOLLHOUSE_SHARED is not set: the recorded traffic is not part of the project")
    folder = Path(shared) / "traffic" / "exchanges"

    def read(*, stream: bool, ok: bool) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
        wanted = [
            row["id"]
            for row in rows
            if row["dialect"] == "openai-chat" and (row["status"] == 200) is ok and (not ok or row["stream"] is stream)
        ]
        assert wanted
        return [json.loads((folder / f"{name}.json").read_text()) for name in wanted]

    return read
