"""The bench's own tools, held against each other: what the generator finished is what the provider saw."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from bench.calls import Month, Names
from bench.load import Outcome
from bench.processes import FakeProvider, run_load
from bench.scenarios import Scenario
from ledger.rows import is_well_formed
from services.ids import millis_of

KEY = "sk-none"


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    fake = FakeProvider()
    yield fake
    fake.stop()


def run(provider: FakeProvider, scenario: Scenario) -> Outcome:
    return run_load(scenario, provider.port, KEY, scenario.model, seconds=0.5)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("unary", "fake-20x0", connections=8),
        Scenario("burst", "fake-20x0", connections=8, streamed=True),
        Scenario("paced", "fake-5x2", connections=8, streamed=True),
        Scenario("open", "fake-20x0-after20", connections=64, rate=200),
    ],
    ids=lambda scenario: scenario.name,
)
def test_what_was_finished_is_what_the_provider_saw(provider: FakeProvider, scenario: Scenario) -> None:
    before = provider.stats()
    outcome = run(provider, scenario)
    after = provider.stats()
    assert outcome.failures == []
    assert outcome.finished > 0
    assert after.requests - before.requests == outcome.finished
    assert after.streams - before.streams == (outcome.finished if scenario.streamed else 0)
    assert after.aborted == before.aborted


def test_an_open_loop_keeps_its_rate_and_counts_from_when_a_call_was_due(provider: FakeProvider) -> None:
    """One connection and answers after 20 ms: of 100 calls that are due in half a second most wait in line."""
    outcome = run(provider, Scenario("late", "fake-20x0-after20", connections=1, rate=200))
    assert outcome.finished == 100
    assert outcome.p99_ms > 1000


def test_an_answer_that_is_not_right_to_its_end_is_a_failure(provider: FakeProvider) -> None:
    outcome = run(provider, Scenario("refused", "no-such-model", connections=1))
    assert outcome.finished == 0
    assert outcome.failed > 0
    assert "status 400" in outcome.failures[0]


def test_a_caller_that_goes_away_is_counted_as_aborted(provider: FakeProvider) -> None:
    before = provider.stats().aborted
    body = json.dumps({"model": "fake-20x50", "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", provider.port)) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        assert b"data: " in caller.recv(65536) + caller.recv(65536)
    latest = time.monotonic() + 5
    while provider.stats().aborted == before and time.monotonic() < latest:
        time.sleep(0.01)
    assert provider.stats().aborted == before + 1


@pytest.mark.parametrize("asked", [True, False])
def test_usage_ends_a_stream_only_when_it_was_asked_for(provider: FakeProvider, asked: bool) -> None:
    body = json.dumps({"model": "fake-2x0", "stream": True, "stream_options": {"include_usage": asked}}).encode()
    url = f"http://127.0.0.1:{provider.port}/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10) as response:
        events = response.read().decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert ('"usage"' in events[-3]) is asked


@pytest.mark.slow
def test_the_ledgers_bench_verifies_what_it_loads_and_asks() -> None:
    """With few calls: that it adds up, not how fast it is."""
    command = [sys.executable, "-m", "bench.ledger", "--calls", "6000", "--times", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "verified: entries and nano-USD made [6000, " in ran.stdout
    assert "questions, every answer as it must be" in ran.stdout
    assert "VOID" not in ran.stdout


def test_the_month_that_the_ledgers_bench_loads_is_the_same_again_and_lies_within_it() -> None:
    month = Month(start_ms=1_750_000_000_000, calls=3_000)
    entries = list(month.entries())
    assert entries == list(month.entries())
    ids = [entry.dispatch_id for entry in entries]
    assert ids == sorted(set(ids))
    assert month.start_ms <= millis_of(ids[0]) < millis_of(ids[-1]) < month.end_ms
    assert all(is_well_formed(entry) for entry in entries)
    assert {entry.principal.key_id for entry in Month(0, 30_000).entries()} == {*Names.keys}
