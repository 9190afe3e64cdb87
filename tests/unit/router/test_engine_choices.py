"""The attempt loop remembers why it chose each deployment, and whom it passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from gateway.v1 import common_pb2, ledger_pb2

from services.errors import GatewayError, Reason
from services.money import Rates
from tests.unit.router.test_engine import Bench, Script, deployment


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield (bench := Bench())
    assert bench.providers.open_now == 0


async def test_an_entry_says_why_each_deployment_was_chosen(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([b"{}"], status=429)
    await bench.engine.run(bench.caller())
    first, second = bench.entry.choices
    shuffle = ledger_pb2.ROUTING_STRATEGY_SIMPLE_SHUFFLE
    assert first == ledger_pb2.Choice(strategy=shuffle, candidates=2, attempt=1)
    assert (second.candidates, second.attempt) == (2, 2)
    assert list(second.skipped) == [ledger_pb2.Skip(deployment_id="a", reason=ledger_pb2.SKIP_REASON_TRIED)]
    assert [attempt.deployment_id for attempt in bench.entry.attempts] == ["a", "b"]
    # The record of a request under way knows as much.
    assert [len(opened.choices) for opened in bench.log.opened_entries] == [1, 2]
    assert bench.log.opened_entries[1].choices == bench.entry.choices

    # The next call finds it resting.
    bench.log.entries.clear()
    bench.now += 1.0
    await bench.engine.run(bench.caller())
    (only,) = bench.entry.choices
    assert list(only.skipped) == [
        ledger_pb2.Skip(deployment_id="a", reason=ledger_pb2.SKIP_REASON_COOLDOWN, rests_ms=4000)
    ]


async def test_an_entry_says_which_deployment_could_not_even_be_asked(bench: Bench) -> None:
    bench.deployments = [replace(deployment("a"), auth="signer"), deployment("b")]
    bench.signer.failures["a"] = GatewayError(Reason.ERROR_REASON_PROVIDER_AUTHENTICATION, "No key.")
    await bench.engine.run(bench.caller())
    failed, chosen = bench.entry.choices
    assert (failed.attempt, failed.deployment_id) == (0, "a")
    assert failed.error_reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert chosen.attempt == 1
    assert [attempt.deployment_id for attempt in bench.entry.attempts] == ["b"]


async def test_a_call_for_which_nobody_is_left_says_who_was_passed_over(bench: Bench) -> None:
    for each in "ab":
        bench.providers.scripts[each] = Script([b"{}"], status=401)
    await bench.fails(bench.caller())
    bench.log.entries.clear()
    await bench.fails(bench.caller())
    (looked,) = bench.entry.choices
    assert (looked.attempt, looked.deployment_id, len(bench.entry.attempts)) == (0, "", 0)
    assert {(skip.deployment_id, skip.reason) for skip in looked.skipped} == {
        ("a", ledger_pb2.SKIP_REASON_COOLDOWN),
        ("b", ledger_pb2.SKIP_REASON_COOLDOWN),
    }


async def test_a_deployment_that_what_is_held_does_not_pay_for_is_named(bench: Bench) -> None:
    dear = Rates(input=10**15, output=10**15)
    bench.deployments = [replace(deployment("a"), rates=dear, ceiling_rates=dear), deployment("b")]
    hold = common_pb2.Hold(held_nano_usd=10**9, epoch="e", output_tokens_bound=100, choices=1)
    await bench.engine.run(bench.caller(hold=hold))
    (only,) = bench.entry.choices
    assert (only.candidates, only.attempt) == (2, 1)
    assert list(only.skipped) == [ledger_pb2.Skip(deployment_id="a", reason=ledger_pb2.SKIP_REASON_NOT_AFFORDABLE)]
