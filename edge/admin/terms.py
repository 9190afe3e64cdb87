"""The columns of terms, which keys and all owners have in common, and LiteLLM's `litellm_budget_table`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.v1 import keystore_pb2

from edge.admin.columns import MEMBER_TERMS, TERMS, Column, Message, fill, shown
from edge.admin.kinds import (
    COUNT,
    DURATION,
    FLAG,
    INCREASE,
    MODEL_BUDGETS,
    MODEL_RPM,
    MODEL_TPM,
    MOMENT,
    NAMES,
    TEXT,
    USD,
    WINDOWS,
)
from edge.admin.times import iso
from edge.admin.words import Body, invalid

MODELS = Column("models", "models", NAMES, TERMS)
BUDGET_ID = Column("budget_id", "budget_id", TEXT, TERMS)
# What a budget has.
BUDGET = (
    Column("max_budget", "max_budget_nano_usd", USD, TERMS),
    Column("soft_budget", "soft_budget_nano_usd", USD, TERMS),
    Column("budget_duration", "budget_duration", DURATION, TERMS),
    Column("max_parallel_requests", "max_parallel_requests", COUNT, TERMS),
    Column("tpm_limit", "tpm_limit", COUNT, TERMS),
    Column("rpm_limit", "rpm_limit", COUNT, TERMS),
)
TEMPORARY = (
    Column("temp_budget_increase", "budget_increase_nano_usd", INCREASE, TERMS),
    Column("temp_budget_expiry", "budget_increase_until_ms", MOMENT, TERMS),
)
# LiteLLM has no word for a budget that only tells what it would have refused.
SHADOW = Column("shadow", "shadow", FLAG, TERMS)
PER_MODEL = (
    Column("model_max_budget", "model_terms", MODEL_BUDGETS, TERMS),
    Column("model_rpm_limit", "model_terms", MODEL_RPM, TERMS),
    Column("model_tpm_limit", "model_terms", MODEL_TPM, TERMS),
)
WINDOWS_COLUMN = Column("budget_limits", "budget_limits", WINDOWS, TERMS)
COMMON = (MODELS, *BUDGET, WINDOWS_COLUMN, BUDGET_ID, SHADOW, *TEMPORARY)
# What members of a team may have of their own, as /team/member_add has it.
OF_MEMBERS = (
    Column("max_budget_in_team", "max_budget_nano_usd", USD, TERMS),
    Column("budget_duration", "budget_duration", DURATION, TERMS),
    Column("tpm_limit", "tpm_limit", COUNT, TERMS),
    Column("rpm_limit", "rpm_limit", COUNT, TERMS),
    Column("allowed_models", "models", NAMES, TERMS),
    *TEMPORARY,
)
# What members of a team have who have nothing of their own.
FOR_MEMBERS = (
    Column("team_member_budget", "max_budget_nano_usd", USD, MEMBER_TERMS),
    Column("team_member_budget_duration", "budget_duration", DURATION, MEMBER_TERMS),
    Column("team_member_rpm_limit", "rpm_limit", COUNT, MEMBER_TERMS),
    Column("team_member_tpm_limit", "tpm_limit", COUNT, MEMBER_TERMS),
    Column("default_team_member_models", "models", NAMES, MEMBER_TERMS),
)

_TABLE = (*BUDGET, *PER_MODEL, SHADOW, *TEMPORARY, Column("allowed_models", "models", NAMES, TERMS))
# What a budget is used by, which LiteLLM's rows have when they are asked to, which no path does.
_ABSENT: Mapping[str, object] = dict.fromkeys(
    (
        *("tpd_limit", "organization", "projects", "keys", "end_users", "tags", "model_access_groups"),
        *("team_membership", "organization_membership"),
    )
)


def fill_checked(columns: Iterable[Column], body: Body, into: Message, before: Message | None = None) -> list[str]:
    """`columns.fill`; and what belongs together must be given together. GatewayError names what is missing."""
    changed = fill(columns, body, into, before)
    _check_together(body)
    return changed


def _check_together(given: Body) -> None:
    """An increase, and its end."""
    names = [column.name for column in TEMPORARY]
    is_there = [given.get(name) is not None for name in names]
    if any(is_there) and not all(is_there):
        missing = names[is_there.index(False)]
        raise invalid(f"temp_budget_increase and temp_budget_expiry go together: {missing} is missing.", missing)


def budget_row(owner: keystore_pb2.Owner) -> dict[str, object]:
    """A budget, or the terms of whoever has none of another name, as LiteLLM shows budgets."""
    return {
        "budget_id": owner.id,
        **_ABSENT,
        **shown(_TABLE, owner),
        "budget_reset_at": iso(owner.budget_reset_ms),
        "created_at": iso(owner.created_ms),
        "created_by": owner.created_by or None,
        "updated_at": iso(owner.updated_ms),
        "updated_by": owner.updated_by or None,
    }


def budget_table(
    terms: keystore_pb2.Terms,
    reset_ms: int,
    created_ms: int,
    budgets: Mapping[str, keystore_pb2.Owner],
) -> dict[str, object] | None:
    """What stands as `litellm_budget_table`: the budget that terms refer to, else what they have of one themselves."""
    budget = budgets.get(terms.budget_id)
    if budget is not None:
        return budget_row(budget)
    own = keystore_pb2.Owner(id="", terms=terms, budget_reset_ms=reset_ms, created_ms=created_ms, updated_ms=created_ms)
    if all(value is None for value in shown(BUDGET, own).values()):
        return None
    return {**budget_row(own), "budget_id": None}
