"""The script on a real server and its model in Python: the same answers to any operations, and no cap ever passed."""

from __future__ import annotations

import importlib.resources
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystore.counters import KEYS, decode, encode
from keystore.policy.operations import (
    Admit,
    Balance,
    Budget,
    Exceeded,
    Extend,
    Held,
    Limit,
    Limited,
    Operation,
    Raise,
    Rate,
    Read,
    Renew,
    Result,
    Seed,
    Settle,
    Settled,
    Unknown,
    Use,
)
from keystore.policy.oracle import TOMBSTONE_MS, Oracle
from keystore.policy.scopes import in_period
from services.embedded.valkey import EmbeddedValkey

LEASE_MS = 60_000
START_MS = 1_800_000_000_000
SCOPES = ("gateway", "key:a", "key:b")
# Few ids and scopes, so that operations meet; amounts up to where doubles end.
IDS = tuple(bytes([number]) * 16 for number in range(6))
CAPS = (0, 1, 1_000, 50_000, 9_000_000_000_000_000)

ids = st.sampled_from(IDS)
amounts = st.one_of(st.just(0), st.integers(1, 3_000), st.integers(8_999_999_999_999_000, 9_000_000_000_000_001))
costs = st.integers(0, 5_000)
# Small enough to be reached, with the estimates below; and none.
most = st.one_of(st.none(), st.integers(0, 3))
tokens = st.integers(0, 60)
# Most budgets refuse.
shadows = st.sampled_from([False, False, False, True])


@st.composite
def admissions(draw: st.DrawFn) -> Admit:
    full = draw(amounts)
    smallest = draw(st.integers(min(full, 1), full))
    scopes = draw(st.lists(st.sampled_from(SCOPES), max_size=3, unique=True))
    budgets = tuple(Budget(scope, draw(st.sampled_from(CAPS)), draw(shadows)) for scope in scopes)
    limited = draw(st.lists(st.sampled_from(SCOPES), max_size=2, unique=True))
    limits = tuple(
        Limit(scope, draw(most), draw(st.one_of(st.none(), st.integers(0, 100))), draw(most)) for scope in limited
    )
    return Admit(draw(ids), full, smallest, budgets, limits, draw(tokens) if limits else 0)


@st.composite
def extensions(draw: st.DrawFn) -> Extend:
    wanted = draw(amounts)
    scopes = draw(st.lists(st.sampled_from(SCOPES), max_size=3, unique=True))
    budgets = tuple(Budget(scope, draw(st.sampled_from(CAPS)), draw(shadows)) for scope in scopes)
    return Extend(draw(ids), wanted, draw(st.integers(0, wanted)), budgets)


operations = st.one_of(
    admissions(),
    admissions(),
    extensions(),
    st.builds(Settle, ids, costs, tokens),
    st.builds(Renew, ids),
    st.builds(Seed, st.sampled_from(SCOPES), costs),
    st.builds(Raise, st.sampled_from(SCOPES), costs),
    st.builds(Read, st.sampled_from(SCOPES)),
)
steps = st.lists(
    st.tuples(
        # Of a second; a third of a minute; nearly half a lease; more (leases pause); a lease; a tombstone's life.
        st.sampled_from([0, 1_000, 19_000, 29_999, 30_001, LEASE_MS, TOMBSTONE_MS]),
        st.lists(operations, max_size=6),
        # Scopes that are dropped after that.
        st.lists(st.sampled_from(SCOPES), max_size=1),
    ),
    max_size=25,
)


Step = tuple[int, list[Operation], list[str]]


