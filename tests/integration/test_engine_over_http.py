"""The engine over real connections: what the provider saw, what the caller got and what is accounted for agree."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import structlog
from gateway.v1 import ledger_pb2, router_pb2
from prometheus_client import CollectorRegistry

from router.accounting import Accounting
from router.catalog import Catalog, Deployment
from router.engine import Engine
from router.extensions import Extensions
from router.live import LiveHolds
from router.metrics import CallMetrics
from router.mock import MockTransport
from router.routing.health import Health
from router.routing.plan import Policy
from router.selection import Selection
from router.transport import HttpTransport
from router.wire.openai import OpenAIWire
from services.errors import GatewayError, Reason
from services.money import Rates
from tests.engine_bench import Log, Recorder
from tests.fake_provider import INPUT_TOKENS, WORDS, Behaviour, FakeProvider

# A promise with a deadline is waited for five times as long.
PATIENCE_SECONDS = 5


class Bench:
    def __init__(self, transport: HttpTransport, provider: FakeProvider) -> None:
        self.provider = provider
        self.log = Log([])
        self.deployment = Deployment(
            id="a",
            group="group",
            provider="openai",
            provider_model="m",
            api_base=provider.base_url,
            api_key="sk-secret-of-the-provider",
            rates=Rates(input=1_000_000, output=1_000_000),
        )
        self.groups = {"group": (self.deployment,)}
        self.engine = Engine(
            catalog=lambda: Catalog(groups=self.groups),
            wires={"openai": OpenAIWire()},
            transport=transport,
            mock=MockTransport(new_id=lambda: "0", clock=time.time),
            accounting=Accounting(self.log, CallMetrics(CollectorRegistry()), structlog.get_logger()),
            selection=Selection(
                Policy(num_retries=1),
                strategy="simple-shuffle",
                health=Health(),
                randomness=random.Random(1),
                clock=time.monotonic,
            ),
            extend=Extensions(LiveHolds()).extend,
            clock=time.monotonic,
        )

    def caller(self, *, stream: bool, show_usage: bool = False) -> Recorder:
        body = {"model": "group", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        if show_usage:
            body["stream_options"] = {"include_usage": True}
        request = router_pb2.Open(dispatch_id=bytes(16), model="group", stream=stream, input_tokens_bound=1000)
        return Recorder(request, json.dumps(body).encode(), self.log.events)

    async def fails(self, caller: Recorder) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await asyncio.wait_for(self.engine.run(caller), PATIENCE_SECONDS)
        return caught.value


@pytest.fixture
async def bench(fake_provider: FakeProvider) -> AsyncIterator[Bench]:
    transport = HttpTransport()
    yield Bench(transport, fake_provider)
    await transport.close()


def text_of(stream: bytes) -> str:
    events = [json.loads(event[6:]) for event in stream.split(b"\n\n") if event.startswith(b"data: {")]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("burst", [False, True])
async def test_tokens_accounted_for_are_those_the_provider_sent(bench: Bench, stream: bool, burst: bool) -> None:
    bench.provider.behave("m", Behaviour(burst=burst))
    caller = bench.caller(stream=stream)
    await bench.engine.run(caller)
    usage = bench.log.entries[0].usage
    assert (usage.input_tokens, usage.output_tokens) == (INPUT_TOKENS, bench.provider.seen[0].tokens_sent)
    text = text_of(caller.out) if stream else json.loads(caller.out)["choices"][0]["message"]["content"]
    assert text == "".join(WORDS)
    assert b'"usage"' not in caller.out if stream else b'"usage"' in caller.out


async def test_a_caller_who_asked_for_usage_sees_it(bench: Bench) -> None:
    caller = bench.caller(stream=True, show_usage=True)
    await bench.engine.run(caller)
    assert b'"usage"' in caller.out
    assert caller.out.endswith(b"data: [DONE]\n\n")


async def test_a_caller_who_leaves_stops_the_provider_and_pays_for_what_came(bench: Bench) -> None:
    bench.provider.behave("m", Behaviour(words=("four",) * 1000, gap_seconds=0.01))
    caller = bench.caller(stream=True)
    task = asyncio.create_task(bench.engine.run(caller))
    while text_of(caller.out).count("four") < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    seen = bench.provider.seen[0]
    await asyncio.wait_for(seen.ended.wait(), PATIENCE_SECONDS)
    assert seen.aborted
    entry = bench.log.entries[0]
    assert entry.status == ledger_pb2.ENTRY_STATUS_CANCELLED
    assert 3 <= entry.usage.output_tokens <= seen.tokens_sent < 1000


async def test_a_stream_that_breaks_off_is_an_error_not_a_short_answer(bench: Bench) -> None:
    bench.provider.behave("m", Behaviour(cut_after=3, gap_seconds=0.01))
    caller = bench.caller(stream=True)
    assert (await bench.fails(caller)).reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert text_of(caller.out) == "".join(WORDS[:3])
    assert b"[DONE]" not in caller.out
    assert bench.log.entries[0].usage.output_tokens > 0


async def test_a_stream_that_stalls_runs_into_its_deadline(bench: Bench) -> None:
    bench.groups["group"] = (replace(bench.deployment, stream_timeout_seconds=0.3),)
    bench.provider.behave("m", Behaviour(stall_after=2))
    assert (await bench.fails(bench.caller(stream=True))).reason == Reason.ERROR_REASON_PROVIDER_TIMEOUT
    await asyncio.wait_for(bench.provider.seen[0].ended.wait(), PATIENCE_SECONDS)
    assert bench.provider.seen[0].aborted


async def test_a_call_survives_a_host_that_is_down_and_one_that_is_slow(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        down = replace(bench.deployment, id="down", api_base=f"http://127.0.0.1:{unused.getsockname()[1]}", weight=1.0)
        slow = replace(bench.deployment, id="slow", timeout_seconds=0.2, provider_model="slow")
        bench.provider.behave("slow", Behaviour(head_delay_seconds=3600))
        bench.groups["group"] = (down, slow)
        error = await bench.fails(bench.caller(stream=False))
        assert error.reason == Reason.ERROR_REASON_PROVIDER_TIMEOUT
        bench.groups["group"] = (down, replace(bench.deployment, id="good"))
        caller = bench.caller(stream=False)
        await bench.engine.run(caller)
    assert [attempt.deployment_id for attempt in bench.log.entries[0].attempts] == ["down", "slow"]
    assert caller.heads[0].deployment_id == "good"


async def test_a_provider_that_repeats_the_credential_gives_nothing_away(bench: Bench) -> None:
    said = json.dumps({"error": {"message": "Wrong key sk-secret-of-the-provider."}}).encode()
    bench.provider.behave("m", Behaviour(status=401, body=said))
    error = await bench.fails(bench.caller(stream=False))
    assert error.message == "Wrong key ***."


async def test_many_calls_at_once_do_not_mix(bench: Bench) -> None:
    callers = []
    for number in range(60):
        model = f"m{number}"
        bench.provider.behave(model, Behaviour(words=(f" {number}",) * 20, gap_seconds=0.001))
        bench.groups[model] = (replace(bench.deployment, provider_model=model),)
        caller = bench.caller(stream=True)
        caller.request.model = model
        callers.append(caller)
    await asyncio.gather(*(bench.engine.run(caller) for caller in callers))
    for number, caller in enumerate(callers):
        assert text_of(caller.out) == f" {number}" * 20
    assert len(bench.log.entries) == 60
