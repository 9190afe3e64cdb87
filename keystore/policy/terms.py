"""What anybody may do and spend: the same for keys, users, teams, their members, customers, organisations, tags. Pure.

The store keeps these as JSON, by the names here; protos/gateway/v1/keystore.proto says what each is. None: not set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec


class BudgetWindow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One budget more, of a period of its own."""

    max_budget_nano_usd: int
    budget_duration: str = ""


class ModelTerms(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What may be done and spent with one model group."""

    model: str
    max_budget_nano_usd: int | None = None
    budget_duration: str = ""
    rpm_limit: int | None = None
    tpm_limit: int | None = None


class Terms(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Of one owner, or of a budget that owners refer to by `budget_id`."""

    models: tuple[str, ...] = ()
    max_budget_nano_usd: int | None = None
    budget_duration: str = ""
    soft_budget_nano_usd: int | None = None
    budget_limits: tuple[BudgetWindow, ...] = ()
    shadow: bool = False
    budget_increase_nano_usd: int = 0
    budget_increase_until_ms: int = 0
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    max_parallel_requests: int | None = None
    model_terms: tuple[ModelTerms, ...] = ()
    budget_id: str = ""

    @property
    def has_limit(self) -> bool:
        """Whether something is limited but money."""
        return not (self.rpm_limit is None and self.tpm_limit is None and self.max_parallel_requests is None)

    @property
    def has_budget(self) -> bool:
        """Whether money is limited, of all calls or of those of some model."""
        budgets = (self.max_budget_nano_usd, *(each.max_budget_nano_usd for each in self.model_terms))
        return bool(self.budget_limits) or any(budget is not None for budget in budgets)


NONE = Terms()

_Value = TypeVar("_Value")


def filled(own: Terms, others: Iterable[Terms | None]) -> Terms:
    """Terms, with what they leave open as the first of the others has it that sets it.

    A budget comes with its period, and not without it. Beside a budget that refuses, others' shadow budgets are left
    out: all budgets of one owner refuse, or none. What others name as their own budget is nobody else's.
    """
    for other in others:
        if other is None:
            continue
        if other.shadow and own.has_budget and not own.shadow:
            other = _without_budgets(other)
        limits = {
            name: _first(getattr(own, name), getattr(other, name))
            for name in ("soft_budget_nano_usd", "rpm_limit", "tpm_limit", "max_parallel_requests")
        }
        lists = {
            name: getattr(own, name) or getattr(other, name) for name in ("models", "budget_limits", "model_terms")
        }
        money = {}
        takes_soft = own.soft_budget_nano_usd is None and other.soft_budget_nano_usd is not None
        # A soft budget without another has its period, too.
        if own.max_budget_nano_usd is None and (other.max_budget_nano_usd is not None or takes_soft):
            money = {"max_budget_nano_usd": other.max_budget_nano_usd, "budget_duration": other.budget_duration}
        own = msgspec.structs.replace(own, shadow=own.shadow or other.shadow, **limits, **lists, **money)
    return own


def _without_budgets(terms: Terms) -> Terms:
    models = tuple(msgspec.structs.replace(each, max_budget_nano_usd=None) for each in terms.model_terms)
    return msgspec.structs.replace(
        terms, max_budget_nano_usd=None, budget_duration="", budget_limits=(), model_terms=models, shadow=False
    )


def _first(value: _Value | None, other: _Value | None) -> _Value | None:
    return other if value is None else value
