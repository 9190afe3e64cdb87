"""What a dispatch came to: tokens and money, whatever its attempts were."""

from __future__ import annotations

import msgspec
import pytest
import structlog
from gateway.v1 import common_pb2, ledger_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from router.accounting import Accounting, Attempt, Outcome, entry_of, interrupted_entry
from router.catalog import Deployment
from router.metrics import CallMetrics
from router.providers.tariff import Band, Tariff
from router.routing.choice import Choice
from services.costs import STANDARD
from services.errors import GatewayError, Reason, unavailable
from services.money import Rates
from tests.engine_bench import Log

# $2.50, $10 and $1.25 per million tokens.
RATES = Rates.of(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000)
SUCCESS, FAILURE = ledger_pb2.ENTRY_STATUS_SUCCESS, ledger_pb2.ENTRY_STATUS_FAILURE
CANCELLED = ledger_pb2.ENTRY_STATUS_CANCELLED
REPORTED = common_pb2.TokenUsage(input_tokens=100, output_tokens=20, cache_read_tokens=40, reasoning_tokens=5)
# 60 plain, 40 cached, 20 out
REPORTED_COST = 60 * 2_500 + 40 * 1_250 + 20 * 10_000


def deployment(name: str = "d1", rates: Rates | Tariff = RATES, *, unpriced: bool = False) -> Deployment:
    return Deployment(name, "gpt", "openai", "gpt-4o", "https://api.example", rates=rates, unpriced=unpriced)


def request(*, held: int = 0, limit: int = 0, bound: int = 0, stream: bool = False) -> router_pb2.Open:
    """A call with a body of which at most `bound` tokens come; `held` 0: nothing is held."""
    return router_pb2.Open(
        dispatch_id=bytes(range(16)),
        call_id="call",
        operation=common_pb2.OPERATION_CHAT_COMPLETIONS,
        model="gpt",
        stream=stream,
        principal=common_pb2.Principal(key_id="key", tags=["a"]),
        hold=common_pb2.Hold(held_nano_usd=held, output_tokens_limit=limit, epoch="e1" if held else ""),
        input_tokens_bound=bound,
    )


def outcome(status: ledger_pb2.EntryStatus, *attempts: Attempt, body_bytes: int = 400) -> Outcome:
    reason = attempts[-1].error_reason if attempts else Reason.ERROR_REASON_INVALID_REQUEST
    return Outcome(status, attempts, body_bytes, duration_ms=30, first_token_ms=7, error_reason=reason)


def test_what_the_provider_reports_is_the_bill() -> None:
    attempt = Attempt(deployment(), latency_ms=25, provider_status=200, usage=REPORTED, content_bytes=9_999)
    entry = entry_of(request(), outcome(SUCCESS, attempt))
    assert entry.usage == REPORTED
    assert entry.cost_nano_usd == REPORTED_COST
    assert not entry.estimated
    assert not entry.unpriced


def test_an_entry_says_all_that_is_known() -> None:
    tried = Attempt(deployment("d0"), 5, provider_status=500, error_reason=Reason.ERROR_REASON_PROVIDER_UNAVAILABLE)
    answered = Attempt(deployment("d1"), latency_ms=25, provider_status=200, usage=REPORTED)
    entry = entry_of(request(held=10**9, stream=True), outcome(SUCCESS, tried, answered))
    assert entry == ledger_pb2.Entry(
        dispatch_id=bytes(range(16)),
        call_id="call",
        status=SUCCESS,
        principal=common_pb2.Principal(key_id="key", tags=["a"]),
        operation=common_pb2.OPERATION_CHAT_COMPLETIONS,
        model_group="gpt",
        deployment_id="d1",
        provider="openai",
        provider_model="gpt-4o",
        usage=REPORTED,
        cost_nano_usd=REPORTED_COST,
        held_nano_usd=10**9,
        streamed=True,
        attempts=[
            ledger_pb2.Attempt(
                deployment_id="d0",
                provider_status=500,
                error_reason=Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
                latency_ms=5,
            ),
            ledger_pb2.Attempt(
                deployment_id="d1",
                provider_status=200,
                latency_ms=25,
                billed=True,
                rates=ledger_pb2.AppliedRates(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000),
            ),
        ],
        duration_ms=30,
        first_token_ms=7,
        epoch="e1",
    )


