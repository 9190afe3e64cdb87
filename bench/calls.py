"""A month of calls that nobody made: the ledger's bench loads them. Pure, and the same for the same start.

Several hundred keys of a hundred users call a handful of models, some of them much more than others; so an hour has one
or two hundred rows of sums, and a month about a hundred thousand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from gateway.v1 import common_pb2, errors_pb2, ledger_pb2

from services.ids import lowest_at

DAYS = 30
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_KEYS, _USERS, _TEAMS, _ORGANIZATIONS, _END_USERS, _TAGS = 400, 100, 20, 5, 150, 30
# Provider, its model, the group that callers ask for.
_MODELS = (
    ("openai", "gpt-4o", "gpt-4o"),
    ("openai", "gpt-4o-mini", "small"),
    ("azure", "gpt-4o", "gpt-4o"),
    ("anthropic", "claude-3-5-sonnet", "claude"),
    ("gemini", "gemini-2.0-flash", "small"),
    ("vllm", "mistral-7b", "local"),
)
_CALLERS = 600
# One call in so many fails.
_FAILURES = 40
_RETRIES = 20


@dataclass(frozen=True, slots=True)
class Names:
    """Names that entries have, to ask for."""

    keys = tuple(f"{number:064x}" for number in range(_KEYS))
    users = tuple(f"user-{number}" for number in range(_USERS))
    teams = tuple(f"team-{number}" for number in range(_TEAMS))
    organizations = tuple(f"organization-{number}" for number in range(_ORGANIZATIONS))
    end_users = tuple(f"customer-{number}" for number in range(_END_USERS))
    tags = tuple(f"tag-{number}" for number in range(_TAGS))
    groups = tuple(sorted({group for _, _, group in _MODELS}))


@dataclass(frozen=True, slots=True)
class Month:
    """Calls evenly over DAYS days from `start_ms`, a midnight in UTC."""

    start_ms: int
    calls: int

    @property
    def end_ms(self) -> int:
        """When it is over."""
        return self.start_ms + DAYS * DAY_MS

    def entries(self) -> Iterator[ledger_pb2.Entry]:
        """The entries, in the order of their ids."""
        dice = random.Random(self.calls)
        callers = [_caller(number, dice) for number in range(_CALLERS)]
        weights = list(accumulate(1 / (number + 1) for number in range(_CALLERS)))
        for number in range(self.calls):
            (caller,) = dice.choices(callers, cum_weights=weights)
            at_ms = self.start_ms + number * DAYS * DAY_MS // self.calls
            yield _entry(caller, at_ms, number, dice)


def _caller(number: int, dice: random.Random) -> ledger_pb2.Entry:
    """What all calls of one key, with one model, for one customer have in common."""
    key = number % _KEYS
    user = key % _USERS
    provider, model, group = _MODELS[number % len(_MODELS)]
    return ledger_pb2.Entry(
        principal=common_pb2.Principal(
            key_id=Names.keys[key],
            user_id=Names.users[user],
            team_id=Names.teams[user % _TEAMS],
            organization_id=Names.organizations[user % _ORGANIZATIONS],
            end_user_id=dice.choice(Names.end_users),
            tags=dice.sample(Names.tags, number % 3),
        ),
        operation=common_pb2.OPERATION_CHAT_COMPLETIONS,
        model_group=group,
        deployment_id=f"deployment-{number % len(_MODELS)}",
        provider=provider,
        provider_model=model,
        streamed=number % 2 == 0,
        epoch="epoch-of-the-bench",
    )


def _entry(caller: ledger_pb2.Entry, at_ms: int, number: int, dice: random.Random) -> ledger_pb2.Entry:
    entry = ledger_pb2.Entry()
    entry.CopyFrom(caller)
    # A UUIDv7, of which the end is this call's number.
    entry.dispatch_id = lowest_at(at_ms)[:6] + b"\x70\x00\x80\x00" + number.to_bytes(6, "big")
    entry.call_id = f"chatcmpl-{number}"
    entry.duration_ms = dice.randrange(200, 20_000)
    if number % _RETRIES == 0:
        reason = errors_pb2.ERROR_REASON_PROVIDER_UNAVAILABLE
        entry.attempts.add(deployment_id="deployment-0", provider_status=503, error_reason=reason, latency_ms=90)
    if number % _FAILURES == 0:
        entry.status = ledger_pb2.ENTRY_STATUS_FAILURE
        entry.error_reason = errors_pb2.ERROR_REASON_PROVIDER_UNAVAILABLE
        return entry
    entry.attempts.add(deployment_id=caller.deployment_id, provider_status=200, latency_ms=entry.duration_ms)
    entry.status = ledger_pb2.ENTRY_STATUS_SUCCESS
    entry.first_token_ms = 150
    entry.usage.input_tokens = dice.randrange(20, 8_000)
    entry.usage.cache_read_tokens = entry.usage.input_tokens // 4
    entry.usage.output_tokens = dice.randrange(5, 2_000)
    entry.cost_nano_usd = entry.usage.input_tokens * 2_500 + entry.usage.output_tokens * 10_000
    entry.held_nano_usd = entry.cost_nano_usd * 3
    return entry
