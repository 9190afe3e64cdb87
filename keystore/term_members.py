"""Terms between the messages of protos/ and the store. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2

from keystore.policy.terms import BudgetWindow, ModelTerms, Terms

# Their names are the same in both.
TERMS = frozenset(Terms.__struct_fields__)


def terms_of(asked: keystore_pb2.Terms) -> Terms:
    """As it is asked for."""
    return Terms(
        models=tuple(dict.fromkeys(asked.models)),
        max_budget_nano_usd=_set(asked, "max_budget_nano_usd"),
        budget_duration=asked.budget_duration,
        soft_budget_nano_usd=_set(asked, "soft_budget_nano_usd"),
        budget_limits=tuple(
            BudgetWindow(window.max_budget_nano_usd, window.budget_duration) for window in asked.budget_limits
        ),
        shadow=asked.shadow,
        budget_increase_nano_usd=asked.budget_increase_nano_usd,
        budget_increase_until_ms=asked.budget_increase_until_ms,
        rpm_limit=_set(asked, "rpm_limit"),
        tpm_limit=_set(asked, "tpm_limit"),
        max_parallel_requests=_set(asked, "max_parallel_requests"),
        model_terms=tuple(
            ModelTerms(
                model=each.model,
                max_budget_nano_usd=_set(each, "max_budget_nano_usd"),
                budget_duration=each.budget_duration,
                rpm_limit=_set(each, "rpm_limit"),
                tpm_limit=_set(each, "tpm_limit"),
            )
            for each in asked.model_terms
        ),
        budget_id=asked.budget_id,
    )


def with_members(terms: Terms, members: Collection[str], asked: keystore_pb2.Terms) -> Terms:
    """Terms in which those of these members that are terms' are as asked for; `terms` among them: all are."""
    wanted = terms_of(asked)
    if "terms" in members:
        return wanted
    return msgspec.structs.replace(terms, **{name: getattr(wanted, name) for name in TERMS.intersection(members)})


def shown_terms(terms: Terms) -> keystore_pb2.Terms:
    """As they are shown."""
    return keystore_pb2.Terms(
        models=terms.models,
        max_budget_nano_usd=terms.max_budget_nano_usd,
        budget_duration=terms.budget_duration,
        soft_budget_nano_usd=terms.soft_budget_nano_usd,
        budget_limits=[
            keystore_pb2.BudgetWindow(
                max_budget_nano_usd=window.max_budget_nano_usd, budget_duration=window.budget_duration
            )
            for window in terms.budget_limits
        ],
        shadow=terms.shadow,
        budget_increase_nano_usd=terms.budget_increase_nano_usd,
        budget_increase_until_ms=terms.budget_increase_until_ms,
        rpm_limit=terms.rpm_limit,
        tpm_limit=terms.tpm_limit,
        max_parallel_requests=terms.max_parallel_requests,
        model_terms=[
            keystore_pb2.ModelTerms(
                model=each.model,
                max_budget_nano_usd=each.max_budget_nano_usd,
                budget_duration=each.budget_duration,
                rpm_limit=each.rpm_limit,
                tpm_limit=each.tpm_limit,
            )
            for each in terms.model_terms
        ],
        budget_id=terms.budget_id,
    )


def _set(message: Any, name: str) -> int | None:
    value: int | None = getattr(message, name) if message.HasField(name) else None
    return value
