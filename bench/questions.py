"""What people and keystores ask of the ledger, and how long it takes to answer.

Over HTTP as people ask, by RPC as keystores do. An answer that is not right makes the run void.
"""

from __future__ import annotations

import random
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
from gateway.v1 import ledger_pb2

from bench.calls import DAY_MS, HOUR_MS, Month, Names
from bench.gateway import Gateway
from bench.measure import cpu_seconds
from bench.processes import get
from services.ids import lowest_at
from services.methods import SUM_SPEND
from services.rpc import GrpcChannel

_RPC_SECONDS = 30.0
_HELD_TO_ENTRIES = 2
# A slow answer is a finding, not a failure.
_HTTP_SECONDS = 120.0

# Answers of 1,000 rows at most: more than there are names of any kind.
_ALL = {"limit": "1000"}
_MONTH = {"start_date": "{start}", "end_date": "{end}"}
_WEEK = {"start_date": "{week}", "end_date": "{end}"}


def _spends(member: str, within: str = "") -> Callable[[Any], float]:
    return lambda answer: sum(row[member] for row in (answer[within] if within else answer))


def _total(answer: Any) -> float:
    return float(answer["metadata"]["total_spend"])


@dataclass(frozen=True, slots=True)
class Question:
    """A path and its query, in which {names} are filled in; `spend` reads what its rows come to, if that is all."""

    path: str
    query: Mapping[str, str]
    spend: Callable[[Any], float] | None = None

    @property
    def is_of_ever(self) -> bool:
        """Whether it has no dates, and so is about more than the month."""
        return "start_date" not in self.query


PATHS = (
    Question("/global/spend", {}, lambda answer: answer["spend"]),
    Question("/global/spend", _MONTH, lambda answer: answer["spend"]),
    Question("/global/spend", _WEEK),
    Question("/global/spend/users", _ALL, _spends("total_spend")),
    Question("/global/spend/models", _ALL, _spends("total_spend")),
    Question("/global/spend/keys", {"limit": "100"}),
    Question("/global/spend/teams", _MONTH),
    Question("/global/spend/tags", _ALL),
    Question("/global/spend/provider", _MONTH, _spends("spend")),
    Question("/global/spend/end_users", _ALL, _spends("total_spend")),
    Question("/global/spend/report", _WEEK | {"group_by": "team"}),
    Question("/global/spend/logs", {}),
    Question("/global/activity", _MONTH),
    Question("/global/activity/model", _MONTH),
    Question("/spend/users", _ALL, _spends("spend")),
    Question("/spend/users", {"user_id": "{user}"}),
    Question("/spend/keys", {"limit": "100"}),
    Question("/spend/tags", _ALL),
    Question("/user/daily/activity", _MONTH, _total),
    Question("/user/daily/activity", _MONTH | {"user_id": "{user}"}),
    Question("/team/daily/activity", _WEEK),
    Question("/tag/daily/activity", _WEEK),
    Question("/spend/logs", {}),
    Question("/spend/logs", {"user_id": "{user}"}),
    Question("/spend/logs", {"api_key": "{key}"}),
    Question("/spend/logs", {"request_id": "{call}"}),
    Question("/spend/logs", _WEEK),
    Question("/spend/logs", _WEEK | {"summarize": "false"}),
    Question("/spend/logs/v2", _MONTH | {"page": "1"}),
    Question("/spend/logs/v2", _MONTH | {"page": "200"}),
    Question("/spend/logs/v2", _MONTH | {"team_id": "{team}"}),
    Question("/spend/logs/v2", _MONTH | {"organization_id": "{organization}"}),
    Question("/spend/logs/v2", _MONTH | {"end_user": "{end_user}"}),
    Question("/spend/logs/v2", _MONTH | {"model_group": "{group}"}),
    Question("/spend/logs/v2", _MONTH | {"tags": "{tag}"}),
    Question("/spend/logs/v2", _MONTH | {"provider": "azure"}),
    Question("/spend/logs/v2", _MONTH | {"status_filter": "failure"}),
    Question("/spend/logs/v2", _MONTH | {"status_filter": "failure", "end_user": "{end_user}", "page": "2"}),
)

