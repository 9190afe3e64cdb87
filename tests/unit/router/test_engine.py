"""The attempt loop, over providers that answer from a script and an outbox that remembers in memory."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog
from gateway.v1 import common_pb2, ledger_pb2, router_pb2
from prometheus_client import CollectorRegistry

from router.accounting import Accounting
from router.catalog import Catalog, Deployment
from router.engine import MAX_HELD_BYTES, Engine
from router.metrics import CallMetrics
from router.mock import MockTransport
from router.routing.health import Health
from router.routing.plan import Policy
from router.selection import Selection
from router.transport import MAX_BODY_BYTES
from router.wire import WHOLE_WIRES
from router.wire.base import HttpRequest
from router.wire.openai import OpenAIWire
from services.errors import GatewayError, Reason
from services.money import Rates
from tests.engine_bench import Budget, KeySigner, Log, Recorder

NUM_RETRIES = 1
RATES = Rates(input=1_000_000_000, output=2_000_000_000)  # 1,000 and 2,000 nano-USD a token
BODY = b'{"model":"group","messages":[{"role":"user","content":"hi"}]}'
STREAM_BODY = BODY[:-1] + b',"stream":true}'
ROLE, HELLO, FINISH = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
)
USAGE, DONE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n', b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"It broke."}}\n\n'
ANSWER = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":%s}' % (
    b'{"prompt_tokens":7,"completion_tokens":3}'
)
FOREVER = object()


@dataclass
class Script:
    """What one deployment answers: pieces of a body, an error to raise, or FOREVER to hang."""

    pieces: list[Any]
    status: int = 200


class ScriptedResponse:
    def __init__(self, script: Script) -> None:
        self.status = script.status
        self.headers: dict[str, str] = {}
        self._pieces = iter(script.pieces)

    async def chunk(self) -> bytes:
        piece = next(self._pieces, b"")
        if piece is FOREVER:
            await asyncio.sleep(3600)
        if isinstance(piece, Exception):
            raise piece
        return bytes(piece)

    async def read(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)


@dataclass
class Providers:
    """`router.transport.Transport` from scripts by deployment id; what is not scripted answers well."""

    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    open_now: int = 0

    @asynccontextmanager
    async def open(
        self, request: HttpRequest, deployment: Deployment, *, timeout_seconds: float
    ) -> AsyncIterator[ScriptedResponse]:
        body = json.loads(request.body)
        self.requests.append((deployment.id, body))
        self.headers.append(request.headers)
        self.timeouts.append(timeout_seconds)
        good = [ROLE, HELLO, FINISH, USAGE, DONE] if body.get("stream") else [ANSWER]
        self.open_now += 1
        try:
            yield ScriptedResponse(self.scripts.get(deployment.id, Script(good)))
        finally:
            self.open_now -= 1


class Bench:
    """An engine with everything around it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.providers = Providers()
        self.log = Log(self.events)
        self.signer = KeySigner(self.events)
        self.now = 0.0
        self.budget = Budget()
        self.deployments = [deployment("a"), deployment("b")]
        metrics = CallMetrics(CollectorRegistry())
        self.engine = Engine(
            catalog=lambda: Catalog(groups={"group": tuple(self.deployments)}),
            wires={"openai": OpenAIWire()},
            transport=self.providers,
            mock=MockTransport(new_id=lambda: "0" * 32, clock=lambda: 1_700_000_000.0),
            accounting=Accounting(self.log, metrics, structlog.get_logger()),
            selection=Selection(
                Policy(num_retries=NUM_RETRIES),
                strategy="simple-shuffle",
                health=Health(),
                randomness=random.Random(1),
                clock=lambda: self.now,
            ),
            extend=self.budget.extend,
            clock=lambda: self.now,
            signers={"signer": self.signer},
            whole_wires=WHOLE_WIRES,
        )

    def caller(self, *, stream: bool = False, body: bytes | None = None, **members: Any) -> Recorder:
        request = router_pb2.Open(
            dispatch_id=bytes(16), call_id="c", model="group", stream=stream, input_tokens_bound=1000, **members
        )
        return Recorder(request, body or (STREAM_BODY if stream else BODY), self.events)

    async def fails(self, caller: Recorder) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.engine.run(caller)
        return caught.value

    async def cancelled(self, caller: Recorder, until: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.engine.run(caller))
        async with asyncio.timeout(5):
            while not until():
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @property
    def entry(self) -> ledger_pb2.Entry:
        (entry,) = self.log.entries
        return entry


