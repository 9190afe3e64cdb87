"""What routing knew when it chose, as entries keep it."""

from __future__ import annotations

from gateway.v1 import ledger_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.catalog import Deployment
from router.routing.choice import MAX_CHOICES, MAX_SKIPS, Choice, Skip, skips_of, write
from services.errors import Reason

SHUFFLE = ledger_pb2.ROUTING_STRATEGY_SIMPLE_SHUFFLE
NAMES = [f"d{number}" for number in range(2 * MAX_SKIPS)]


def group_of(*names: str) -> list[Deployment]:
    return [Deployment(name, "gpt", "openai", "gpt-4o", "https://api.example") for name in names]


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.data())
def test_whoever_could_not_be_chosen_is_named_once_with_the_first_reason(unable, dear, tried, data) -> None:
    resting = dict.fromkeys(data.draw(st.sets(st.sampled_from(NAMES))), 1.5)
    offering = group_of(*(name for name in NAMES if name not in unable))
    affordable = [each for each in offering if each.id not in dear]
    skips = skips_of(group_of(*NAMES), offering, affordable, resting, tried)
    out = [name for name in NAMES if name in unable | dear | tried | resting.keys()]
    assert [skip.deployment_id for skip in skips] == out[:MAX_SKIPS]
    for name, reason, rests_ms in skips:
        expected = (
            ledger_pb2.SKIP_REASON_NOT_OFFERED
            if name in unable
            else ledger_pb2.SKIP_REASON_NOT_AFFORDABLE
            if name in dear
            else ledger_pb2.SKIP_REASON_TRIED
            if name in tried
            else ledger_pb2.SKIP_REASON_COOLDOWN
        )
        assert reason == expected
        assert rests_ms == (1500 if reason == ledger_pb2.SKIP_REASON_COOLDOWN else 0)


def entry_with(attempts: int) -> ledger_pb2.Entry:
    return ledger_pb2.Entry(attempts=[ledger_pb2.Attempt() for _ in range(attempts)])


def test_a_choice_leads_to_its_attempt() -> None:
    entry = entry_with(1)
    write([Choice("gpt", SHUFFLE, 3, 1, "d1")], "gpt", entry)
    assert list(entry.choices) == [ledger_pb2.Choice(strategy=SHUFFLE, candidates=3, attempt=1)]


def test_what_came_to_no_attempt_says_why_and_what_follows_has_the_number() -> None:
    entry = entry_with(1)
    rests = Skip("d2", ledger_pb2.SKIP_REASON_COOLDOWN, 250)
    choices = [
        Choice("gpt", SHUFFLE, 2, 1, "d1", error_reason=Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        Choice("gpt", SHUFFLE, 2, 1, skips=(Skip("d1", ledger_pb2.SKIP_REASON_TRIED), rests)),
        Choice("other", SHUFFLE, 1, 1, "d9"),
        # Cancelled, before it began.
        Choice("other", SHUFFLE, 1, 2, "d9"),
    ]
    write(choices, "gpt", entry)
    assert [(each.model_group, each.attempt, each.deployment_id) for each in entry.choices] == [
        ("", 0, "d1"),
        ("", 0, ""),
        ("other", 1, ""),
        ("other", 0, "d9"),
    ]
    assert entry.choices[0].error_reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert entry.choices[1].skipped[1] == ledger_pb2.Skip(
        deployment_id="d2", reason=ledger_pb2.SKIP_REASON_COOLDOWN, rests_ms=250
    )


def test_choices_are_bounded_and_one_that_is_shared_is_not_changed() -> None:
    entry = entry_with(1)
    write([Choice("gpt", SHUFFLE, 3, 1, "d1")] * (MAX_CHOICES + 1), "gpt", entry)
    assert len(entry.choices) == MAX_CHOICES
    entry.choices[0].attempt = 7
    again = entry_with(1)
    write([Choice("gpt", SHUFFLE, 3, 1, "d1")], "gpt", again)
    assert again.choices[0].attempt == 1
