"""Organisations and their members: LiteLLM's /organization/* onto the keystore's owners."""

from __future__ import annotations

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.columns import refuse_others
from edge.admin.endpoint import AdminRequest, AdminRoute, convert
from edge.admin.memberships import MAX_ADDED, Member, Memberships, role_of
from edge.admin.owner_rows import (
    ORGANIZATION_COLUMNS,
    ORGANIZATION_MEMBER_COLUMNS,
    organization_member_row,
    organization_row,
    team_row,
    user_row,
)
from edge.admin.owners import ORGANIZATION, ORGANIZATION_MEMBER, TEAM, Owners
from edge.admin.terms import fill_checked
from edge.admin.words import denied, invalid, text_of, texts_of


class AddMembers(msgspec.Struct):
    """POST /organization/member_add: one or several."""

    organization_id: str
    member: Member | list[Member]


class NameMember(msgspec.Struct):
    """PATCH /organization/member_update and DELETE /organization/member_delete."""

    organization_id: str
    user_id: str | None = None
    user_email: str | None = None
    role: str | None = None


class OrganizationAdmin:
    """The handlers."""

    def __init__(self, owners: Owners, memberships: Memberships) -> None:
        self._owners = owners
        self._memberships = memberships

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/organization/new", self.new),
            AdminRoute("GET", "/organization/info", self.info),
            AdminRoute("POST", "/organization/info", self.info_of_several),
            AdminRoute("GET", "/organization/list", self.list),
            AdminRoute("PATCH", "/organization/update", self.update),
            AdminRoute("DELETE", "/organization/delete", self.delete),
            AdminRoute("POST", "/organization/member_add", self.add_members),
            AdminRoute("PATCH", "/organization/member_update", self.update_member),
            AdminRoute("DELETE", "/organization/member_delete", self.delete_member),
        ]

    async def new(self, request: AdminRequest) -> object:
        """An organisation."""
        body = request.body
        refuse_others(body, ORGANIZATION_COLUMNS, ("organization_id",))
        organization = keystore_pb2.Owner(
            kind=ORGANIZATION, id=text_of(body, "organization_id"), metadata_json="{}", created_by=request.changed_by
        )
        fill_checked(ORGANIZATION_COLUMNS, body, organization)
        return await self._row(await self._owners.create(organization, request.changed_by))

    async def info(self, request: AdminRequest) -> object:
        """One organisation, with its members and teams."""
        return await self._whole(request, request.query.get("organization_id", ""))

    async def info_of_several(self, request: AdminRequest) -> object:
        """Several, in LiteLLM's older form."""
        names = texts_of(request.body, "organizations")
        if not 1 <= len(names) <= MAX_ADDED:
            raise invalid(f"Name 1 to {MAX_ADDED} organizations.", "organizations")
        return [await self._whole(request, name) for name in names]

    async def list(self, request: AdminRequest) -> object:
        """All that the caller may see."""
        reach = request.reach
        if reach.everything:
            found = await self._owners.every(ORGANIZATION, with_spend=True)
        else:
            named = await self._owners.named(ORGANIZATION, sorted(reach.organization_ids), with_spend=True)
            found = list(named.values())
        budgets = await self._owners.budgets_of(organization.terms for organization in found)
        return [organization_row(organization, budgets) for organization in found]

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names."""
        body = request.body
        refuse_others(body, ORGANIZATION_COLUMNS, ("organization_id",))
        before = await self._owners.one(ORGANIZATION, text_of(body, "organization_id"))
        change = keystore_pb2.Owner(kind=ORGANIZATION, id=before.id)
        members = fill_checked(ORGANIZATION_COLUMNS, body, change, before)
        return await self._row(await self._owners.update(change, members, request.changed_by))

    async def delete(self, request: AdminRequest) -> object:
        """Remove organisations for good, with their teams, keys and memberships. All or none."""
        names = texts_of(request.body, "organization_ids")
        if not 1 <= len(names) <= MAX_ADDED:
            raise invalid(f"Name 1 to {MAX_ADDED} organizations.", "organization_ids")
        found = [await self._owners.one(ORGANIZATION, name, with_spend=True) for name in names]
        await self._owners.delete(ORGANIZATION, names, request.changed_by)
        budgets = await self._owners.budgets_of(organization.terms for organization in found)
        return [organization_row(organization, budgets) for organization in found]

    async def add_members(self, request: AdminRequest) -> object:
        """More members, by id or email address."""
        refuse_others(request.body, ORGANIZATION_MEMBER_COLUMNS, AddMembers.__struct_fields__)
        asked: AddMembers = convert(request.body, AddMembers)
        members = asked.member if isinstance(asked.member, list) else [asked.member]
        if not 1 <= len(members) <= MAX_ADDED:
            raise invalid(f"Name 1 to {MAX_ADDED} members.", "member")
        organization = await self._covered(request, asked.organization_id)
        for member in members:
            role_of(member)
        joined = [
            await self._memberships.add(ORGANIZATION_MEMBER, organization.id, member, request.changed_by)
            for member in members
        ]
        return {
            "organization_id": organization.id,
            "updated_users": [user_row(each.user) for each in joined],
            "updated_organization_memberships": [organization_member_row(each.member, {}) for each in joined],
        }

    async def update_member(self, request: AdminRequest) -> object:
        """Change a member's role."""
        body = request.body
        refuse_others(body, ORGANIZATION_MEMBER_COLUMNS, NameMember.__struct_fields__)
        asked: NameMember = convert(body, NameMember)
        organization = await self._covered(request, asked.organization_id)
        before, _ = await self._memberships.find(ORGANIZATION_MEMBER, organization.id, asked.user_id, asked.user_email)
        if asked.role is None:
            raise invalid("Say which role the member is to have.", "role")
        change = keystore_pb2.Owner(kind=ORGANIZATION_MEMBER, id=before.id, role=role_of(Member(role=asked.role)))
        return organization_member_row(await self._owners.update(change, ["role"], request.changed_by), {})

    async def delete_member(self, request: AdminRequest) -> object:
        """A member leaves the organisation."""
        asked: NameMember = convert(request.body, NameMember)
        organization = await self._covered(request, asked.organization_id)
        member, _ = await self._memberships.find(ORGANIZATION_MEMBER, organization.id, asked.user_id, asked.user_email)
        await self._owners.delete(ORGANIZATION_MEMBER, [member.id], request.changed_by)
        return organization_member_row(member, {})

    async def _whole(self, request: AdminRequest, name: str) -> dict[str, object]:
        if not name:
            raise invalid("organization_id is missing.", "organization_id")
        organization = await self._covered(request, name, with_spend=True)
        members = await self._owners.every(ORGANIZATION_MEMBER, organization_id=organization.id)
        teams = await self._owners.every(TEAM, organization_id=organization.id)
        return {
            **await self._row(organization),
            "members": [organization_member_row(member, {}) for member in members],
            "teams": [team_row(team, ()) for team in teams],
        }

    async def _covered(self, request: AdminRequest, name: str, *, with_spend: bool = False) -> keystore_pb2.Owner:
        if not request.reach.covers(organization_id=name):
            raise denied("this organization is not yours.", "organization_id")
        return await self._owners.one(ORGANIZATION, name, with_spend=with_spend)

    async def _row(self, organization: keystore_pb2.Owner) -> dict[str, object]:
        return organization_row(organization, await self._owners.budgets_of([organization.terms]))
