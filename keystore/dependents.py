"""Who cannot be without others, and goes with them."""

from __future__ import annotations

from collections.abc import Sequence

from keystore.change import Change
from keystore.policy.owners import MEMBERS, Kind
from keystore.rows import KeyRow, OwnerRow
from services.errors import GatewayError, Reason


async def dependents_of(change: Change, kind: Kind, rows: Sequence[OwnerRow]) -> tuple[list[KeyRow], list[OwnerRow]]:
    """The keys and the owners that go when these owners of one kind go.

    A team takes its keys and members with it, a user its keys and memberships, a member of a team the keys that it has
    in it, an organisation its keys, members and teams. A budget goes alone and only when nobody refers to it: limits
    would be gone without a word. CONFLICT: somebody does.
    """
    ids = [row.owner.id for row in rows]
    match kind:
        case Kind.TEAM:
            return await change.keys.of_teams(ids), await _members_of_teams(change, ids)
        case Kind.USER:
            memberships = [row for row in await change.owners.of_users(ids) if row.owner.kind in MEMBERS]
            return await change.keys.of_users(ids), memberships
        case Kind.TEAM_MEMBER:
            members = {(row.owner.team_id, row.owner.user_id) for row in rows}
            keys = await change.keys.of_users([user_id for _, user_id in members])
            return [row for row in keys if (row.key.team_id, row.key.user_id) in members], []
        case Kind.ORGANIZATION:
            return await _of_organizations(change, ids)
        case Kind.BUDGET:
            if await change.owners.with_budgets(ids) or await change.keys.with_budgets(ids):
                raise GatewayError(
                    Reason.ERROR_REASON_CONFLICT,
                    "Keys or others refer to this budget; take it away from them first.",
                    param="id",
                )
    return [], []


async def _of_organizations(change: Change, ids: Sequence[str]) -> tuple[list[KeyRow], list[OwnerRow]]:
    owners = await change.owners.of_organizations(ids)
    teams = [row.owner.id for row in owners if row.owner.kind is Kind.TEAM]
    keys = {
        row.key.key_id: row for row in [*await change.keys.of_organizations(ids), *await change.keys.of_teams(teams)]
    }
    return list(keys.values()), [*await _members_of_teams(change, teams), *owners]


async def _members_of_teams(change: Change, team_ids: Sequence[str]) -> list[OwnerRow]:
    return [row for row in await change.owners.of_teams(team_ids) if row.owner.kind is Kind.TEAM_MEMBER]
