"""Members of teams: LiteLLM's /team/member_* onto the keystore's owners."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.columns import refuse_others, shown
from edge.admin.endpoint import AdminRequest, AdminRoute, convert
from edge.admin.memberships import MAX_ADDED, Joined, Member, Memberships, role_of
from edge.admin.owner_rows import TEAM_MEMBER_COLUMNS, Budgets, membership_row, user_row
from edge.admin.owners import TEAM_MEMBER, USER, Owners
from edge.admin.terms import fill_checked
from edge.admin.words import Body, denied, invalid
from services.errors import GatewayError


class AddMembers(msgspec.Struct):
    """POST /team/member_add: one or several."""

    team_id: str
    member: Member | list[Member]


class AddManyMembers(msgspec.Struct):
    """POST /team/bulk_member_add. all_users: everybody whom the gateway knows."""

    team_id: str
    members: list[Member] | None = None
    all_users: bool = False


class NameMember(msgspec.Struct):
    """POST /team/member_update and /team/member_delete."""

    team_id: str
    user_id: str | None = None
    user_email: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one of many."""

    member: Member
    joined: Joined | None = None
    error: str | None = None


class TeamMemberAdmin:
    """The handlers."""

    def __init__(self, owners: Owners, memberships: Memberships) -> None:
        self._owners = owners
        self._memberships = memberships

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/team/member_add", self.add),
            AdminRoute("POST", "/team/bulk_member_add", self.add_many),
            AdminRoute("POST", "/team/member_update", self.update),
            AdminRoute("POST", "/team/member_delete", self.delete),
        ]

    async def add(self, request: AdminRequest) -> object:
        """More members, by id or email address, each with what they may spend in the team."""
        refuse_others(request.body, TEAM_MEMBER_COLUMNS, ("team_id", "member"))
        asked: AddMembers = convert(request.body, AddMembers)
        members = asked.member if isinstance(asked.member, list) else [asked.member]
        if not 1 <= len(members) <= MAX_ADDED:
            raise invalid(f"Name 1 to {MAX_ADDED} members.", "member")
        team = await self._memberships.covered_team(request.reach, asked.team_id, with_spend=True)
        terms = _terms(request.body)
        for member in members:
            role_of(member)
        joined = [
            await self._memberships.add(TEAM_MEMBER, team.id, member, request.changed_by, terms) for member in members
        ]
        budgets = await self._owners.budgets_of([terms])
        return {
            **await self._memberships.team_row(team),
            "updated_users": [user_row(each.user, [team.id]) for each in joined],
            "updated_team_memberships": [membership_row(each.member, budgets) for each in joined],
        }

    async def add_many(self, request: AdminRequest) -> object:
        """The same, one after the other; who could not be added is told of."""
        refuse_others(request.body, TEAM_MEMBER_COLUMNS, ("team_id", "members", "all_users"))
        asked: AddManyMembers = convert(request.body, AddManyMembers)
        team = await self._memberships.covered_team(request.reach, asked.team_id, with_spend=True)
        members = asked.members or []
        if asked.all_users:
            if not request.reach.everything:
                raise denied("only proxy admins add all users.", "all_users")
            members = [Member(user_id=user.id) for user in await self._owners.every(USER)]
        if not 1 <= len(members) <= MAX_ADDED:
            raise invalid(f"Name 1 to {MAX_ADDED} members.", "members")
        terms = _terms(request.body)
        results = [await self._try(request, team, member, terms) for member in members]
        good = sum(result.joined is not None for result in results)
        budgets = await self._owners.budgets_of([terms])
        return {
            "team_id": team.id,
            "results": [_shown(result, team.id, budgets) for result in results],
            "total_requested": len(results),
            "successful_additions": good,
            "failed_additions": len(results) - good,
            "updated_team": await self._memberships.team_row(team),
        }

    async def update(self, request: AdminRequest) -> object:
        """Change a member's role, or what they may spend in the team."""
        body = request.body
        refuse_others(body, TEAM_MEMBER_COLUMNS, NameMember.__struct_fields__)
        asked: NameMember = convert(body, NameMember)
        team = await self._memberships.covered_team(request.reach, asked.team_id, with_spend=True)
        before, email = await self._memberships.find(TEAM_MEMBER, team.id, asked.user_id, asked.user_email)
        change = keystore_pb2.Owner(kind=TEAM_MEMBER, id=before.id)
        members = fill_checked(TEAM_MEMBER_COLUMNS, body, change, before)
        if asked.role is not None:
            change.role = role_of(Member(role=asked.role))
            members.append("role")
        after = await self._owners.update(change, members, request.changed_by)
        row = {"user_id": after.user_id, "user_email": email, "team_id": team.id, "role": after.role}
        return {**row, **shown(TEAM_MEMBER_COLUMNS, after), "allowed_models": list(after.terms.models) or None}

    async def delete(self, request: AdminRequest) -> object:
        """A member leaves the team, and their keys of the team are gone."""
        asked: NameMember = convert(request.body, NameMember)
        team = await self._memberships.covered_team(request.reach, asked.team_id, with_spend=True)
        member, _ = await self._memberships.find(TEAM_MEMBER, team.id, asked.user_id, asked.user_email)
        await self._owners.delete(TEAM_MEMBER, [member.id], request.changed_by)
        return await self._memberships.team_row(team)

    async def _try(
        self, request: AdminRequest, team: keystore_pb2.Owner, member: Member, terms: keystore_pb2.Terms
    ) -> _Result:
        try:
            joined = await self._memberships.add(TEAM_MEMBER, team.id, member, request.changed_by, terms)
        except GatewayError as error:
            return _Result(member, error=error.message)
        return _Result(member, joined)


def _terms(body: Body) -> keystore_pb2.Terms:
    """What new members may have of their own."""
    member = keystore_pb2.Owner()
    fill_checked(TEAM_MEMBER_COLUMNS, body, member)
    return member.terms


def _shown(result: _Result, team_id: str, budgets: Budgets) -> dict[str, object]:
    joined = result.joined
    return {
        "user_id": joined.user.id if joined else result.member.user_id,
        "user_email": result.member.user_email,
        "success": joined is not None,
        "error": result.error,
        "updated_user": user_row(joined.user, [team_id]) if joined else None,
        "updated_team_membership": membership_row(joined.member, budgets) if joined else None,
    }