def test_each_attempt_is_priced_at_the_tier_that_served_it_and_their_tokens_are_added() -> None:
    flex = common_pb2.SERVICE_TIER_FLEX
    cheap = Rates.of(input=1_000_000_000, output=4_000_000_000, output_audio=9_000_000_000)
    tariff = Tariff({STANDARD: (Band(-1, RATES),), flex: (Band(-1, cheap),)})
    spoken = common_pb2.TokenUsage(input_tokens=10, output_tokens=3, output_audio_tokens=1, service_tier=flex)
    lost = Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    tried = Attempt(deployment(rates=tariff), 1, provider_status=200, error_reason=lost, usage=REPORTED)
    answered = Attempt(deployment(rates=tariff), 1, provider_status=200, usage=spoken)
    entry = entry_of(request(), outcome(SUCCESS, tried, answered))
    assert entry.cost_nano_usd == REPORTED_COST + 10 * 1_000 + 2 * 4_000 + 1 * 9_000
    assert entry.usage == common_pb2.TokenUsage(
        input_tokens=110,
        output_tokens=23,
        cache_read_tokens=40,
        reasoning_tokens=5,
        output_audio_tokens=1,
        service_tier=flex,
    )
    # Each says what it came to.
    assert [(each.usage, each.cost_nano_usd) for each in entry.attempts] == [
        (REPORTED, REPORTED_COST),
        (spoken, entry.cost_nano_usd - REPORTED_COST),
    ]
    assert [each.rates.output for each in entry.attempts] == [10_000_000_000, 4_000_000_000]


def test_an_attempt_that_nobody_bills_has_no_price() -> None:
    tried = Attempt(deployment("d0"), 5, provider_status=500, error_reason=Reason.ERROR_REASON_PROVIDER_UNAVAILABLE)
    unknown = Attempt(deployment("d1", Rates(), unpriced=True), 25, provider_status=200, usage=REPORTED)
    entry = entry_of(request(), outcome(SUCCESS, tried, unknown))
    assert [(each.billed, each.HasField("rates"), each.HasField("usage")) for each in entry.attempts] == [
        (False, False, False),
        (True, False, False),
    ]


def test_an_interrupted_attempt_says_what_it_is_priced_by_and_why_it_was_made() -> None:
    choice = Choice("gpt", ledger_pb2.ROUTING_STRATEGY_LEAST_BUSY, 2, 1, "d1", under_way=4)
    entry = interrupted_entry(request(), 400, (), deployment(), (choice,))
    (attempt,) = entry.attempts
    assert (attempt.billed, attempt.rates.input) == (True, RATES.input)
    assert list(entry.choices) == [
        ledger_pb2.Choice(strategy=ledger_pb2.ROUTING_STRATEGY_LEAST_BUSY, candidates=2, attempt=1, under_way=4)
    ]


def test_an_overrun_is_recorded_as_it_is() -> None:
    attempt = Attempt(deployment(), 1, provider_status=200, usage=REPORTED)
    assert entry_of(request(held=REPORTED_COST - 1), outcome(SUCCESS, attempt)).cost_nano_usd == REPORTED_COST


@pytest.mark.parametrize(
    ("stream", "reason", "content_bytes", "output_tokens"),
    [
        # An answer without usage, and streams that were left: what was generated.
        (False, Reason.ERROR_REASON_UNSPECIFIED, 81, 21),
        (True, Reason.ERROR_REASON_UNSPECIFIED, 80, 20),
        (True, Reason.ERROR_REASON_CANCELLED, 80, 20),
        (True, Reason.ERROR_REASON_CANCELLED, 0, 0),
        (True, Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE, 80, 20),
        # Unary answers that had come, and that never came.
        (False, Reason.ERROR_REASON_CANCELLED, 80, 20),
        (False, Reason.ERROR_REASON_CANCELLED, 0, 256),
        (False, Reason.ERROR_REASON_PROVIDER_TIMEOUT, 0, 256),
        (False, Reason.ERROR_REASON_DEADLINE_EXCEEDED, 0, 256),
    ],
)
def test_what_is_not_reported_is_estimated_and_marked(stream, reason, content_bytes, output_tokens) -> None:
    attempt = Attempt(deployment(), 1, error_reason=reason, content_bytes=content_bytes)
    entry = entry_of(request(stream=stream), outcome(CANCELLED if reason else SUCCESS, attempt, body_bytes=401))
    assert entry.usage == common_pb2.TokenUsage(input_tokens=101, output_tokens=output_tokens)
    assert entry.cost_nano_usd == 101 * 2_500 + output_tokens * 10_000
    assert entry.estimated


