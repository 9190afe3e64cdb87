"""Whom keys and owners refer to, looked up within the change that makes the reference."""

from __future__ import annotations

from keystore.change import Change
from keystore.policy.owners import Key, Kind, Owner
from keystore.policy.terms import Terms
from keystore.rows import OwnerRow
from services.errors import GatewayError, Reason


async def demand(change: Change, kind: Kind, owner_id: str, param: str) -> OwnerRow:
    """The owner, which must be there. NOT_FOUND names it."""
    row = await change.owner(kind, owner_id)
    if row is None:
        raise not_found(kind, owner_id, param)
    return row


async def demand_budget(change: Change, *terms: Terms | None) -> None:
    """The budgets that terms refer to must be there, for a limit that nobody knows would be none."""
    for each in terms:
        if each is not None and each.budget_id:
            await demand(change, Kind.BUDGET, each.budget_id, "budget_id")


async def demand_places(change: Change, key: Key) -> None:
    """A key may name a team or an organisation that nobody has made, as in LiteLLM, but none that was deleted: its keys
    went with it. NOT_FOUND names it."""
    places = ((Kind.TEAM, key.team_id, "team_id"), (Kind.ORGANIZATION, key.organization_id, "organization_id"))
    for kind, owner_id, param in places:
        if owner_id and await change.owners.is_gone(kind, owner_id):
            raise not_found(kind, owner_id, param)


async def make_user(change: Change, user_id: str, by: str, now_ms: int) -> None:
    """Whoever gets a key or comes into a team is a user from then on, as in LiteLLM."""
    if user_id and await change.owner(Kind.USER, user_id) is None:
        row = OwnerRow(Owner(Kind.USER, user_id), created_ms=now_ms, created_by=by, updated_ms=now_ms, updated_by=by)
        await change.write_owner(None, row, "created")


def not_found(kind: Kind, owner_id: str, param: str) -> GatewayError:
    """There is none with this id."""
    return GatewayError(
        Reason.ERROR_REASON_NOT_FOUND,
        f"There is no {kind.value.replace('_', ' ')} with the id '{owner_id}'.",
        param=param,
    )