# Of each kind of scope: how its filter is named, its column, and the names to ask for.
SCOPES: Mapping[str, tuple[ledger_pb2.SpendDimension, str, tuple[str, ...]]] = {
    "key": (ledger_pb2.SPEND_DIMENSION_KEY, "key_id = $1", Names.keys),
    "user": (ledger_pb2.SPEND_DIMENSION_USER, "user_id = $1", Names.users),
    "team": (ledger_pb2.SPEND_DIMENSION_TEAM, "team_id = $1", Names.teams),
    "organization": (ledger_pb2.SPEND_DIMENSION_ORGANIZATION, "organization_id = $1", Names.organizations),
    "end user": (ledger_pb2.SPEND_DIMENSION_END_USER, "end_user_id = $1", Names.end_users),
    "model group": (ledger_pb2.SPEND_DIMENSION_MODEL_GROUP, "model_group = $1", Names.groups),
    "tag": (ledger_pb2.SPEND_DIMENSION_TAG, "tags ? $1", Names.tags),
}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one question took, each time, and what was wrong with its answers."""

    name: str
    seconds: list[float]
    cpu_seconds: float
    faults: list[str]

    @property
    def cpu_ms(self) -> float:
        """Of one answer, by all processes together: what other work on the machine does not change."""
        return self.cpu_seconds / len(self.seconds) * 1000

    @property
    def p50_ms(self) -> float:
        """The median."""
        return sorted(self.seconds)[len(self.seconds) // 2] * 1000

    @property
    def p95_ms(self) -> float:
        """Of twenty answers the slowest but one."""
        return sorted(self.seconds)[max(0, -(-len(self.seconds) * 95 // 100) - 1)] * 1000


def ask_path(question: Question, gateway: Gateway, month: Month, spent_usd: float, times: int) -> Timing:
    """One path, as a client with the master key asks it."""
    dice = random.Random(question.path)
    seconds, faults = [], []
    cpu_before = _cpu_seconds(gateway)
    for _ in range(times):
        query = {name: text.format_map(_names(dice, month)) for name, text in question.query.items()}
        url = f"{gateway.base_url}{question.path}?{urllib.parse.urlencode(query)}"
        started = time.perf_counter()
        answer = msgspec.json.decode(get(url, gateway.master_key, timeout_seconds=_HTTP_SECONDS))
        seconds.append(time.perf_counter() - started)
        if not answer:
            faults.append("an empty answer")
        if question.spend and abs(question.spend(answer) - spent_usd) > 1e-6:
            faults.append(f"${question.spend(answer)}, not ${spent_usd}")
    shown = "&".join(f"{name}={text}" for name, text in question.query.items())
    cpu = _cpu_seconds(gateway) - cpu_before
    return Timing(f"{question.path}{'?' + shown if shown else ''}", seconds, cpu, faults)


async def ask_sums(
    scope: str, back_ms: int, gateway: Gateway, sql: asyncpg.Connection, month: Month, times: int
) -> Timing:
    """SumSpend of one kind of scope ("": the gateway), since so long before the month's end; 0: ever."""
    dice = random.Random(scope)
    dimension, condition, every = SCOPES[scope] if scope else (ledger_pb2.SPEND_DIMENSION_UNSPECIFIED, "true", ())
    since = lowest_at(month.end_ms - back_ms) if back_ms else bytes(16)
    channel = GrpcChannel(gateway.addresses["ledger"], gateway.internal_token)
    seconds, answers = [], []
    cpu_before = _cpu_seconds(gateway)
    for _ in range(times):
        names = [dice.choice(every)] if every else []
        filters = [ledger_pb2.SpendFilter(dimension=dimension, values=names)] if names else []
        request = ledger_pb2.SumSpendRequest(since_id=since, filters=filters)
        started = time.perf_counter()
        answer = await channel.call(SUM_SPEND, request, timeout_seconds=_RPC_SECONDS)
        seconds.append(time.perf_counter() - started)
        answers.append((names, answer.cost_nano_usd))
    cpu = _cpu_seconds(gateway) - cpu_before
    await channel.close()
    faults = []
    # From the entries, which takes far longer: of the first answers only.
    for names, found in answers[:_HELD_TO_ENTRIES]:
        true = await sql.fetchval(
            "SELECT coalesce(sum(cost_nano_usd), 0)::bigint FROM ledger.every_entry "
            f"WHERE {condition} AND dispatch_id >= ${len(names) + 1}",
            *names,
            uuid.UUID(bytes=since),
        )
        if true != found:
            faults.append(f"{found} nano-USD of {names}, not {true}")
    when = f" since {back_ms / DAY_MS:.1f} days" if back_ms else ""
    return Timing(f"SumSpend {scope or 'gateway'}{when}", seconds, cpu, faults)


def _cpu_seconds(gateway: Gateway) -> float:
    return sum(cpu_seconds(gateway.roots).values())


# A month's budget, a week's, an hour's: all of them begin in mid-hour.
BACK_MS = (0, 20 * DAY_MS + HOUR_MS // 2, 7 * DAY_MS + HOUR_MS // 2, HOUR_MS // 2)


def _names(dice: random.Random, month: Month) -> Mapping[str, str]:
    number = dice.randrange(month.calls)
    return {
        "start": _day(month.start_ms),
        "end": _day(month.end_ms - 1),
        "week": _day(month.end_ms - 7 * DAY_MS),
        "call": f"chatcmpl-{number}",
        "key": dice.choice(Names.keys),
        "user": dice.choice(Names.users),
        "team": dice.choice(Names.teams),
        "organization": dice.choice(Names.organizations),
        "end_user": dice.choice(Names.end_users),
        "group": dice.choice(Names.groups),
        "tag": dice.choice(Names.tags),
    }


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
