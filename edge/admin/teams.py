"""Teams: LiteLLM's /team/* onto the keystore's owners. Members are in `team_members.py`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import cast

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.allowed import AllowedModels
from edge.admin.columns import refuse_others
from edge.admin.endpoint import AdminRequest, AdminRoute, convert, number_of
from edge.admin.key_members import key_row
from edge.admin.making import with_defaults
from edge.admin.memberships import MAX_ADDED, Member, Memberships, role_of
from edge.admin.owner_rows import TEAM_COLUMNS, membership_row, team_row
from edge.admin.owners import ORGANIZATION, TEAM, TEAM_MEMBER, Owners
from edge.admin.rights import after_change, refuse_beyond, terms_beyond
from edge.admin.terms import fill_checked
from edge.admin.words import Body, denied, invalid, text_of
from services.admin_defaults import AdminDefaults
from services.errors import GatewayError
from services.methods import LIST_KEYS
from services.transport import Channel

TIMEOUT_SECONDS = 60.0
PAGE = 10
MAX_PAGE = 100
MAX_PAGES = 1_000_000
# Teams that one list has, each with its members; more are on the pages of /v2/team/list.
MAX_TEAMS = 500
# Keys that a team's info shows.
MAX_KEYS = 100
_LISTED_BY = frozenset(("page", "page_size", "user_id", "organization_id", "team_id", "team_alias"))


class NameTeam(msgspec.Struct):
    """Bodies about one team."""

    team_id: str


class NameTeams(msgspec.Struct):
    """POST /team/delete."""

    team_ids: list[str]


class TeamModels(msgspec.Struct):
    """POST /team/model/add and /team/model/delete."""

    team_id: str
    models: list[str]


class TeamAdmin:
    """The handlers."""

    def __init__(
        self,
        keystore: Channel,
        owners: Owners,
        memberships: Memberships,
        allowed: AllowedModels,
        defaults: AdminDefaults,
    ) -> None:
        self._keystore = keystore
        self._owners = owners
        self._memberships = memberships
        self._allowed = allowed
        self._defaults = defaults

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/team/new", self.new),
            AdminRoute("GET", "/team/info", self.info),
            AdminRoute("GET", "/team/list", self.list),
            AdminRoute("GET", "/v2/team/list", self.pages),
            AdminRoute("POST", "/team/update", self.update),
            AdminRoute("POST", "/team/delete", self.delete),
            AdminRoute("POST", "/team/block", self.block),
            AdminRoute("POST", "/team/unblock", self.unblock),
            AdminRoute("POST", "/team/model/add", self.add_models),
            AdminRoute("POST", "/team/model/delete", self.delete_models),
        ]

    async def new(self, request: AdminRequest) -> object:
        """A team, with its members; who makes it with a user's key is an admin of it."""
        body = with_defaults(request.body, self._defaults.team)
        refuse_others(body, TEAM_COLUMNS, ("team_id", "members_with_roles"))
        members = _members_in(body)
        if request.caller.user_id and all(member.user_id != request.caller.user_id for member in members):
            members.append(Member(role="admin", user_id=request.caller.user_id))
        team = keystore_pb2.Owner(kind=TEAM, id=text_of(body, "team_id"), metadata_json="{}")
        fill_checked(TEAM_COLUMNS, body, team)
        if not request.reach.covers(organization_id=team.organization_id):
            raise denied("name an organisation that you are an admin of.", "organization_id")
        if team.organization_id:
            await self._owners.one(ORGANIZATION, team.organization_id)
        team.created_by = request.changed_by
        made = await self._owners.create(team, request.changed_by)
        try:
            for member in members:
                await self._memberships.add(TEAM_MEMBER, made.id, member, request.changed_by)
        except GatewayError:
            # All or nothing: a team without those who were to be in it is none.
            await self._owners.delete(TEAM, [made.id], request.changed_by)
            raise
        return await self._memberships.team_row(made)

    async def info(self, request: AdminRequest) -> object:
        """One team, with its members, what they may spend there, and its keys."""
        team_id = request.query.get("team_id") or (request.caller.key.team_id if request.caller.key else "")
        if not team_id:
            raise invalid("The query parameter 'team_id' is missing.", "team_id")
        team = await self._memberships.covered_team(request.reach, team_id, with_spend=True)
        members = await self._memberships.of_team(team.id, with_spend=True)
        keys = await self._keys_shown(request, team)
        budgets = await self._owners.budgets_of([*(member.terms for member in members), *(key.terms for key in keys)])
        return {
            "team_id": team.id,
            "team_info": team_row(team, members, await self._memberships.users(members)),
            "keys": [key_row(key, budgets) for key in keys],
            "team_memberships": [membership_row(member, budgets) for member in members],
        }

    async def list(self, request: AdminRequest) -> object:
        """Teams that the caller may see, the newest first; of `user_id` or `organization_id`."""
        teams, _ = await self._found(request, 1, MAX_TEAMS)
        return await self._memberships.team_rows(teams)

    async def pages(self, request: AdminRequest) -> object:
        """The same by pages."""
        query = request.query
        page, size = number_of(query, "page", 1, MAX_PAGES), number_of(query, "page_size", PAGE, MAX_PAGE)
        teams, total = await self._found(request, page, size)
        rows = await self._memberships.team_rows(teams)
        return {
            "teams": [{**row, "members_count": len(cast("list[object]", row["members_with_roles"]))} for row in rows],
            "total": total,
            "page": page,
            "page_size": size,
            "total_pages": -(-total // size),
        }

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names of a team. Who administers it may take from what it has, and not add to it."""
        body = request.body
        refuse_others(body, TEAM_COLUMNS, ("team_id",))
        named: NameTeam = convert(body, NameTeam)
        before = await self._memberships.covered_team(request.reach, named.team_id)
        change = keystore_pb2.Owner(kind=TEAM, id=before.id)
        members = fill_checked(TEAM_COLUMNS, body, change, before)
        after = after_change(members, change, before)
        await self._check_change(request, before, after, body)
        changed = await self._owners.update(change, members, request.changed_by)
        return {"team_id": changed.id, "data": await self._memberships.team_row(changed)}

    async def delete(self, request: AdminRequest) -> object:
        """Remove teams for good, with their keys and memberships. All or none."""
        asked: NameTeams = convert(request.body, NameTeams)
        if not 1 <= len(asked.team_ids) <= MAX_ADDED:
            raise invalid(f"Name 1 to {MAX_ADDED} teams.", "team_ids")
        for team_id in asked.team_ids:
            await self._memberships.covered_team(request.reach, team_id)
        await self._owners.delete(TEAM, asked.team_ids, request.changed_by)
        return {"deleted_teams": asked.team_ids}

    async def block(self, request: AdminRequest) -> object:
        """Refuse all calls of a team from the next on."""
        return await self._set_blocked(request, True)

    async def unblock(self, request: AdminRequest) -> object:
        """Take them again."""
        return await self._set_blocked(request, False)

    async def add_models(self, request: AdminRequest) -> object:
        """More models that the team may call."""
        asked: TeamModels = convert(request.body, TeamModels)
        team = await self._memberships.covered_team(request.reach, asked.team_id)
        return await self._set_models(request, team, [*team.terms.models, *asked.models])

    async def delete_models(self, request: AdminRequest) -> object:
        """Fewer models. Not the last one, for a team without a list may call all."""
        asked: TeamModels = convert(request.body, TeamModels)
        team = await self._memberships.covered_team(request.reach, asked.team_id)
        models = [model for model in team.terms.models if model not in asked.models]
        if team.terms.models and not models:
            raise invalid(
                "A team without a list may call all models. Leave one, or set models to ['no-default-models'].",
                "models",
            )
        return await self._set_models(request, team, models)

    async def _set_models(self, request: AdminRequest, team: keystore_pb2.Owner, models: Iterable[str]) -> object:
        change = keystore_pb2.Owner(kind=TEAM, id=team.id)
        change.terms.models.extend(dict.fromkeys(models))
        return await self._memberships.team_row(await self._owners.update(change, ["models"], request.changed_by))

    async def _set_blocked(self, request: AdminRequest, blocked: bool) -> object:
        named: NameTeam = convert(request.body, NameTeam)
        team = await self._memberships.covered_team(request.reach, named.team_id)
        change = keystore_pb2.Owner(kind=TEAM, id=team.id, blocked=blocked)
        return await self._memberships.team_row(await self._owners.update(change, ["blocked"], request.changed_by))

    async def _check_change(
        self, request: AdminRequest, before: keystore_pb2.Owner, after: keystore_pb2.Owner, touched: Container[str]
    ) -> None:
        reach = request.reach
        if after.organization_id != before.organization_id:
            if not reach.covers(organization_id=after.organization_id):
                raise denied("only admins of both organisations move teams.", "organization_id")
            if after.organization_id:
                await self._owners.one(ORGANIZATION, after.organization_id)
        if reach.everything or before.organization_id in reach.organization_ids:
            return
        if "blocked" in touched:
            raise denied("only admins block and unblock a team.", "blocked")
        lists = (before.terms.models, after.terms.models, after.aliases.values())
        groups = await self._allowed.groups(*lists)
        budgets = await self._owners.budgets_of([before.terms, after.terms])
        refuse_beyond(terms_beyond(before.terms, after.terms, groups, budgets), touched)

    async def _keys_shown(self, request: AdminRequest, team: keystore_pb2.Owner) -> Sequence[keystore_pb2.Key]:
        """Members see their team, and of its keys their own."""
        caller = request.caller
        sees_all = request.reach.everything or (
            team.id in caller.admin_team_ids or team.organization_id in caller.admin_organization_ids
        )
        if not sees_all and not caller.user_id:
            return ()
        asked = keystore_pb2.ListKeysRequest(
            page=1, size=MAX_KEYS, team_id=team.id, user_id="" if sees_all else caller.user_id, with_spend=True
        )
        return (await self._keystore.call(LIST_KEYS, asked, timeout_seconds=TIMEOUT_SECONDS)).keys

    async def _found(self, request: AdminRequest, page: int, size: int) -> tuple[Iterable[keystore_pb2.Owner], int]:
        """A page of the teams that are asked for, of those that the caller may see; and how many there are."""
        query, reach = request.query, request.reach
        for name, value in query.items():
            if value and value.lower() != "false" and name not in _LISTED_BY:
                raise invalid(f"This version does not list teams by {name}.", name)
        ids: frozenset[str] | None = None
        if user_id := query.get("user_id"):
            members = await self._owners.every(TEAM_MEMBER, user_id=user_id)
            ids = frozenset(member.team_id for member in members)
        organization_id, alias = query.get("organization_id", ""), query.get("team_alias", "")
        if ids is None and not query.get("team_id") and (reach.everything or organization_id in reach.organization_ids):
            return await self._pages(page, size, organization_id, alias)
        if query.get("team_id"):
            ids = frozenset((query["team_id"],))
        if ids is None:
            ids = reach.team_ids
            for each in sorted(reach.organization_ids):
                ids |= {team.id for team in await self._owners.every(TEAM, organization_id=each)}
        found = [
            team
            for team in (await self._owners.named(TEAM, sorted(ids))).values()
            if reach.covers(team_id=team.id, organization_id=team.organization_id)
            and (not organization_id or team.organization_id == organization_id)
            and (not alias or team.alias == alias)
        ]
        found.sort(key=lambda team: -team.created_ms)
        here = [team.id for team in found[(page - 1) * size : page * size]]
        return (await self._owners.named(TEAM, here, with_spend=True)).values(), len(found)

    async def _pages(
        self, page: int, size: int, organization_id: str, alias: str
    ) -> tuple[Iterable[keystore_pb2.Owner], int]:
        filters = {"organization_id": organization_id, "alias": alias}
        if size <= MAX_PAGE:
            return await self._owners.page(TEAM, page, size, filters=filters)
        teams = (await self._owners.every(TEAM, with_spend=True, **filters))[:size]
        return teams, len(teams)


def _members_in(body: Body) -> list[Member]:
    members: list[Member] = convert({"members": body.get("members_with_roles") or []}, _Members).members
    if len(members) > MAX_ADDED:
        raise invalid(f"At most {MAX_ADDED} members at once.", "members_with_roles")
    for member in members:
        role_of(member)
    return members


class _Members(msgspec.Struct):
    members: list[Member]
