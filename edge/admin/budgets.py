"""Budgets that several refer to: LiteLLM's /budget/* onto the keystore's owners. Each who does is counted by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.columns import refuse_others, shown
from edge.admin.endpoint import AdminRequest, AdminRoute, convert
from edge.admin.owner_rows import BUDGET_COLUMNS
from edge.admin.owners import BUDGET, Owners
from edge.admin.terms import budget_row, fill_checked
from edge.admin.words import invalid, text_of

# One body names no more.
MAX_NAMED = 500

# What /budget/settings tells of: member, kind, meaning.
SETTINGS: Sequence[tuple[str, str, str]] = (
    ("max_budget", "Float", "Requests fail when this budget (in USD) is exceeded."),
    ("soft_budget", "Float", "Requests do not fail when this is exceeded; it is told of."),
    ("max_parallel_requests", "Integer", "Requests at once."),
    ("tpm_limit", "Integer", "Tokens a minute."),
    ("rpm_limit", "Integer", "Requests a minute."),
    ("budget_duration", "String", "The period that the budget is for, such as 1d or 1mo."),
    ("model_max_budget", "Object", "Budgets of single models: {model: {budget_limit, time_period}}."),
)


class NameBudgets(msgspec.Struct):
    """POST /budget/info."""

    budgets: list[str]


class NameBudget(msgspec.Struct):
    """POST /budget/delete."""

    id: str


class BudgetAdmin:
    """The handlers."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/budget/new", self.new),
            AdminRoute("POST", "/budget/info", self.info),
            AdminRoute("GET", "/budget/list", self.list),
            AdminRoute("GET", "/budget/settings", self.settings),
            AdminRoute("POST", "/budget/update", self.update),
            AdminRoute("POST", "/budget/delete", self.delete),
        ]

    async def new(self, request: AdminRequest) -> object:
        """A budget."""
        body = request.body
        refuse_others(body, BUDGET_COLUMNS, ("budget_id",))
        budget = keystore_pb2.Owner(kind=BUDGET, id=text_of(body, "budget_id"), created_by=request.changed_by)
        fill_checked(BUDGET_COLUMNS, body, budget)
        return budget_row(await self._owners.create(budget, request.changed_by))

    async def info(self, request: AdminRequest) -> object:
        """Those of these that are there."""
        asked: NameBudgets = convert(request.body, NameBudgets)
        if not 1 <= len(asked.budgets) <= MAX_NAMED:
            raise invalid(f"Name 1 to {MAX_NAMED} budgets.", "budgets")
        return [budget_row(budget) for budget in (await self._owners.named(BUDGET, asked.budgets)).values()]

    async def list(self, request: AdminRequest) -> object:
        """All, the newest first."""
        return [budget_row(budget) for budget in await self._owners.every(BUDGET)]

    async def settings(self, request: AdminRequest) -> object:
        """What a budget may have, and what this one has."""
        budget = await self._owners.one(BUDGET, request.query.get("budget_id", ""))
        values = shown(BUDGET_COLUMNS, budget)
        return [
            {
                "field_name": name,
                "field_type": kind,
                "field_description": meaning,
                "field_value": values[name] or None if kind == "Object" else values[name],
                "stored_in_db": True,
                "field_default_value": None,
                "premium_field": False,
                "nested_fields": None,
                "field_options": None,
                "field_tab": None,
                "source": "unset",
                "editable": True,
            }
            for name, kind, meaning in SETTINGS
        ]

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names, for all who refer to it, from their next call on."""
        body = request.body
        refuse_others(body, BUDGET_COLUMNS, ("budget_id",))
        before = await self._owners.one(BUDGET, text_of(body, "budget_id"))
        change = keystore_pb2.Owner(kind=BUDGET, id=before.id)
        members = fill_checked(BUDGET_COLUMNS, body, change, before)
        return budget_row(await self._owners.update(change, members, request.changed_by))

    async def delete(self, request: AdminRequest) -> object:
        """Remove one. Who refers to it has no budget by it any more."""
        asked: NameBudget = convert(request.body, NameBudget)
        budget = await self._owners.one(BUDGET, asked.id)
        await self._owners.delete(BUDGET, [budget.id], request.changed_by)
        return budget_row(budget)