class Server:
    """The script on a real server, told the time."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        text = importlib.resources.files("keystore").joinpath("lua", "admission.lua").read_text()
        timed = text.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }")
        assert timed != text
        self._script = client.register_script(timed)
        self._forget = client.register_script(
            importlib.resources.files("keystore").joinpath("lua", "forget.lua").read_text()
        )

    def clear(self) -> None:
        self._client.flushall()
        self._client.hset(KEYS[0], mapping={"epoch": "e", "phase": "ready"})

    def decide(self, asked: list[Operation], now_ms: int, epoch: str = "e") -> list[Result] | None:
        arguments = [word for operation in asked for word in encode(operation)]
        clock = (now_ms // 1000, now_ms % 1000 * 1000)
        answer = self._script(keys=KEYS, args=[epoch, LEASE_MS, len(asked), *arguments, *clock])
        if epoch != "e":
            assert len(answer) == 3
            return None
        return [decode(*each) for each in zip(asked, answer[3:], strict=True)]

    def forget(self, scopes: Sequence[str], epoch: str = "e") -> int:
        return int(self._forget(keys=KEYS[:3], args=[epoch, *scopes]))

    def balances(self, now_ms: int, scopes: Sequence[str] = SCOPES) -> dict[str, Balance]:
        results = self.decide([Read(scope) for scope in scopes], now_ms) or []
        return {scope: result for scope, result in zip(scopes, results, strict=True) if isinstance(result, Balance)}

    def live(self) -> dict[str, int]:
        """What the live holds come to, by scope."""
        scopes = self._client.hgetall(KEYS[4])
        sums: dict[str, int] = defaultdict(int)
        for dispatch_id, amount in self._client.hgetall(KEYS[3]).items():
            for scope in filter(None, scopes[dispatch_id].decode().split("\n")):
                sums[scope] += int(amount)
        return sums

    def slots(self) -> tuple[dict[str, int], dict[str, int]]:
        """The calls that go on under limits, by scope: as they are counted, and as they are known one by one."""
        known = dict.fromkeys(SCOPES, 0)
        for record in self._client.hgetall(KEYS[11]).values():
            for scope in record.decode().split("\n")[2:]:
                known[scope] += 1
        counted = {scope.decode(): int(each) for scope, each in self._client.hgetall(KEYS[10]).items()}
        return counted, {scope: each for scope, each in known.items() if each}

    def live_ids(self) -> set[bytes]:
        return set(self._client.hgetall(KEYS[3]))

    def limited_ids(self) -> set[bytes]:
        return set(self._client.hgetall(KEYS[11]))


@pytest.fixture(scope="module")
def server(embedded_valkey: EmbeddedValkey) -> Iterator[Server]:
    with redis.from_url(embedded_valkey.redis_url) as client:
        yield Server(client)
        client.flushall()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_the_script_answers_as_its_model(server: Server, steps: list[Step]) -> None:
    server.clear()
    oracle, now_ms = Oracle(LEASE_MS), START_MS
    for pause_ms, asked, forgotten in steps:
        now_ms += pause_ms
        assert server.decide(asked, now_ms) == oracle.decide(asked, now_ms)
        assert server.forget(forgotten) == oracle.forget(forgotten)
        reads: list[Operation] = [Read(scope) for scope in SCOPES]
        assert server.decide(reads, now_ms) == oracle.decide(reads, now_ms)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_what_is_held_is_the_sum_of_the_live_holds(server: Server, steps: list[Step]) -> None:
    server.clear()
    now_ms = START_MS
    for pause_ms, asked, forgotten in steps:
        now_ms += pause_ms
        server.decide(asked, now_ms)
        server.forget(forgotten)
    live = server.live()
    for scope, balance in server.balances(now_ms).items():
        assert balance.held_nano_usd == live[scope]
    counted, known = server.slots()
    assert counted == known
    assert server.limited_ids() <= server.live_ids()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_cap_is_passed_while_no_cost_exceeds_its_hold(server: Server, data: st.DataObject) -> None:
    """Any admissions, and settlements within their holds, over any time: spent + held never exceeds a cap."""
    server.clear()
    caps = {scope: data.draw(st.sampled_from([0, 10, 1_000, 50_000])) for scope in SCOPES}
    server.decide([Seed(scope, 0) for scope in SCOPES], START_MS)
    now_ms, granted, number = START_MS, {}, 0
    for pause_ms in data.draw(st.lists(st.sampled_from([0, 10, 20_000, LEASE_MS]), max_size=25)):
        now_ms += pause_ms
        if granted and data.draw(st.booleans()):
            _extend_one(server, data, caps, granted, now_ms)
        elif granted and data.draw(st.booleans()):
            dispatch_id = data.draw(st.sampled_from(sorted(granted)))
            held, live = granted.pop(dispatch_id)
            # An expired hold's money may be held by another already: its cost is an overrun, and not of this test.
            if live > now_ms:
                server.decide([Settle(dispatch_id, data.draw(st.integers(0, held)))], now_ms)
        else:
            number += 1
            dispatch_id = number.to_bytes(16, "big")
            full = data.draw(st.integers(0, 2_000))
            budgets = tuple(
                Budget(scope, caps[scope])
                for scope in data.draw(st.lists(st.sampled_from(SCOPES), min_size=1, unique=True))
            )
            asked = Admit(dispatch_id, full, data.draw(st.integers(min(1, full), full)), budgets)
            (result,) = server.decide([asked], now_ms) or [None]
            if hasattr(result, "nano_usd"):
                granted[dispatch_id] = (result.nano_usd, now_ms + LEASE_MS)
        for scope, balance in server.balances(now_ms).items():
            assert balance.spent_nano_usd + balance.held_nano_usd <= caps[scope]
            assert balance.held_nano_usd >= 0


def _extend_one(
    server: Server, data: st.DataObject, caps: dict[str, int], granted: dict[bytes, tuple[int, int]], now_ms: int
) -> None:
    """The hold of some dispatch, under the budgets of all scopes; it never shrinks."""
    dispatch_id = data.draw(st.sampled_from(sorted(granted)))
    wanted = data.draw(st.integers(0, 3_000))
    budgets = tuple(Budget(scope, cap) for scope, cap in caps.items())
    (result,) = server.decide([Extend(dispatch_id, wanted, data.draw(st.integers(0, wanted)), budgets)], now_ms) or [0]
    if isinstance(result, Held):
        held, live = granted[dispatch_id]
        assert held <= result.nano_usd <= max(held, wanted)
        granted[dispatch_id] = (result.nano_usd, live)


def test_a_hold_grows_to_what_all_its_budgets_have_left_or_not_at_all(server: Server) -> None:
    server.clear()
    budgets = (Budget("gateway", 1_000), Budget("key:a", 70))
    server.decide([Seed("gateway", 0), Seed("key:a", 0), Admit(IDS[0], 50, 1, budgets)], START_MS)
    grow = Extend(IDS[0], 100, 60, budgets)
    assert server.decide([grow, grow], START_MS) == [Held(70), Exceeded(budgets[1], 0, 70)]
    # As much as is wanted is held already: asked twice, it is answered twice.
    assert server.decide([Extend(IDS[0], 70, 60, budgets)], START_MS) == [Held(70)]
    assert server.balances(START_MS) == {"gateway": Balance(0, 70), "key:a": Balance(0, 70)}
    assert server.decide([Settle(IDS[0], 65), Extend(IDS[0], 80, 71, budgets)], START_MS) == [Settled.HELD, False]
    assert server.balances(START_MS) == {"gateway": Balance(65, 0), "key:a": Balance(65, 0)}


def test_a_hold_does_not_grow_where_no_cap_is_known(server: Server) -> None:
    server.clear()
    budgets = (Budget("gateway", 1_000), Budget("key:a", 1_000))
    server.decide([Seed("gateway", 0), Seed("key:a", 0), Admit(IDS[0], 50, 1, budgets)], START_MS)
    assert server.decide([Extend(IDS[0], 100, 60, budgets[:1])], START_MS) == [False]
    assert server.balances(START_MS) == {"gateway": Balance(0, 50), "key:a": Balance(0, 50)}


def test_an_expired_hold_does_not_grow(server: Server) -> None:
    dispatch_id, now_ms = _expired(server)
    assert server.decide([Extend(dispatch_id, 20, 11, (Budget("gateway", 100),))], now_ms) == [False]
    assert server.balances(now_ms) == {"gateway": Balance(0, 0)}


def test_nothing_is_done_in_another_epoch(server: Server) -> None:
    server.clear()
    assert server.decide([Seed("gateway", 5)], START_MS, epoch="another") is None
    assert server.decide([Read("gateway")], START_MS) == [Unknown("gateway")]


def _expired(server: Server) -> tuple[bytes, int]:
    """A dispatch whose hold has expired, and when that was."""
    server.clear()
    asked = Admit(IDS[0], 10, 1, (Budget("gateway", 100),))
    server.decide([Seed("gateway", 0), asked], START_MS)
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], START_MS + pause_ms)
    assert server.balances(START_MS + 75_000) == {"gateway": Balance(0, 0)}
    return IDS[0], START_MS + 75_000


def test_a_cost_that_comes_within_seven_days_of_the_expiry_counts_once(server: Server) -> None:
    dispatch_id, now_ms = _expired(server)
    asked: list[Operation] = [Settle(dispatch_id, 7), Settle(dispatch_id, 7)]
    assert server.decide(asked, now_ms + TOMBSTONE_MS - 1) == [Settled.EXPIRED, Settled.DUPLICATE]
    assert server.balances(now_ms + TOMBSTONE_MS) == {"gateway": Balance(7, 0)}


def test_after_seven_days_nothing_is_left_of_a_hold(server: Server) -> None:
    dispatch_id, now_ms = _expired(server)
    assert server.decide([Settle(dispatch_id, 7)], now_ms + TOMBSTONE_MS) == [Settled.DUPLICATE]


def test_an_expired_hold_is_not_revived_but_may_be_placed_anew(server: Server) -> None:
    dispatch_id, now_ms = _expired(server)
    again = Admit(dispatch_id, 10, 1, (Budget("gateway", 100),))
    assert server.decide([Renew(dispatch_id), again], now_ms) == [False, Held(10, spent_nano_usd=0)]
    assert server.decide([Settle(dispatch_id, 7)], now_ms) == [Settled.HELD]
    assert server.balances(now_ms) == {"gateway": Balance(7, 0)}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_limit_is_passed_in_any_minute(server: Server, data: st.DataObject) -> None:
    """Any calls, in any order, over any time: no more begin in a minute and no more go on at once than may, and no more
    tokens come in a minute than may, but for a call that is alone in it."""
    server.clear()
    limit = Limit("key:a", data.draw(st.one_of(st.none(), st.integers(0, 5))), 100, 3)
    now_ms, going, minutes = START_MS, {}, {}
    for number, pause_ms in enumerate(data.draw(st.lists(st.sampled_from([0, 10, 7_000, 31_000]), max_size=40))):
        now_ms += pause_ms
        server.decide([Renew(each) for each in going], now_ms)
        begun, counted = minutes.setdefault(now_ms // 60_000, ([], []))
        if going and data.draw(st.booleans()):
            dispatch_id = data.draw(st.sampled_from(sorted(going)))
            # No more than was estimated, so that the limit is hard.
            estimate, at = going.pop(dispatch_id)
            came_to = data.draw(st.integers(0, estimate))
            server.decide([Settle(dispatch_id, 0, came_to)], now_ms)
            if at == now_ms // 60_000:
                counted.append(came_to - estimate)
            continue
        dispatch_id, estimate = number.to_bytes(16, "big"), data.draw(st.integers(1, 150))
        (result,) = server.decide([Admit(dispatch_id, 0, 0, (), (limit,), estimate)], now_ms) or [None]
        if isinstance(result, Held):
            assert sum(counted) + min(estimate, 100) <= 100
            going[dispatch_id] = (estimate, now_ms // 60_000)
            begun.append(dispatch_id)
            counted.append(estimate)
            assert result.use == Use(len(begun), sum(counted), len(going), 60_000 - now_ms % 60_000)
        else:
            assert isinstance(result, Limited)
            use = result.use
            assert (use.requests, use.tokens, use.parallel) == (len(begun), sum(counted), len(going))
        assert limit.requests is None or len(begun) <= limit.requests
        assert len(going) <= 3


def test_a_call_that_is_larger_than_its_limit_gets_a_minute_of_its_own(server: Server) -> None:
    server.clear()
    limit = Limit("key:a", tokens=100)
    first, second = (Admit(each, 0, 0, (), (limit,), 500) for each in IDS[:2])
    assert server.decide([first], START_MS) == [Held(0, Use(1, 500, 1, 60_000))]
    assert server.decide([second], START_MS + 59_000) == [Limited(limit, Rate.TOKENS, Use(1, 500, 1, 1_000))]
    assert server.decide([second], START_MS + 60_000) == [Held(0, Use(1, 500, 2, 60_000))]


def test_what_a_call_comes_to_takes_the_place_of_its_estimate(server: Server) -> None:
    server.clear()
    limit = Limit("key:a", tokens=100)
    asked = [Admit(each, 0, 0, (), (limit,), 90) for each in IDS]
    server.decide([asked[0], Settle(IDS[0], 0, 10)], START_MS)
    assert server.decide([asked[1]], START_MS) == [Held(0, Use(2, 100, 1, 60_000))]
    # In a later minute only what it is more than estimated counts: the estimate counted in its own.
    ended = [Settle(IDS[1], 0, 140)]
    assert server.decide([*ended, asked[2]], START_MS + 60_000)[1:] == [
        Limited(limit, Rate.TOKENS, Use(0, 50, 0, 60_000))
    ]


def test_a_hold_under_no_budget_that_has_expired_leaves_no_tombstone(server: Server) -> None:
    server.clear()
    limits = (Limit("key:a"),)
    server.decide([Admit(IDS[0], 0, 0, ()), Admit(IDS[1], 0, 0, (), limits, 1)], START_MS)
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], START_MS + pause_ms)
    late: list[Operation] = [Settle(each, 5, 5) for each in IDS[:2]]
    assert server.decide(late, START_MS + 75_000) == [Settled.DUPLICATE, Settled.DUPLICATE]


def test_a_repeated_admission_counts_once(server: Server) -> None:
    server.clear()
    asked = Admit(IDS[0], 0, 0, (), (Limit("key:a", 1, None, 1),), 5)
    held = Held(0, Use(1, 5, 1, 60_000))
    assert server.decide([asked, asked], START_MS) == [held, held]


def test_what_a_limit_refuses_holds_no_money_and_what_a_budget_refuses_counts_under_no_limit(server: Server) -> None:
    server.clear()
    budget, limit = Budget("key:a", 100), Limit("key:a", 1)
    server.decide([Seed("key:a", 0)], START_MS)
    poor = Admit(IDS[0], 200, 200, (budget,), (limit,), 1)
    rich = [Admit(each, 10, 1, (budget,), (limit,), 1) for each in IDS[1:3]]
    assert server.decide([poor, *rich], START_MS) == [
        Exceeded(budget, 0, 0),
        Held(10, Use(1, 1, 1, 60_000), 0),
        Limited(limit, Rate.REQUESTS, Use(1, 1, 1, 60_000)),
    ]
    assert server.balances(START_MS)["key:a"] == Balance(0, 10)


def test_a_call_whose_lease_has_ended_gives_its_slot_back_and_leaves_nothing(server: Server) -> None:
    server.clear()
    limit = Limit("key:a", parallel=1)
    first, second = (Admit(each, 0, 0, (), (limit,), 1) for each in IDS[:2])
    server.decide([first], START_MS)
    for pause_ms in (25_000, 50_000):
        (refused,) = server.decide([second], START_MS + pause_ms) or []
        assert isinstance(refused, Limited)
    assert server.decide([second], START_MS + 75_000) == [Held(0, Use(1, 1, 1, 45_000))]
    assert server.decide([Settle(IDS[0], 5, 5)], START_MS + 75_000) == [Settled.DUPLICATE]
    assert server.live_ids() == {IDS[1]}


def test_a_shadow_budget_counts_and_refuses_nothing(server: Server) -> None:
    server.clear()
    shadow, hard = Budget("gateway", 0, shadow=True), Budget("key:a", 100)
    server.decide([Seed("gateway", 7), Seed("key:a", 0)], START_MS)
    asked = [Admit(each, 60, 10, (shadow, hard)) for each in IDS[:3]]
    assert server.decide(asked, START_MS) == [
        Held(60, None, 7, would_refuse=shadow),
        Held(40, None, 7, would_refuse=shadow),
        # The first that refuses is told, not the one that would.
        Exceeded(hard, 0, 100),
    ]
    assert server.balances(START_MS) == {"gateway": Balance(7, 100), "key:a": Balance(0, 100)}
    assert server.decide([Settle(IDS[0], 60)], START_MS) == [Settled.HELD]
    assert server.balances(START_MS) == {"gateway": Balance(67, 40), "key:a": Balance(60, 40)}


def test_a_shadow_budget_lets_a_hold_grow(server: Server) -> None:
    server.clear()
    shadow = Budget("gateway", 50, shadow=True)
    server.decide([Seed("gateway", 0), Admit(IDS[0], 50, 1, (shadow,))], START_MS)
    assert server.decide([Extend(IDS[0], 5_000, 4_000, (shadow,))], START_MS) == [Held(5_000)]
    assert server.balances(START_MS) == {"gateway": Balance(0, 5_000)}


def test_a_shadow_budget_with_enough_left_would_not_refuse_and_the_first_that_would_is_told(server: Server) -> None:
    server.clear()
    rich, poor, poorer = (
        Budget("gateway", 100, shadow=True),
        Budget("key:a", 9, shadow=True),
        Budget("key:b", 0, shadow=True),
    )
    server.decide([Seed(scope, 0) for scope in SCOPES], START_MS)
    assert server.decide([Admit(IDS[0], 20, 10, (rich,))], START_MS) == [Held(20, None, 0)]
    asked = Admit(IDS[1], 20, 10, (rich, poor, poorer), (Limit("key:a", 5),), 1)
    assert server.decide([asked], START_MS) == [Held(20, Use(1, 1, 1, 60_000), 0, would_refuse=poor)]
    # Asked again, it is answered as what is held already: it is reported once.
    assert server.decide([asked], START_MS) == [Held(20, Use(1, 1, 1, 60_000), 0)]


def test_however_much_is_held_in_a_shadow_the_script_does_its_work_and_other_budgets_hold(server: Server) -> None:
    """A thousand calls of as much as can be held at all: beyond 64 bits a sum would end the script in the middle."""
    server.clear()
    oracle, now_ms = Oracle(LEASE_MS), START_MS
    shadow, hard = Budget("gateway", 5, shadow=True), Budget("key:a", 1_000)
    ids = [number.to_bytes(16, "big") for number in range(1_100)]
    asked: list[Operation] = [Seed("gateway", 0), Seed("key:a", 0)]
    asked += [Admit(each, CAPS[-1] + 1, 1, (shadow,)) for each in ids]
    asked += [Admit(each, 700, 100, (shadow, hard)) for each in (b"a" * 16, b"b" * 16, b"c" * 16)]
    asked += [Settle(each, 2) for each in ids]
    asked += [Read("gateway"), Read("key:a")]
    for at in range(0, len(asked), 128):
        part = asked[at : at + 128]
        assert server.decide(part, now_ms) == oracle.decide(part, now_ms)
    assert server.balances(now_ms)["key:a"] == Balance(0, 1_000)
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], now_ms + pause_ms)
    assert server.balances(now_ms + 75_000)["key:a"] == Balance(0, 0)
    assert server.balances(now_ms + 75_000)["gateway"].held_nano_usd == 0


@pytest.mark.parametrize("cap", CAPS)
def test_the_cap_of_a_shadow_budget_is_the_cap(server: Server, cap: int) -> None:
    server.clear()
    shadow = Budget("gateway", cap, shadow=True)
    fits = [Seed("gateway", 0), Admit(IDS[0], cap, cap, (shadow,)), Settle(IDS[0], 0)]
    assert server.decide(fits, START_MS) == [True, Held(cap, None, 0), Settled.HELD]
    beyond = Admit(IDS[1], cap + 1, cap + 1, (shadow,))
    assert server.decide([beyond], START_MS) == [Held(cap + 1, None, 0, would_refuse=shadow)]


def test_a_scope_in_which_something_is_held_is_not_dropped(server: Server) -> None:
    server.clear()
    server.decide([Seed("gateway", 5), Seed("key:a", 5), Admit(IDS[0], 10, 1, (Budget("gateway", 100),))], START_MS)
    assert server.forget(["gateway", "key:a", "key:b"]) == 1
    assert server.balances(START_MS) == {"gateway": Balance(5, 10)}
    assert server.decide([Settle(IDS[0], 10), Read("gateway")], START_MS) == [Settled.HELD, Balance(15, 0)]
    assert server.forget(["gateway"], epoch="another") == 0
    assert server.forget(["gateway"]) == 1
    assert server.balances(START_MS) == {}


def test_what_comes_late_into_a_dropped_scope_does_not_make_it_known(server: Server) -> None:
    """A hold that has expired, and one of nothing: one cost is not what was spent; what is not known is summed."""
    dispatch_id, now_ms = _expired(server)
    budget = Budget("gateway", 100)
    server.decide([Admit(IDS[1], 0, 0, (budget,))], now_ms)
    assert server.forget(["gateway"]) == 1
    assert server.decide([Extend(IDS[1], 20, 11, (budget,))], now_ms) == [False]
    late: list[Operation] = [Settle(dispatch_id, 7), Settle(IDS[1], 5)]
    assert server.decide(late, now_ms) == [Settled.EXPIRED, Settled.HELD]
    again = Admit(IDS[2], 10, 1, (budget,))
    assert server.decide([Read("gateway"), again], now_ms) == [Unknown("gateway"), Unknown("gateway")]
    assert server.decide([Seed("gateway", 12), again], now_ms) == [True, Held(10, None, 12)]


def test_a_hold_of_nothing_in_a_dropped_scope_expires_like_any(server: Server) -> None:
    server.clear()
    server.decide([Seed("gateway", 0), Admit(IDS[0], 0, 0, (Budget("gateway", 100),))], START_MS)
    server.forget(["gateway"])
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], START_MS + pause_ms)
    assert server.live_ids() == set()
    assert server.balances(START_MS + 75_000) == {}


# Of everybody whom a call may be counted to: his cap, the length of his period in ms (0: all time), whether he watches.
OWNERS = {
    "key:k": (900, 0, False),
    "user:u": (400, 40_000, False),
    "team:t": (2_000, 150_000, False),
    "organization:o": (700, 0, False),
    "tag:x": (60, 40_000, True),
    "gateway": (3_000, 150_000, False),
}
ANY_IDS = tuple(number.to_bytes(16, "big") for number in range(10))


def _budget(owner: str, at_ms: int) -> Budget:
    """As a call that begins at this moment is counted to him."""
    cap, length_ms, shadow = OWNERS[owner]
    start_ms = at_ms // length_ms * length_ms if length_ms else 0
    return Budget(in_period(owner, start_ms, start_ms + length_ms), cap, shadow)


@st.composite
def moves(draw: st.DrawFn) -> Callable[[int], Operation]:
    """Anything that may be asked of a call, of any time: in any order, and again."""
    dispatch_id = draw(st.sampled_from(ANY_IDS))
    kind = draw(st.sampled_from(["admit", "admit", "admit", "extend", "settle", "settle", "renew"]))
    if kind == "settle":
        settle = Settle(dispatch_id, draw(st.integers(0, 150)))
        return lambda _: settle
    if kind == "renew":
        return lambda _: Renew(dispatch_id)
    # A dispatch id may be of a period before that of now, and of one to come: clocks differ.
    lag_ms = draw(st.sampled_from([0, 0, 0, 0, 500, 41_000, 160_000, -500]))
    owners = draw(st.lists(st.sampled_from(sorted(OWNERS)), min_size=1, unique=True))
    full = draw(st.one_of(st.just(0), st.integers(1, 300), st.integers(300, 2_000)))
    smallest = draw(st.integers(0, min(full, 400)))

    def made(now_ms: int) -> Operation:
        if kind == "admit":
            return Admit(dispatch_id, full, smallest, tuple(_budget(owner, now_ms - lag_ms) for owner in owners))
        return Extend(dispatch_id, full, smallest, tuple(_budget(owner, now_ms - lag_ms) for owner in OWNERS))

    return made


class Books:
    """What is true, kept beside the counters: by scope, the costs of all that was settled, and what of them nothing was
    held for any more."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.oracle = Oracle(LEASE_MS)
        self.costs: dict[str, int] = defaultdict(int)
        self.overrun: dict[str, int] = defaultdict(int)
        self.caps: dict[str, int] = {}
        self.scopes: set[str] = set()

    def do(self, asked: Sequence[Operation], now_ms: int) -> None:
        """All in one call of the script; the model does them one by one, and the books go by the model."""
        results = self.server.decide(list(asked), now_ms)
        assert results is not None
        for operation, result in zip(asked, results, strict=True):
            dispatch_id = getattr(operation, "dispatch_id", b"")
            scopes = self.oracle._scopes.get(dispatch_id, ())
            held = self.oracle._amounts.get(dispatch_id, 0)
            assert self.oracle.decide([operation], now_ms) == [result]
            if isinstance(operation, Admit | Extend):
                self.caps |= {each.scope: each.cap_nano_usd for each in operation.budgets if not each.shadow}
                self.scopes.update(budget.scope for budget in operation.budgets)
            if isinstance(operation, Settle) and result is not Settled.DUPLICATE:
                for scope in scopes:
                    self.costs[scope] += operation.cost_nano_usd
                    self.overrun[scope] += max(0, operation.cost_nano_usd - held)

    def learn(self, scopes: Sequence[str], now_ms: int) -> None:
        """What the ledger knows, for scopes of which nothing is known; and for those that are known, nothing new."""
        known = self.server.balances(now_ms, scopes)
        self.do([Raise(scope, self.costs[scope]) for scope in scopes], now_ms)
        assert {scope: known.get(scope) for scope in scopes} == {
            scope: self.server.balances(now_ms, scopes).get(scope) for scope in scopes
        }
        self.do([Seed(scope, self.costs[scope]) for scope in scopes], now_ms)

    def forget(self, scopes: Sequence[str]) -> None:
        assert self.server.forget(scopes) == self.oracle.forget(scopes)

    def check(self, now_ms: int) -> None:
        live = self.server.live()
        for scope, balance in self.server.balances(now_ms, sorted(self.scopes)).items():
            assert balance.held_nano_usd == live[scope] >= 0
            assert balance.spent_nano_usd == self.costs[scope]
            if scope in self.caps:
                within = balance.spent_nano_usd + balance.held_nano_usd - self.overrun[scope]
                assert within <= self.caps[scope]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    rounds=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 10, 7_000, 29_000, 31_000, 61_000]),
            st.lists(moves(), min_size=1, max_size=8),
            st.booleans(),
            st.lists(st.integers(0, 50), max_size=4),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_over_any_budgets_and_periods_no_cap_is_passed_and_in_the_end_what_was_settled_was_spent(
    server: Server, rounds: list[tuple[int, list[Callable[[int], Operation]], bool, list[int]]]
) -> None:
    """Any interleaving: admissions, extensions, settlements and renewals, of any calls, again and in any order; leases
    that end or pause; periods that begin and end; scopes that are seeded, raised and dropped."""
    server.clear()
    books, now_ms = Books(server), START_MS
    for pause_ms, asked, seeds_first, forgotten in rounds:
        now_ms += pause_ms
        operations = [make(now_ms) for make in asked]
        if seeds_first:
            wanted = {budget.scope for each in operations for budget in getattr(each, "budgets", ())}
            books.learn(sorted(wanted), now_ms)
        books.do(operations, now_ms)
        books.check(now_ms)
        known = sorted(books.scopes)
        books.forget(sorted({known[number % len(known)] for number in forgotten} if known else ()))
        books.check(now_ms)
    books.do([Settle(dispatch_id, 3) for dispatch_id in ANY_IDS], now_ms)
    books.learn(sorted(books.scopes), now_ms)
    books.check(now_ms)
    assert server.live_ids() == set()
    assert server.balances(now_ms, sorted(books.scopes)) == {
        scope: Balance(books.costs[scope], 0) for scope in books.scopes
    }
