"""Nobody gives away more than they have: the terms of a new or changed key against those that bound it. Pure.

What is not asked for is as the bound has it, so that a key without limits cannot be made by leaving them out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.v1 import keystore_pb2

from edge.admin.access import CLOSED, allows
from services.allowed_models import Groups, first_beyond
from services.durations import SECONDS, parse
from services.errors import GatewayError, Reason

_COUNTS = ("rpm_limit", "tpm_limit", "max_parallel_requests")
# 30 days are a month, as everywhere.
_MONTH_SECONDS = 30 * 86400
Budgets = Mapping[str, keystore_pb2.Owner]
MessageT = TypeVar("MessageT", keystore_pb2.Key, keystore_pb2.Owner)

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Bound:
    """What bounds a key: another key's terms, as a rule that of the key that asks; and what groups of models are, and
    the budgets that terms refer to, by id."""

    key: keystore_pb2.Key
    groups: Groups
    budgets: Budgets


def inherit(bound: Bound, wanted: keystore_pb2.Key) -> None:
    """Give a new key the limits of its bound that nobody has asked for."""
    own, terms = bound.key.terms, wanted.terms
    if not terms.models:
        terms.models.extend(own.models)
    if not terms.HasField("max_budget_nano_usd") and own.HasField("max_budget_nano_usd"):
        terms.max_budget_nano_usd = own.max_budget_nano_usd
        terms.budget_duration = own.budget_duration
    for name in _COUNTS:
        if not terms.HasField(name) and own.HasField(name):
            setattr(terms, name, getattr(own, name))
    if not terms.budget_id:
        terms.budget_id = own.budget_id
    if not terms.budget_limits:
        terms.budget_limits.extend(own.budget_limits)
    asked = {each.model for each in terms.model_terms}
    terms.model_terms.extend(each for each in own.model_terms if each.model not in asked)
    wanted.tags.extend(tag for tag in bound.key.tags if tag not in wanted.tags)
    if not wanted.allowed_routes:
        wanted.allowed_routes.extend(bound.key.allowed_routes)
    if not wanted.organization_id and not wanted.team_id:
        wanted.organization_id = bound.key.organization_id


def beyond(bound: Bound, wanted: keystore_pb2.Key, expires_ms: int) -> Iterator[str]:
    """What of a key is more than its bound has, by the names of bodies. expires_ms: of the key; 0: never."""
    yield from terms_beyond(bound.key.terms, wanted.terms, bound.groups, bound.budgets)
    if wanted.aliases and first_beyond(bound.key.terms.models, list(wanted.aliases.values()), bound.groups) is not None:
        yield "aliases"
    if bound.key.expires_ms and not 0 < expires_ms <= bound.key.expires_ms:
        yield "duration"
    if not set(bound.key.tags) <= set(wanted.tags):
        yield "tags"
    if not _routes_within(list(bound.key.allowed_routes), list(wanted.allowed_routes)):
        yield "allowed_routes"


def terms_beyond(
    own: keystore_pb2.Terms, wanted: keystore_pb2.Terms, groups: Groups, budgets: Budgets
) -> Iterator[str]:
    """The same of terms alone."""
    # Of a shared budget nobody takes another one; what it sets counts as their own.
    if wanted.budget_id != own.budget_id:
        yield "budget_id"
    own, wanted = with_budget(own, budgets), with_budget(wanted, budgets)
    if first_beyond(own.models, wanted.models, groups) is not None:
        yield "models"
    if not _no_more_money(own, wanted):
        yield "max_budget"
    for name in _COUNTS:
        if not _no_larger(name, own, wanted):
            yield name
    if not _windows_within(own, wanted):
        yield "budget_limits"
    if not _models_within(own, wanted):
        yield "model_max_budget"
    if wanted.shadow and not own.shadow:
        yield "shadow"
    increases = wanted.budget_increase_nano_usd > own.budget_increase_nano_usd
    lasts = wanted.budget_increase_until_ms > own.budget_increase_until_ms
    if wanted.budget_increase_nano_usd and (increases or lasts):
        yield "temp_budget_increase"


# What else of a body touches what `beyond` names.
_TOUCHED_BY: Mapping[str, frozenset[str]] = {
    "max_budget": frozenset(("max_budget", "budget_duration")),
    "model_max_budget": frozenset(("model_max_budget", "model_rpm_limit", "model_tpm_limit")),
    "temp_budget_increase": frozenset(("temp_budget_increase", "temp_budget_expiry")),
}


def refuse_beyond(names: Iterable[str], touched: Container[str] | None = None) -> None:
    """GatewayError (PERMISSION_DENIED) for the first of these. touched: what a change names; the rest may stay."""
    for name in names:
        if touched is None or any(each in touched for each in _TOUCHED_BY.get(name, (name,))):
            raise GatewayError(
                Reason.ERROR_REASON_PERMISSION_DENIED,
                f"Authentication Error, {name} goes beyond what the one that asks has itself.",
                param=name,
            )


def with_budget(terms: keystore_pb2.Terms, budgets: Budgets) -> keystore_pb2.Terms:
    """Terms with what their budget sets and they do not."""
    budget = budgets.get(terms.budget_id)
    if budget is None:
        return terms
    whole = keystore_pb2.Terms()
    whole.CopyFrom(terms)
    for name in _COUNTS:
        if not whole.HasField(name) and budget.terms.HasField(name):
            setattr(whole, name, getattr(budget.terms, name))
    if not whole.HasField("max_budget_nano_usd") and budget.terms.HasField("max_budget_nano_usd"):
        whole.max_budget_nano_usd = budget.terms.max_budget_nano_usd
        whole.budget_duration = budget.terms.budget_duration
    for name in ("models", "budget_limits", "model_terms"):
        if not getattr(whole, name):
            getattr(whole, name).extend(getattr(budget.terms, name))
    return whole


def seconds(duration: str) -> float:
    """About how long a budget's period is; an empty one never ends."""
    if not duration:
        return _FOREVER
    length = parse(duration)
    return length.count * (_MONTH_SECONDS if length.unit == "mo" else SECONDS[length.unit])


