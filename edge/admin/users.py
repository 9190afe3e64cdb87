"""Users: LiteLLM's /user/* onto the keystore's owners."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.access import Reach
from edge.admin.columns import refuse_others
from edge.admin.endpoint import AdminAnswer, AdminRequest, AdminRoute, convert, number_of
from edge.admin.key_members import key_row
from edge.admin.key_rights import KeyRights
from edge.admin.keys import KeyAdmin
from edge.admin.making import with_defaults
from edge.admin.memberships import Memberships, each_of
from edge.admin.owner_rows import USER_COLUMNS, user_row
from edge.admin.owners import ORGANIZATION_MEMBER, TEAM, TEAM_MEMBER, USER, Owners, member_id, not_found
from edge.admin.terms import fill_checked
from edge.admin.words import Body, denied, invalid, text_of, texts_of
from services.admin_defaults import AdminDefaults
from services.errors import GatewayError
from services.methods import LIST_KEYS
from services.transport import Channel

TIMEOUT_SECONDS = 60.0
PAGE = 25
MAX_PAGE = 100
MAX_PAGES = 1_000_000
# Of one user, of their keys.
MAX_KEYS = 100
# Each of one body is several questions to the keystore.
MAX_CHANGED_AT_ONCE = 500

# What each role may do, as LiteLLM tells it.
ROLES: Mapping[str, tuple[str, str]] = {
    "proxy_admin": ("Admin (All Permissions)", "create keys, delete keys, update keys, everything else"),
    "proxy_admin_viewer": ("Admin (View Only)", "see everything, change nothing"),
    "org_admin": ("Organization Admin", "administer the organisations that they are an admin of"),
    "internal_user": ("Internal User (Create/Delete/View)", "make, change, delete and see their own keys"),
    "internal_user_viewer": ("Internal User (View Only)", "see their own keys and their own spend"),
}
# What somebody who is no proxy admin may make others.
LOWER_ROLES = ("internal_user", "internal_user_viewer")

# Of /user/new: what goes into the user's first key, and what else is acted on.
_KEY_MEMBERS = ("key_alias", "duration", "aliases", "allowed_routes", "models", "tags", "team_id")
_ALSO = ("user_id", "auto_create_key", "teams", "organizations", *_KEY_MEMBERS)
_LISTED_BY = frozenset(("page", "page_size", "role", "user_ids", "user_email", "team", "organization_id"))


class NameUsers(msgspec.Struct):
    """POST /user/delete."""

    user_ids: list[str]


class UpdateUsers(msgspec.Struct):
    """POST /user/bulk_update."""

    users: list[dict[str, Any]] = []
    all_users: bool = False


class UserAdmin:
    """The handlers."""

    def __init__(
        self,
        keystore: Channel,
        owners: Owners,
        memberships: Memberships,
        keys: KeyAdmin,
        rights: KeyRights,
        defaults: AdminDefaults,
    ) -> None:
        self._keystore = keystore
        self._rights = rights
        self._owners = owners
        self._memberships = memberships
        self._keys = keys
        self._defaults = defaults

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/user/new", self.new),
            AdminRoute("GET", "/user/info", self.info),
            AdminRoute("GET", "/v2/user/info", self.info_alone),
            AdminRoute("GET", "/user/list", self.listing),
            AdminRoute("POST", "/user/update", self.update),
            AdminRoute("POST", "/user/bulk_update", self.update_many),
            AdminRoute("POST", "/user/delete", self.delete),
            AdminRoute("GET", "/user/available_roles", self.roles),
        ]

    async def new(self, request: AdminRequest) -> object:
        """A user, with a first key unless `auto_create_key` is false."""
        body = with_defaults(request.body, self._defaults.user)
        refuse_others(body, USER_COLUMNS, _ALSO)
        organizations = texts_of(body, "organizations")
        self._check_role(request, body, organizations)
        user = keystore_pb2.Owner(kind=USER, id=text_of(body, "user_id"), metadata_json="{}")
        fill_checked(USER_COLUMNS, body, user)
        user.created_by = request.changed_by
        made = await self._owners.create(user, request.changed_by)
        try:
            for organization_id in organizations:
                await self._memberships.join(ORGANIZATION_MEMBER, organization_id, made.id, "user", request.changed_by)
            team_ids = texts_of(body, "teams")
            for team_id in team_ids:
                await self._memberships.join(TEAM_MEMBER, team_id, made.id, "user", request.changed_by)
            answer: dict[str, object] = {"key": None}
            if body.get("auto_create_key") is not False:
                answer = await self._keys.make(
                    request, {"user_id": made.id, **{name: body[name] for name in _KEY_MEMBERS if name in body}}
                )
        except GatewayError:
            # All or nothing: a user whose key could not be made is none.
            await self._owners.delete(USER, [made.id], request.changed_by)
            raise
        return {**answer, **user_row(made, team_ids)}

    async def info(self, request: AdminRequest) -> object:
        """One user, with their keys and teams; without `user_id` the caller's own."""
        user = await self._asked_for(request)
        # To whom a user is one of their organisation's: of the teams and keys, those of it.
        teams = await self._teams_of(user, request.reach, with_spend=True)
        keys = [key for key in await self._keys_of(user.id) if await self._rights.covers(request.reach, key)]
        budgets = await self._owners.budgets_of(key.terms for key in keys)
        aliases = {team.id: team.alias or None for team in teams.values()}
        return {
            "user_id": user.id,
            "user_info": {**user_row(user, aliases), "organization_memberships": []},
            "keys": [{**key_row(key, budgets), "team_alias": aliases.get(key.team_id)} for key in keys],
            "teams": await self._memberships.team_rows(teams.values()),
        }

    async def info_alone(self, request: AdminRequest) -> object:
        """The user alone."""
        user = await self._asked_for(request)
        return user_row(user, await self._teams_of(user, request.reach))

    async def listing(self, request: AdminRequest) -> object:
        """A page of users, the newest first."""
        query = request.query
        for name, value in query.items():
            if value and name not in _LISTED_BY:
                raise invalid(f"This version does not list users by {name}.", name)
        page, size = number_of(query, "page", 1, MAX_PAGES), number_of(query, "page_size", PAGE, MAX_PAGE)
        if ids := [each for each in query.get("user_ids", "").split(",") if each]:
            found = await self._owners.named(USER, ids)
            users, total = list(found.values())[(page - 1) * size : page * size], len(found)
            users = list((await self._owners.named(USER, (user.id for user in users), with_spend=True)).values())
        elif team_id := query.get("team"):
            members, total = await self._owners.page(
                TEAM_MEMBER, page, size, with_spend=False, filters={"team_id": team_id}
            )
            users = list(
                (await self._owners.named(USER, (member.user_id for member in members), with_spend=True)).values()
            )
        else:
            names = {"role": "role", "user_email": "email", "organization_id": "organization_id"}
            filters = {member: query[name] for name, member in names.items() if query.get(name)}
            listed, total = await self._owners.page(USER, page, size, filters=filters)
            users = list(listed)
        return {
            "users": await self._listed(users),
            "total": total,
            "page": page,
            "page_size": size,
            "total_pages": -(-total // size),
        }

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names of a user, whom `user_id` or `user_email` names."""
        user = await self._update(request, request.body)
        return {"user_id": user["user_id"], "data": user}

    async def update_many(self, request: AdminRequest) -> object:
        """The same for several users, one after the other; what could not be changed is told of."""
        asked: UpdateUsers = convert(request.body, UpdateUsers)
        if asked.all_users:
            raise invalid("This version does not act on: all_users. Name the users.", "all_users")
        if not 1 <= len(asked.users) <= MAX_CHANGED_AT_ONCE:
            raise invalid(f"Name 1 to {MAX_CHANGED_AT_ONCE} users.", "users")
        results: list[dict[str, object]] = []
        for body in asked.users:
            named = {"user_id": body.get("user_id"), "user_email": body.get("user_email")}
            try:
                user = await self._update(request, body)
                results.append({**named, "success": True, "error": None, "updated_user": user})
            except GatewayError as error:
                results.append({**named, "success": False, "error": error.message, "updated_user": None})
        good = sum(result["success"] is True for result in results)
        return {
            "results": results,
            "total_requested": len(results),
            "successful_updates": good,
            "failed_updates": len(results) - good,
        }

    async def delete(self, request: AdminRequest) -> object:
        """Remove users for good, with their keys and memberships. None, when one of them is not there."""
        asked: NameUsers = convert(request.body, NameUsers)
        if not 1 <= len(asked.user_ids) <= MAX_CHANGED_AT_ONCE:
            raise invalid(f"Name 1 to {MAX_CHANGED_AT_ONCE} users.", "user_ids")
        found = await self._owners.named(USER, asked.user_ids)
        for user_id in asked.user_ids:
            if user_id not in found:
                return AdminAnswer(404, {"detail": {"error": f"User not found, passed user_id={user_id[:100]}"}})
        await self._owners.delete(USER, asked.user_ids, request.changed_by)
        return {"deleted_users": asked.user_ids}

    async def roles(self, request: AdminRequest) -> object:
        """What users may be."""
        return {role: {"ui_label": label, "description": does} for role, (label, does) in ROLES.items()}

    def _check_role(self, request: AdminRequest, body: Body, organizations: Iterable[str]) -> None:
        """Nobody makes others more than they are."""
        role = body.get("user_role")
        if role is not None and role not in ROLES:
            raise invalid(f"user_role must be one of {', '.join(ROLES)}.", "user_role")
        if request.reach.everything:
            return
        if role is not None and role not in LOWER_ROLES:
            raise denied(f"only proxy admins make others {role}.", "user_role")
        joined = frozenset(organizations)
        if not joined or not joined <= request.reach.organization_ids:
            raise denied("name organisations that you are an admin of.", "organizations")
        if body.get("teams") or body.get("auto_create_key") is not False:
            raise denied(
                "only proxy admins make users with teams or a key: set auto_create_key to false.", "auto_create_key"
            )

    async def _update(self, request: AdminRequest, body: Body) -> dict[str, object]:
        refuse_others(body, USER_COLUMNS, ("user_id",))
        self._check_role(request, body, ())
        before = await self._owners.user_named(text_of(body, "user_id"), text_of(body, "user_email"))
        if before is None:
            raise not_found(USER, text_of(body, "user_id") or text_of(body, "user_email"))
        change = keystore_pb2.Owner(kind=USER, id=before.id)
        members = fill_checked(USER_COLUMNS, body, change, before)
        after = await self._owners.update(change, members, request.changed_by)
        teams = await self._owners.every(TEAM_MEMBER, user_id=after.id)
        return user_row(after, (member.team_id for member in teams))

    async def _asked_for(self, request: AdminRequest) -> keystore_pb2.Owner:
        user_id = request.query.get("user_id") or request.caller.user_id
        if not user_id:
            raise invalid("The query parameter 'user_id' is missing.", "user_id")
        reach = request.reach
        if not reach.covers(user_id=user_id):
            memberships = (member_id(each, user_id) for each in reach.organization_ids)
            if not await self._owners.named(ORGANIZATION_MEMBER, memberships):
                raise denied("a user may see only themselves.", "user_id")
        return await self._owners.one(USER, user_id, with_spend=True)

    async def _teams_of(
        self, user: keystore_pb2.Owner, reach: Reach, *, with_spend: bool = False
    ) -> Mapping[str, keystore_pb2.Owner]:
        """Those of a user's teams that a request gets to, by id: all of the caller's own."""
        members = await self._owners.every(TEAM_MEMBER, user_id=user.id)
        teams = await self._owners.named(TEAM, (member.team_id for member in members), with_spend=with_spend)
        return {
            team.id: team
            for team in teams.values()
            if reach.covers(user_id=user.id, team_id=team.id, organization_id=team.organization_id)
        }

    async def _listed(self, users: Iterable[keystore_pb2.Owner]) -> list[dict[str, object]]:
        """Users as lists have them: with their teams, and how many keys each has."""

        async def row(user: keystore_pb2.Owner) -> dict[str, object]:
            members, keys = await asyncio.gather(
                self._owners.every(TEAM_MEMBER, user_id=user.id),
                self._keystore.call(
                    LIST_KEYS,
                    keystore_pb2.ListKeysRequest(page=1, size=1, user_id=user.id),
                    timeout_seconds=TIMEOUT_SECONDS,
                ),
            )
            return {**user_row(user, (member.team_id for member in members)), "key_count": keys.total_count}

        return await each_of(users, row)

    async def _keys_of(self, user_id: str) -> Sequence[keystore_pb2.Key]:
        asked = keystore_pb2.ListKeysRequest(page=1, size=MAX_KEYS, user_id=user_id, with_spend=True)
        return (await self._keystore.call(LIST_KEYS, asked, timeout_seconds=TIMEOUT_SECONDS)).keys
