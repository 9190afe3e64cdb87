"""When the present period of a budget ends. Pure: the time is given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from keystore.policy.owners import Directory, Key, Kind, Owner
from keystore.policy.terms import Terms, filled
from services import durations


def key_reset_ms(key: Key, directory: Directory, now_ms: int, zone: tzinfo) -> int:
    """Of a key's budget, or of the one that it refers to; 0: it has none, or one for all time."""
    return _reset_ms(filled(key.terms, _with_budget(key.terms, directory)), now_ms, zone)


def owner_reset_ms(owner: Owner, directory: Directory, now_ms: int, zone: tzinfo) -> int:
    """The same of an owner; a member of a team may have the budget of all its members."""
    others = list(_with_budget(owner.terms, directory))
    team = directory.owner(Kind.TEAM, owner.team_id) if owner.kind is Kind.TEAM_MEMBER else None
    if team is not None and team.member_terms is not None:
        others += [team.member_terms, *_with_budget(team.member_terms, directory)]
    return _reset_ms(filled(owner.terms, others), now_ms, zone)


def _with_budget(terms: Terms, directory: Directory) -> Iterator[Terms]:
    budget = directory.owner(Kind.BUDGET, terms.budget_id) if terms.budget_id else None
    if budget is not None:
        yield budget.terms


def _reset_ms(terms: Terms, now_ms: int, zone: tzinfo) -> int:
    if terms.max_budget_nano_usd is None or not terms.budget_duration:
        return 0
    return durations.period_at(durations.parse(terms.budget_duration), now_ms, zone).end_ms