Limits = keystore_pb2.Terms | keystore_pb2.ModelTerms


def _no_more_money(own: Limits, wanted: Limits) -> bool:
    """No larger an amount, and not for a shorter time."""
    if not own.HasField("max_budget_nano_usd"):
        return True
    return (
        wanted.HasField("max_budget_nano_usd")
        and wanted.max_budget_nano_usd <= own.max_budget_nano_usd
        and seconds(wanted.budget_duration) >= seconds(own.budget_duration)
    )


def _no_larger(name: str, own: Limits, wanted: Limits) -> bool:
    if not own.HasField(name):
        return True
    return wanted.HasField(name) and getattr(wanted, name) <= getattr(own, name)


def _windows_within(own: keystore_pb2.Terms, wanted: keystore_pb2.Terms) -> bool:
    return all(
        any(
            each.max_budget_nano_usd <= window.max_budget_nano_usd
            and seconds(each.budget_duration) >= seconds(window.budget_duration)
            for each in wanted.budget_limits
        )
        for window in own.budget_limits
    )


def _models_within(own: keystore_pb2.Terms, wanted: keystore_pb2.Terms) -> bool:
    found = {each.model: each for each in wanted.model_terms}
    return all(
        (other := found.get(terms.model)) is not None
        and _no_more_money(terms, other)
        and all(_no_larger(name, terms, other) for name in ("rpm_limit", "tpm_limit"))
        for terms in own.model_terms
    )


def _routes_within(own: Sequence[str], wanted: Sequence[str]) -> bool:
    """No route more; a group counts as its name, a path also by `/x/*`."""
    if not own:
        return True
    return bool(wanted) and all(name in own or allows(own, name, name, CLOSED) for name in wanted)


def expiry(lifetime_seconds: int, now_ms: int) -> int:
    """When a key of this lifetime ends, in milliseconds; 0: never."""
    return now_ms + lifetime_seconds * 1000 if lifetime_seconds else 0


_TERMS = frozenset(field.name for field in keystore_pb2.Terms.DESCRIPTOR.fields)


def after_change(members: Iterable[str], change: MessageT, before: MessageT) -> MessageT:
    """A key or an owner as it will be after an update of these members."""
    after = type(before)()
    after.CopyFrom(before)
    for name in members:
        if name != "expires_ms":
            whole = name not in _TERMS
            _copy(name, change if whole else change.terms, after if whole else after.terms)
    return after


def _copy(name: str, source: Any, target: Any) -> None:
    alone = type(source)()
    alone.CopyFrom(source)
    for field, _ in source.ListFields():
        if field.name != name:
            alone.ClearField(field.name)
    target.ClearField(name)
    target.MergeFrom(alone)