def deployment(name: str) -> Deployment:
    return Deployment(
        id=name,
        group="group",
        provider="openai",
        provider_model="gpt-4o-mini",
        api_base="https://provider.example/v1",
        rates=RATES,
        ceiling_rates=RATES,
        # "a" is chosen before "b": what the others are weighed by, "b" lacks.
        weight=1.0 if name == "a" else None,
    )


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield (bench := Bench())
    assert bench.providers.open_now == 0


async def test_a_unary_call_is_answered_once_its_entry_is_committed(bench: Bench) -> None:
    caller = bench.caller()
    await bench.engine.run(caller)
    assert bench.events == ["opened", "sent a", "entry", "committed", "head", "data", "result"]
    assert caller.out == ANSWER
    assert (caller.heads[0].content_type, caller.heads[0].provider_model) == ("application/json", "openai/gpt-4o-mini")
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_SUCCESS
    assert bench.entry.usage == common_pb2.TokenUsage(input_tokens=7, output_tokens=3)
    assert bench.entry.cost_nano_usd == 7 * 1000 + 3 * 2000
    assert caller.results[0].cost_nano_usd == bench.entry.cost_nano_usd
    assert bench.entry.first_token_ms > 0


async def test_a_streams_terminator_waits_for_the_commit(bench: Bench) -> None:
    caller = bench.caller(stream=True)
    await bench.engine.run(caller)
    assert bench.events[-4:] == ["entry", "committed", "data", "result"]
    assert caller.out == ROLE + HELLO + FINISH + DONE
    assert bench.entry.usage == common_pb2.TokenUsage(input_tokens=7, output_tokens=3)
    assert not bench.entry.estimated


