"""Who is in which team or organisation: members named by LiteLLM's bodies onto the keystore's owners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.access import Reach
from edge.admin.owner_rows import membership_row, team_row
from edge.admin.owners import ORGANIZATION, TEAM, TEAM_MEMBER, USER, Owners, member_id, not_found
from edge.admin.words import denied, invalid

# One body adds no more: each is several questions to the keystore.
MAX_ADDED = 500
# Questions to the keystore about as many objects, of one request.
MAX_AT_ONCE = 8

Owner = keystore_pb2.Owner

# Roles in a team and in an organisation, by LiteLLM's words for them.
ROLES: Mapping[str, str] = {
    "admin": "admin",
    "org_admin": "admin",
    "user": "user",
    "internal_user": "user",
    "internal_user_viewer": "user",
}


class Member(msgspec.Struct):
    """A member as bodies name one: by id, or by email address."""

    role: str = "user"
    user_id: str | None = None
    user_email: str | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody who has become a member."""

    user: Owner
    member: Owner


class Memberships:
    """Adds, finds and lists members, and the teams that they are in."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners

    async def join(
        self,
        kind: keystore_pb2.OwnerKind,
        owner_id: str,
        user_id: str,
        role: str,
        changed_by: str,
        terms: keystore_pb2.Terms | None = None,
    ) -> Owner:
        """A user becomes a member of a team or an organisation, which must be there."""
        of = TEAM if kind == TEAM_MEMBER else ORGANIZATION
        await self._owners.one(of, owner_id)
        named = {"team_id": owner_id} if of == TEAM else {"organization_id": owner_id}
        member = Owner(
            kind=kind, id=member_id(owner_id, user_id), user_id=user_id, role=role, terms=terms, created_by=changed_by
        )
        for name, value in named.items():
            setattr(member, name, value)
        return await self._owners.create(member, changed_by)

    async def add(
        self,
        kind: keystore_pb2.OwnerKind,
        owner_id: str,
        asked: Member,
        changed_by: str,
        terms: keystore_pb2.Terms | None = None,
    ) -> Joined:
        """The same by id or email address; a user that is not there is made, as `internal_user`."""
        role = role_of(asked)
        user = await self._owners.user_named(asked.user_id, asked.user_email)
        if user is None:
            if not asked.user_id and not asked.user_email:
                raise invalid("A member needs a user_id or a user_email.", "member")
            made = Owner(
                kind=USER,
                id=asked.user_id or "",
                email=asked.user_email or "",
                role="internal_user",
                metadata_json="{}",
                created_by=changed_by,
            )
            user = await self._owners.create(made, changed_by)
        return Joined(user, await self.join(kind, owner_id, user.id, role, changed_by, terms))

    async def find(
        self, kind: keystore_pb2.OwnerKind, owner_id: str, user_id: str | None, email: str | None
    ) -> tuple[Owner, str | None]:
        """A member, and their email address; NOT_FOUND when they are none."""
        if not user_id and not email:
            raise invalid("Name a member by user_id or user_email.", "user_id")
        user = await self._owners.user_named(user_id, email)
        wanted = user_id or (user.id if user is not None else "")
        if not wanted:
            raise not_found(kind, email or "")
        found = (await self._owners.named(kind, [member_id(owner_id, wanted)], with_spend=True)).values()
        for member in found:
            return member, user.email if user is not None and user.email else None
        raise not_found(kind, wanted)

    async def of_team(self, team_id: str, *, with_spend: bool = False) -> Sequence[Owner]:
        """All members of a team, in the order in which they came."""
        members = await self._owners.every(TEAM_MEMBER, with_spend=with_spend, team_id=team_id)
        return members[::-1]

    async def users(self, members: Iterable[Owner]) -> Mapping[str, Owner]:
        """Who they are, by user id."""
        return await self._owners.named(USER, (member.user_id for member in members))

    async def covered_team(self, reach: Reach, team_id: str, *, with_spend: bool = False) -> Owner:
        """A team that the caller may see, or change; others are told of nothing."""
        team = (await self._owners.named(TEAM, [team_id], with_spend=with_spend)).get(team_id)
        if team is None and reach.everything:
            raise not_found(TEAM, team_id)
        if team is None or not reach.covers(team_id=team.id, organization_id=team.organization_id):
            raise denied("this team is not yours.", "team_id")
        return team

    async def team_row(self, team: Owner) -> dict[str, object]:
        """A team with its members."""
        members = await self.of_team(team.id)
        return team_row(team, members, await self.users(members))

    async def team_rows(self, teams: Iterable[Owner]) -> list[dict[str, object]]:
        """Teams as lists have them: with their members, and what each may spend there."""

        async def row(team: Owner) -> dict[str, object]:
            members = await self.of_team(team.id)
            budgets = await self._owners.budgets_of(member.terms for member in members)
            memberships = [membership_row(member, budgets) for member in members]
            return {**team_row(team, members, await self.users(members)), "team_memberships": memberships, "keys": []}

        return await each_of(teams, row)


_Of = TypeVar("_Of")
_Made = TypeVar("_Made")


async def each_of(things: Iterable[_Of], ask: Callable[[_Of], Awaitable[_Made]]) -> list[_Made]:
    """What is asked about each of many, a few at once: a page must not take all of the keystore's connections."""
    slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def one(thing: _Of) -> _Made:
        async with slots:
            return await ask(thing)

    return list(await asyncio.gather(*map(one, things)))


def role_of(member: Member) -> str:
    """The keystore's name of a role."""
    if member.role not in ROLES:
        raise invalid(f"role must be one of {', '.join(ROLES)}.", "role")
    return ROLES[member.role]