def test_input_is_never_estimated_above_the_edges_bound() -> None:
    """A body of images has many more bytes than tokens."""
    attempt = Attempt(deployment(), 1, content_bytes=4)
    entry = entry_of(request(bound=30), outcome(SUCCESS, attempt, body_bytes=1_000_000))
    assert entry.usage.input_tokens == 30


@pytest.mark.parametrize(
    "attempt",
    [
        Attempt(deployment(unpriced=True), 1, 500, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        Attempt(deployment(unpriced=True), 1, 0, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        Attempt(deployment(unpriced=True), 1, 200, Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
        Attempt(deployment(rates=Rates(request=7)), 1, 429, Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
    ],
)
def test_an_attempt_that_the_provider_refused_costs_nothing(attempt) -> None:
    entry = entry_of(request(), outcome(FAILURE, attempt))
    assert (entry.cost_nano_usd, entry.estimated, entry.unpriced) == (0, False, False)
    assert not entry.HasField("usage")


def test_a_dispatch_that_reached_no_provider_has_no_deployment_and_costs_nothing() -> None:
    entry = entry_of(request(held=5), outcome(FAILURE))
    assert (entry.deployment_id, entry.provider, entry.cost_nano_usd) == ("", "", 0)
    assert entry.error_reason == Reason.ERROR_REASON_INVALID_REQUEST
    assert entry.epoch == "e1"


def test_an_attempt_that_a_fallback_made_good_is_billed_too() -> None:
    """Each at its own price; what was reported is marked as estimated when a part of the whole is."""
    lost = Attempt(deployment("d0", Rates(input=10**9, output=10**9)), 1, 0, Reason.ERROR_REASON_PROVIDER_TIMEOUT)
    answered = Attempt(deployment("d1"), 1, 200, usage=REPORTED)
    entry = entry_of(request(), outcome(SUCCESS, lost, answered, body_bytes=400))
    assert entry.cost_nano_usd == (100 + 256) * 1_000 + REPORTED_COST
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (200, 276)
    assert (entry.usage.cache_read_tokens, entry.usage.reasoning_tokens) == (40, 5)
    assert entry.estimated


def test_without_a_price_the_entry_says_so() -> None:
    attempt = Attempt(deployment(rates=Rates(), unpriced=True), 1, 200, usage=REPORTED)
    entry = entry_of(request(), outcome(SUCCESS, attempt))
    assert entry.unpriced
    assert (entry.cost_nano_usd, entry.usage) == (0, REPORTED)


def test_a_call_in_flight_is_estimated_for_the_case_that_the_process_is_lost() -> None:
    tried = Attempt(deployment("d0"), 5, provider_status=500, error_reason=Reason.ERROR_REASON_PROVIDER_UNAVAILABLE)
    entry = interrupted_entry(request(stream=True), 400, [tried], deployment("d1"))
    assert entry.status == ledger_pb2.ENTRY_STATUS_INTERRUPTED
    assert [attempt.deployment_id for attempt in entry.attempts] == ["d0", "d1"]
    assert entry.deployment_id == "d1"
    assert entry.usage == common_pb2.TokenUsage(input_tokens=100, output_tokens=256)
    assert entry.cost_nano_usd == 100 * 2_500 + 256 * 10_000
    assert entry.estimated


def test_a_call_in_flight_is_not_estimated_above_its_output_limit() -> None:
    assert interrupted_entry(request(held=10**12, limit=16), 400, [], deployment()).usage.output_tokens == 16
    assert interrupted_entry(request(held=10**12, limit=5_000), 400, [], deployment()).usage.output_tokens == 256


attempts = st.builds(
    Attempt,
    deployment=st.builds(
        deployment,
        st.sampled_from(["d0", "d1"]),
        st.builds(Rates, input=st.integers(0, 10**11), output=st.integers(0, 10**11), request=st.integers(0, 10**6)),
    ),
    latency_ms=st.just(1),
    error_reason=st.sampled_from(Reason.values()),
    usage=st.none()
    | st.builds(common_pb2.TokenUsage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6)),
    content_bytes=st.integers(0, 10**5),
)


@given(
    st.lists(attempts, max_size=4),
    st.integers(1, 10**12),
    st.integers(0, 10**5),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_only_what_was_reported_exceeds_a_hold(given_attempts, held, bound, body_bytes, stream) -> None:
    call = request(held=held, bound=bound, stream=stream)
    entry = entry_of(call, outcome(CANCELLED, *given_attempts, body_bytes=body_bytes))
    reported = sum(
        attempt.deployment.rates.cost(attempt.usage) for attempt in given_attempts if attempt.usage is not None
    )
    assert reported <= entry.cost_nano_usd <= max(reported, held)
    if not entry.estimated:
        assert entry.cost_nano_usd == reported
    for lost in [deployment(), *(attempt.deployment for attempt in given_attempts)]:
        interrupted = interrupted_entry(call, body_bytes, given_attempts, lost)
        assert interrupted.cost_nano_usd >= reported
        assert interrupted.cost_nano_usd <= max(reported, held)


class FullOutbox:
    """Has no room, as after an hour without a ledger."""

    def opened(self, entry: ledger_pb2.Entry) -> int:
        raise unavailable("full")

    def append(self, entry: ledger_pb2.Entry) -> int:
        raise unavailable("full")

    async def committed(self, sequence: int) -> None:
        assert sequence == 0


async def test_a_full_outbox_stops_a_call_before_its_provider_and_is_no_error_after() -> None:
    registry = CollectorRegistry()
    accounting = Accounting(FullOutbox(), CallMetrics(registry), structlog.get_logger())
    with pytest.raises(GatewayError, match="full"):
        accounting.opened(request(), 400, [], deployment())
    accounting.append(accounting.entry(request(), outcome(FAILURE)))
    await accounting.commit(accounting.entry(request(), outcome(FAILURE)))
    assert registry.get_sample_value("tollhouse_entries_refused_total") == 2


async def test_a_call_that_took_longer_than_is_usual_is_told_of_once_its_entry_is_safe() -> None:
    log, told = Log([]), list[int]()

    def slow(entry: ledger_pb2.Entry) -> None:
        told.append(entry.duration_ms)
        assert log.entries[-1] is entry

    accounting = Accounting(log, CallMetrics(CollectorRegistry()), structlog.get_logger(), slow_ms=100, slow=slow)
    for duration_ms in (100, 101, 5000):
        await accounting.commit(entry_of(request(), Outcome(FAILURE, (), 400, duration_ms)))
    assert told == [101, 5000]
    assert len(log.entries) == 3
    for quiet in ({}, {"slow_ms": None, "slow": slow}):
        Accounting(log, CallMetrics(CollectorRegistry()), structlog.get_logger(), **quiet).append(log.entries[-1])  # type: ignore[arg-type]
    assert told == [101, 5000]


def test_calls_are_counted_by_group_and_a_name_that_a_caller_made_up_is_no_label() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    attempt = Attempt(deployment(), 1, 200, usage=REPORTED)
    for _ in range(2):
        metrics.count(entry_of(request(), outcome(SUCCESS, attempt)))
    metrics.count(entry_of(request(), outcome(FAILURE)))
    unpriced = Attempt(deployment(rates=Rates(), unpriced=True), 1, 200, usage=REPORTED)
    metrics.count(entry_of(request(), outcome(SUCCESS, unpriced)))
    value = registry.get_sample_value
    assert value("tollhouse_calls_total", {"status": "success", "group": "gpt"}) == 3
    assert value("tollhouse_calls_total", {"status": "failure", "group": ""}) == 1
    assert value("tollhouse_calls_total", {"status": "failure", "group": "gpt"}) is None
    assert value("tollhouse_tokens_total", {"direction": "input", "group": "gpt"}) == 300
    assert value("tollhouse_tokens_total", {"direction": "output", "group": "gpt"}) == 60
    assert value("tollhouse_cost_nano_usd_total", {"group": "gpt"}) == 2 * REPORTED_COST
    assert value("tollhouse_unpriced_calls_total", {"group": "gpt"}) == 1
    assert value("tollhouse_call_seconds_count", {"group": "gpt"}) == 3


def test_durations_are_counted_up_to_each_bound_and_a_bound_belongs_to_its_bucket() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    attempt = Attempt(deployment(), 1, 200, usage=REPORTED)
    for duration_ms in (50, 51, 600_001):
        metrics.count(entry_of(request(), Outcome(SUCCESS, (attempt,), 400, duration_ms)))
    value = registry.get_sample_value
    bounds = ("0.05", "0.1", "600.0", "+Inf")
    assert [value("tollhouse_call_seconds_bucket", {"group": "gpt", "le": le}) for le in bounds] == [1, 2, 2, 3]
    assert value("tollhouse_call_seconds_count", {"group": "gpt"}) == 3
    assert value("tollhouse_call_seconds_sum", {"group": "gpt"}) == 600.102


def test_a_stream_that_was_cut_is_billed_as_it_was_counted_and_no_more_than_is_held_in_the_end() -> None:
    attempt = Attempt(deployment(), 1, 200, content_bytes=4, counted_tokens=50)
    call = request(held=10_000, bound=10**6, stream=True)
    cut = Outcome(SUCCESS, [attempt], 400, duration_ms=1, held_nano_usd=10**9)
    entry = entry_of(call, cut)
    assert entry.estimated
    assert entry.usage.output_tokens == 50
    assert entry.held_nano_usd == 10**9
    assert entry.cost_nano_usd == 100 * 2_500 + 50 * 10_000
    assert entry_of(call, msgspec.structs.replace(cut, held_nano_usd=700)).cost_nano_usd == 700
    assert entry_of(call, msgspec.structs.replace(cut, held_nano_usd=None)).cost_nano_usd == 10_000


def test_a_stream_that_was_cut_before_its_first_words_is_billed_for_none_of_them() -> None:
    call = request(held=10**9, stream=True)
    for attempt, used in (
        (Attempt(deployment(), 1, 200, content_bytes=4_000, counted_tokens=0), 0),
        (Attempt(deployment(), 1, 200, content_bytes=4_000), 1_000),
    ):
        entry = entry_of(call, outcome(SUCCESS, attempt))
        assert (entry.usage.output_tokens, entry.estimated) == (used, True)
    told = common_pb2.TokenUsage(input_tokens=7)
    entry = entry_of(
        request(held=10, stream=True), outcome(SUCCESS, Attempt(deployment(), 1, 200, usage=told, counted_tokens=0))
    )
    assert (entry.cost_nano_usd, entry.estimated) == (10, True)


def test_a_stream_that_was_cut_after_its_usage_had_come_is_billed_for_that_as_the_cut_has_left_it() -> None:
    attempt = Attempt(deployment(), 1, 200, usage=REPORTED, counted_tokens=50)
    for held, cost in ((10**9, REPORTED_COST), (10, 10)):
        entry = entry_of(request(held=held, stream=True), outcome(SUCCESS, attempt))
        assert (entry.usage, entry.cost_nano_usd, entry.estimated) == (REPORTED, cost, True)


def test_searches_are_billed_as_often_as_they_were_made() -> None:
    rates = Rates(input=1_000_000, request=50)
    for requests, cost in ((0, 60), (1, 60), (3, 160)):
        usage = common_pb2.TokenUsage(input_tokens=10, requests=requests)
        attempt = Attempt(deployment(rates=rates), latency_ms=1, provider_status=200, usage=usage)
        assert entry_of(request(), outcome(SUCCESS, attempt)).cost_nano_usd == cost
    lost = Attempt(deployment(rates=rates), 1, provider_status=200, usage=usage)
    both = entry_of(request(), outcome(SUCCESS, lost, attempt))
    assert (both.usage.requests, both.cost_nano_usd) == (6, 320)


@pytest.mark.parametrize("operation", [common_pb2.OPERATION_EMBEDDINGS, common_pb2.OPERATION_RERANK])
def test_an_operation_that_only_reads_is_estimated_without_output(operation: common_pb2.Operation) -> None:
    asked = request()
    asked.operation = operation
    late = Attempt(deployment(), latency_ms=1, error_reason=Reason.ERROR_REASON_PROVIDER_TIMEOUT)
    for entry in (entry_of(asked, outcome(FAILURE, late)), interrupted_entry(asked, 400, (), deployment())):
        assert entry.usage == common_pb2.TokenUsage(input_tokens=100)
        assert (entry.cost_nano_usd, entry.estimated) == (100 * 2_500, True)


def test_an_entry_says_that_the_dispatch_counts_under_limits_also_when_nothing_is_held() -> None:
    limited = request()
    limited.hold.limited = True
    attempt = Attempt(deployment(), latency_ms=25, provider_status=200, usage=REPORTED)
    entry = entry_of(limited, outcome(SUCCESS, attempt))
    assert (entry.limited, entry.epoch, entry.cost_nano_usd) == (True, "", REPORTED_COST)
    assert interrupted_entry(limited, 400, [], deployment()).limited
    assert not entry_of(request(), outcome(SUCCESS, attempt)).limited