async def test_the_head_waits_for_content(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([b": keep-alive\n\n", ROLE, FOREVER])
    caller = bench.caller(stream=True)
    await bench.cancelled(caller, lambda: "sent a" in bench.events)
    assert caller.heads == []


@pytest.mark.parametrize(
    "script",
    [
        Script([b'{"error":{"message":"slow down"}}'], status=429),
        Script([b"oops"], status=500),
        Script([b"<html>"]),
        Script([GatewayError(Reason.ERROR_REASON_PROVIDER_TIMEOUT, "late")]),
        Script([ROLE, ERROR]),
        Script([ROLE]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_content_is_followed_by_another_deployment(
    bench: Bench, script: Script, stream: bool
) -> None:
    bench.providers.scripts["a"] = script
    caller = bench.caller(stream=stream)
    await bench.engine.run(caller)
    assert [name for name, _ in bench.providers.requests] == ["a", "b"]
    assert caller.heads[0].deployment_id == "b"
    assert caller.out == (ROLE + HELLO + FINISH + DONE if stream else ANSWER)
    assert [attempt.deployment_id for attempt in bench.entry.attempts] == ["a", "b"]
    assert bench.entry.attempts[0].error_reason != Reason.ERROR_REASON_UNSPECIFIED
    assert caller.results[0].attempts == 2


async def test_a_stream_that_never_begins_is_given_up(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([b": nothing but comments\n\n" * (MAX_HELD_BYTES // 20), FOREVER])
    caller = bench.caller(stream=True)
    await asyncio.wait_for(bench.engine.run(caller), 5)
    assert caller.heads[0].deployment_id == "b"


async def test_the_callers_own_mistake_is_not_tried_elsewhere(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([b'{"error":{"message":"temperature"}}'], status=400)
    error = await bench.fails(bench.caller())
    assert (error.reason, error.message) == (Reason.ERROR_REASON_PROVIDER_REJECTED, "temperature")
    assert len(bench.providers.requests) == 1
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_FAILURE
    assert bench.entry.error_reason == Reason.ERROR_REASON_PROVIDER_REJECTED
    assert bench.entry.cost_nano_usd == 0


async def test_when_all_fail_the_last_failure_is_told(bench: Bench) -> None:
    bench.providers.scripts = {"a": Script([b""], status=500), "b": Script([b""], status=429)}
    assert (await bench.fails(bench.caller())).provider_status == 429
    assert len(bench.entry.attempts) == 2


async def test_attempts_have_a_limit(bench: Bench) -> None:
    bench.deployments = [deployment(name) for name in "abcdefgh"]
    bench.providers.scripts = {name: Script([b""], status=500) for name in "abcdefgh"}
    await bench.fails(bench.caller())
    assert len(bench.providers.requests) == 1 + NUM_RETRIES


@pytest.mark.parametrize("ending", [[ERROR], [], [GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "cut")]])
async def test_a_failure_after_the_head_is_never_hidden(bench: Bench, ending: list[Any]) -> None:
    """No fallback, no terminator: an error, and what was generated is billed."""
    bench.providers.scripts["a"] = Script([ROLE, HELLO, *ending])
    caller = bench.caller(stream=True)
    assert (await bench.fails(caller)).reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert caller.out == ROLE + HELLO
    assert caller.results == []
    assert len(bench.providers.requests) == 1
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_FAILURE
    assert bench.entry.estimated
    assert bench.entry.usage.output_tokens == 2  # 5 bytes of text, 4 a token


async def test_a_caller_who_leaves_in_mid_stream_pays_for_what_was_generated(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([ROLE, HELLO, HELLO, FOREVER])
    caller = bench.caller(stream=True)
    await bench.cancelled(caller, lambda: caller.out.count(b"Hello") == 2)
    assert bench.providers.open_now == 0
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_CANCELLED
    assert bench.entry.estimated
    assert bench.entry.usage.output_tokens == 3
    assert bench.entry.cost_nano_usd > 0
    assert bench.entry.attempts[0].error_reason == Reason.ERROR_REASON_CANCELLED


async def test_a_caller_who_leaves_while_reading_slowly_is_accounted_for_once(bench: Bench) -> None:
    caller = bench.caller(stream=True)
    caller.reads = False
    await bench.cancelled(caller, lambda: bool(caller.heads))
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_CANCELLED


async def test_a_caller_who_leaves_during_the_commit_is_accounted_for_once(bench: Bench) -> None:
    bench.log.blocked = True
    caller = bench.caller()
    await bench.cancelled(caller, lambda: "entry" in bench.events)
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_SUCCESS
    assert caller.out == b""


async def test_a_caller_who_leaves_before_the_body_is_here_pays_nothing(bench: Bench) -> None:
    caller = bench.caller()
    waiting = asyncio.Event()

    async def body() -> bytes:
        waiting.set()
        await asyncio.sleep(3600)
        return b""

    caller.body = body  # type: ignore[method-assign]
    await bench.cancelled(caller, waiting.is_set)
    assert (bench.entry.status, bench.entry.cost_nano_usd) == (ledger_pb2.ENTRY_STATUS_CANCELLED, 0)


async def test_a_mistake_of_ours_is_accounted_for_too(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        await bench.engine.run(bench.caller())
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_FAILURE
    assert bench.entry.error_reason == Reason.ERROR_REASON_INTERNAL


async def test_an_unknown_group_is_named_and_its_hold_released(bench: Bench) -> None:
    caller = bench.caller()
    caller.request.model = "gruop"
    error = await bench.fails(caller)
    assert error.reason == Reason.ERROR_REASON_MODEL_NOT_FOUND
    assert "There are no healthy deployments for this model" in error.message
    assert bench.entry.model_group == "gruop"


async def test_a_full_outbox_calls_no_provider(bench: Bench) -> None:
    bench.log.full = True
    assert (await bench.fails(bench.caller())).reason == Reason.ERROR_REASON_UNAVAILABLE
    assert bench.providers.requests == []


async def test_the_holds_limit_is_imposed(bench: Bench) -> None:
    hold = common_pb2.Hold(held_nano_usd=10_000_000, output_tokens_limit=40, epoch="e")
    await bench.engine.run(bench.caller(hold=hold))
    assert bench.providers.requests[0][1]["max_tokens"] == 40


@pytest.mark.parametrize("stream", [False, True])
async def test_the_head_tells_what_the_provider_was_not_asked(bench: Bench, stream: bool) -> None:
    bench.deployments = [replace(each, additional_drop_params=("user",)) for each in bench.deployments]
    caller = bench.caller(stream=stream, body=(STREAM_BODY if stream else BODY)[:-1] + b',"user":"u"}')
    await bench.engine.run(caller)
    assert "user" not in bench.providers.requests[0][1]
    assert list(caller.heads[0].dropped_params) == ["user"]


async def test_a_deployment_that_the_hold_cannot_pay_for_is_passed_over(bench: Bench) -> None:
    dear = Rates(input=1_000_000_000_000, output=1)
    bench.deployments[0] = replace(bench.deployments[0], ceiling_rates=dear)
    hold = common_pb2.Hold(held_nano_usd=1_000 * 1_000 + 16 * 2_000, output_tokens_limit=16, epoch="e")
    await bench.engine.run(bench.caller(hold=hold))
    assert [name for name, _ in bench.providers.requests] == ["b"]
    hold.held_nano_usd -= 1
    bench.log.entries.clear()
    assert (await bench.fails(bench.caller(hold=hold))).reason == Reason.ERROR_REASON_BUDGET_EXCEEDED


@pytest.mark.parametrize(("cap", "limit"), [(10**9, None), (1_000 * 1_000 + 300 * 2_000, 300), (0, 64)])
async def test_where_a_slice_cannot_grow_the_whole_is_held_or_what_there_is(
    bench: Bench, cap: int, limit: object
) -> None:
    """The group that was asked for shows all it writes; this deployment, a fallback, does not."""
    bench.budget.cap_nano_usd = cap
    hold = common_pb2.Hold(
        held_nano_usd=1_000 * 1_000 + 64 * 2_000, output_tokens_bound=1_000, choices=1, epoch="e", extendable=True
    )
    await bench.engine.run(bench.caller(stream=True, hold=hold))
    assert bench.budget.asked == [(1_000 * 1_000 + 1_000 * 2_000, 1_000 * 1_000 + 16 * 2_000)]
    assert bench.providers.requests[0][1].get("max_tokens") == limit
    assert bench.entry.held_nano_usd == max(hold.held_nano_usd, bench.budget.held_nano_usd)


async def test_a_short_call_that_its_hold_pays_in_full_is_not_passed_over(bench: Bench) -> None:
    hold = common_pb2.Hold(held_nano_usd=1_000 * 1_000 + 1 * 2_000, epoch="e")
    await bench.engine.run(bench.caller(hold=hold, body=BODY[:-1] + b',"max_tokens":1}'))
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_SUCCESS


async def test_an_attempt_has_the_deployments_time_or_what_is_left_of_the_calls(bench: Bench) -> None:
    bench.deployments = [replace(deployment("a"), timeout_seconds=5.0, stream_timeout_seconds=2.0)]
    await bench.engine.run(bench.caller())
    await bench.engine.run(bench.caller(stream=True))
    await bench.engine.run(bench.caller(timeout_ms=1500))
    assert bench.providers.timeouts == [5.0, 2.0, 1.5]


async def test_no_attempt_starts_when_the_time_is_over(bench: Bench) -> None:
    caller = bench.caller(timeout_ms=1000)

    async def body() -> bytes:
        bench.now = 2.0
        return BODY

    caller.body = body  # type: ignore[method-assign]
    assert (await bench.fails(caller)).reason == Reason.ERROR_REASON_DEADLINE_EXCEEDED
    assert bench.providers.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_mock_deployment_answers_without_a_provider(bench: Bench, stream: bool) -> None:
    bench.deployments = [replace(deployment("m"), mock_response="Hello there")]
    caller = bench.caller(stream=stream)
    await bench.engine.run(caller)
    assert bench.providers.requests == []
    assert bench.entry.usage == common_pb2.TokenUsage(input_tokens=10, output_tokens=20)
    assert b"chatcmpl-" in caller.out
    assert (b"Hello there" in caller.out) is not stream
    assert caller.out.endswith(DONE) is stream


async def test_a_mock_deployment_fails_as_a_provider_would(bench: Bench) -> None:
    bench.deployments = [replace(deployment("m"), mock_response="litellm.RateLimitError")]
    assert (await bench.fails(bench.caller())).reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED


async def test_a_mock_deployment_keeps_the_holds_limit(bench: Bench) -> None:
    bench.deployments = [replace(deployment("m"), mock_response="x")]
    hold = common_pb2.Hold(held_nano_usd=10_000_000, output_tokens_limit=16, epoch="e")
    await bench.engine.run(bench.caller(hold=hold))
    assert bench.entry.usage.output_tokens == 16
