"""What routing knew when it looked for a deployment, for the receipt of the call. Pure.

It is on the path of every call, so it keeps what is there anyway, and is put into words when somebody reads it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from gateway.v1 import ledger_pb2

from router.catalog import Deployment
from services.errors import Reason

# More tell a reader nothing new.
MAX_SKIPS = 16
MAX_CHOICES = 64

COOLDOWN = ledger_pb2.SKIP_REASON_COOLDOWN
TRIED = ledger_pb2.SKIP_REASON_TRIED
NOT_OFFERED = ledger_pb2.SKIP_REASON_NOT_OFFERED
NOT_AFFORDABLE = ledger_pb2.SKIP_REASON_NOT_AFFORDABLE

_NO_REASON = Reason.ERROR_REASON_UNSPECIFIED


class Skip(NamedTuple):
    """A deployment that could not be chosen. rests_ms: how long it still rests."""

    deployment_id: str
    reason: ledger_pb2.SkipReason
    rests_ms: int = 0


class Choice(msgspec.Struct, gc=False):
    """One look for a deployment in a group of so many. deployment_id: the one that was chosen; empty: there was none.

    attempt: the number of the attempt that it was for, from 1. error_reason: why that was not even begun. under_way:
    calls at the chosen one, where that decided.
    """

    group: str
    strategy: ledger_pb2.RoutingStrategy
    candidates: int
    attempt: int
    deployment_id: str = ""
    skips: Sequence[Skip] = ()
    under_way: int = 0
    error_reason: Reason = _NO_REASON


def skips_of(
    group: Sequence[Deployment],
    offering: Sequence[Deployment],
    affordable: Sequence[Deployment],
    resting_seconds: Mapping[str, float],
    tried: Collection[str],
) -> Sequence[Skip]:
    """Who of a group cannot be chosen, and why; the first MAX_SKIPS. Of the group some offer the operation, and of
    these some are affordable."""
    able, paid = {each.id for each in offering}, {each.id for each in affordable}

    def skip(each: Deployment) -> Skip | None:
        if each.id not in able:
            return Skip(each.id, NOT_OFFERED)
        if each.id not in paid:
            return Skip(each.id, NOT_AFFORDABLE)
        if each.id in tried:
            return Skip(each.id, TRIED)
        rests = resting_seconds.get(each.id)
        return None if rests is None else Skip(each.id, COOLDOWN, int(rests * 1000))

    return tuple(islice(filter(None, map(skip, group)), MAX_SKIPS))


def write(choices: Sequence[Choice], asked_for: str, entry: ledger_pb2.Entry) -> None:
    """Put choices into an entry, whose attempts are there, of a call for the group `asked_for`; MAX_CHOICES at most."""
    attempts = len(entry.attempts)
    for choice in choices[:MAX_CHOICES]:
        begun = choice.attempt <= attempts and choice.deployment_id and not choice.error_reason
        if begun and choice.group == asked_for and not (choice.skips or choice.under_way):
            # Almost always, and there are few of them.
            entry.choices.append(_open(choice.strategy, choice.candidates, choice.attempt))
        else:
            _write_one(choice, asked_for, choice.attempt if begun else 0, entry.choices.add())


@functools.lru_cache(maxsize=1024)
def _open(strategy: ledger_pb2.RoutingStrategy, candidates: int, attempt: int) -> ledger_pb2.Choice:
    """A choice among all of the group that was asked for. Copied, never changed."""
    return ledger_pb2.Choice(strategy=strategy, candidates=candidates, attempt=attempt)


def _write_one(choice: Choice, asked_for: str, attempt: int, kept: ledger_pb2.Choice) -> None:
    kept.strategy, kept.candidates, kept.under_way = choice.strategy, choice.candidates, choice.under_way
    if choice.group != asked_for:
        kept.model_group = choice.group
    if attempt:
        kept.attempt = attempt
    else:
        kept.deployment_id, kept.error_reason = choice.deployment_id, choice.error_reason
    for skip in choice.skips:
        kept.skipped.add(deployment_id=skip.deployment_id, reason=skip.reason, rests_ms=skip.rests_ms)
