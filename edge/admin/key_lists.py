"""Virtual keys shown: LiteLLM's /key/info, /key/list, /key/aliases and /key/health."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.v1 import keystore_pb2

from edge.admin.endpoint import AdminRequest, AdminRoute, number_of
from edge.admin.key_members import key_row
from edge.admin.key_rights import KeyRights
from edge.admin.owners import TEAM_MEMBER, Owners
from edge.admin.words import denied, invalid
from services.methods import GET_KEY, LIST_KEYS
from services.transport import Channel

# An admin waits longer than a call: the keystore may be catching up with PostgreSQL.
TIMEOUT_SECONDS = 10.0
# Of each key in a list what it has spent may have to be summed.
LIST_TIMEOUT_SECONDS = 60.0
# Keys on a page, if nobody says how many, as in LiteLLM.
PAGE = 10
MAX_PAGE = 100
MAX_PAGES = 1_000_000
# Aliases on a page; and keys that are looked through for them.
ALIASES_PAGE = 50
MAX_LOOKED_THROUGH = 10_000
LISTED_BY = frozenset(
    (
        *("page", "size", "user_id", "team_id", "organization_id", "key_alias", "key_hash", "return_full_object"),
        *("include_team_keys", "sort_by", "sort_order"),
    )
)
# LiteLLM's columns, and the keystore's.
SORTED_BY: Mapping[str, str] = {
    "created_at": "created_ms",
    "updated_at": "updated_ms",
    "key_alias": "key_alias",
    "expires": "expires_ms",
}


class KeyLists:
    """The handlers."""

    def __init__(self, keystore: Channel, owners: Owners, rights: KeyRights) -> None:
        self._keystore = keystore
        self._owners = owners
        self._rights = rights

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/key/info", self.info),
            AdminRoute("GET", "/key/list", self.list),
            AdminRoute("GET", "/key/aliases", self.aliases),
            AdminRoute("POST", "/key/health", self.health),
        ]

    async def info(self, request: AdminRequest) -> object:
        """One key that the caller may see; without `key` the caller's own."""
        own, name = request.caller.key, request.query.get("key")
        if not name:
            if own is None:
                raise invalid("The query parameter 'key' is missing.", "key")
            # As it is found by its id: with what it has spent.
            return {"key": own.token, "info": await self._info(await self._get(own.key_id))}
        key = await self._get(name)
        await self._rights.check_covers(request.reach, key)
        return {"key": name, "info": await self._info(key)}

    async def list(self, request: AdminRequest) -> object:
        """A page of keys, the newest first: their tokens, or with `return_full_object` all of each."""
        query = request.query
        for name, value in query.items():
            if value and value.lower() != "false" and name not in LISTED_BY:
                raise invalid(f"This version does not list keys by {name}.", name)
        page, size = number_of(query, "page", 1, MAX_PAGES), number_of(query, "size", PAGE, MAX_PAGE)
        is_full = query.get("return_full_object", "").lower() == "true"
        wanted = await self._wanted(request)
        wanted.page, wanted.size, wanted.with_spend = page, size, is_full
        answer = await self._keystore.call(LIST_KEYS, wanted, timeout_seconds=LIST_TIMEOUT_SECONDS)
        budgets = await self._owners.budgets_of(key.terms for key in answer.keys) if is_full else {}
        return {
            "keys": [key_row(key, budgets) if is_full else key.token for key in answer.keys],
            "total_count": answer.total_count,
            "current_page": page,
            "total_pages": -(-answer.total_count // size),
        }

    async def aliases(self, request: AdminRequest) -> object:
        """A page of the names of keys, of the newest 10,000; `search`: with this in them."""
        query = request.query
        page, size = number_of(query, "page", 1, MAX_PAGES), number_of(query, "size", ALIASES_PAGE, MAX_PAGE)
        wanted = await self._wanted(request)
        wanted.size = MAX_PAGE
        aliases: list[str] = []
        for number in range(1, MAX_LOOKED_THROUGH // MAX_PAGE + 1):
            wanted.page = number
            answer = await self._keystore.call(LIST_KEYS, wanted, timeout_seconds=LIST_TIMEOUT_SECONDS)
            aliases += [key.key_alias for key in answer.keys if key.key_alias]
            if number * MAX_PAGE >= answer.total_count:
                break
        found = sorted(alias for alias in aliases if query.get("search", "").lower() in alias.lower())
        return {
            "aliases": found[(page - 1) * size : page * size],
            "total_count": len(found),
            "current_page": page,
            "total_pages": -(-len(found) // size),
            "size": size,
        }

    async def health(self, request: AdminRequest) -> object:
        """Whether the key that asks may be used: it has been, to ask. Keys have no callbacks of their own."""
        return {"key": "healthy", "logging_callbacks": None}

    async def _wanted(self, request: AdminRequest) -> keystore_pb2.ListKeysRequest:
        """Which keys a list is of: those that are asked for, of those that the caller may see."""
        query, reach = request.query, request.reach
        sort_by, order = query.get("sort_by") or "created_at", (query.get("sort_order") or "desc").lower()
        if sort_by not in SORTED_BY:
            raise invalid(f"Keys are sorted by {', '.join(SORTED_BY)}.", "sort_by")
        if order not in ("asc", "desc"):
            raise invalid("sort_order must be asc or desc.", "sort_order")
        wanted = keystore_pb2.ListKeysRequest(
            user_id=query.get("user_id"),
            team_id=query.get("team_id"),
            organization_id=query.get("organization_id"),
            key_alias=query.get("key_alias"),
            name=query.get("key_hash"),
            sort_by=SORTED_BY[sort_by],
            ascending=order == "asc",
        )
        with_teams = query.get("include_team_keys", "").lower() == "true"
        if reach.everything:
            if with_teams and wanted.user_id:
                members = await self._owners.every(TEAM_MEMBER, user_id=wanted.user_id)
                wanted.team_ids.extend(member.team_id for member in members if member.role == "admin")
            return wanted
        if wanted.team_id in reach.team_ids or wanted.organization_id in reach.organization_ids:
            return wanted
        if wanted.user_id and wanted.user_id != reach.user_id:
            raise denied("only keys of your own, or of your team, are listed.", "user_id")
        if reach.user_id:
            wanted.user_id = reach.user_id
            if with_teams:
                wanted.team_ids.extend(sorted(reach.team_ids))
        elif not wanted.name:
            wanted.name = reach.key_id
        elif (await self._get(wanted.name)).key_id != reach.key_id:
            raise denied("this key is not yours.", "key_hash")
        return wanted

    async def _info(self, key: keystore_pb2.Key) -> dict[str, object]:
        return {**key_row(key, await self._owners.budgets_of([key.terms])), "status": "active"}

    async def _get(self, name: str) -> keystore_pb2.Key:
        asked = keystore_pb2.GetKeyRequest(name=name)
        return (await self._keystore.call(GET_KEY, asked, timeout_seconds=TIMEOUT_SECONDS)).key
