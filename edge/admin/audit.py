"""The audit log: LiteLLM's /audit onto the keystore's changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.endpoint import AdminRequest, AdminRoute, number_of, place_of
from edge.admin.times import date_range_ms, iso
from services.errors import GatewayError, Reason
from services.methods import LIST_CHANGES
from services.transport import Channel

TIMEOUT_SECONDS = 60.0
PAGE = 10
MAX_PAGE = 100
# Pages are counted from the newest change, and this many changes are looked through; further back leads `before_id`.
MAX_LOOKED_THROUGH = 1_000

# LiteLLM's names of tables, and the keystore's kinds of objects.
TABLES: Mapping[str, str] = {
    "LiteLLM_VerificationToken": "key",
    "LiteLLM_UserTable": "user",
    "LiteLLM_TeamTable": "team",
    "LiteLLM_TeamMembership": "team_member",
    "LiteLLM_EndUserTable": "customer",
    "LiteLLM_OrganizationTable": "organization",
    "LiteLLM_OrganizationMembership": "organization_member",
    "LiteLLM_BudgetTable": "budget",
    "LiteLLM_TagTable": "tag",
    "LiteLLM_AccessGroupTable": "access_group",
}
_NAMES = {kind: table for table, kind in TABLES.items()}
# LiteLLM's word for one action is another.
_ACTIONS: Mapping[str, str] = {"rotated": "regenerated"}


class AuditAdmin:
    """The handlers."""

    def __init__(self, keystore: Channel) -> None:
        self._keystore = keystore

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/audit", self.page),
            AdminRoute("GET", "/audit/{id}", self.one),
        ]

    async def page(self, request: AdminRequest) -> object:
        """A page of changes, the newest first."""
        query = request.query
        size = number_of(query, "page_size", PAGE, MAX_PAGE)
        page = number_of(query, "page", 1, MAX_LOOKED_THROUGH // size)
        start_ms, end_ms = date_range_ms(query.get("start_date"), query.get("end_date"))
        table, action = query.get("table_name", ""), query.get("action", "")
        wanted = min(page * size + 1, MAX_LOOKED_THROUGH)
        changes = await self._changes(
            keystore_pb2.ListChangesRequest(
                size=wanted,
                before_id=place_of(query, "before_id"),
                changed_by=query.get("changed_by"),
                object_kind=TABLES.get(table, table),
                object_id=query.get("object_id"),
                action=_ACTIONS.get(action, action),
                start_ms=start_ms,
                end_ms=end_ms,
            )
        )
        return {
            "audit_logs": [_row(change) for change in changes[(page - 1) * size : page * size]],
            "total": len(changes),
            "page": page,
            "page_size": size,
            "total_pages": -(-len(changes) // size),
            # There may be more than have been looked through for this page.
            "total_is_capped": len(changes) == wanted,
        }

    async def one(self, request: AdminRequest) -> object:
        """One change."""
        number = place_of(request.path, "id")
        asked = keystore_pb2.ListChangesRequest(size=1, before_id=number + 1)
        for change in await self._changes(asked):
            if change.id == number:
                return _row(change)
        raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "There is no such change.", param="id")

    async def _changes(self, asked: keystore_pb2.ListChangesRequest) -> Sequence[keystore_pb2.Change]:
        """So many, if there are as many: one answer may have fewer, for some are long."""
        wanted, found = asked.size, list[keystore_pb2.Change]()
        while len(found) < wanted:
            asked.size = wanted - len(found)
            more = (await self._keystore.call(LIST_CHANGES, asked, timeout_seconds=TIMEOUT_SECONDS)).changes
            if not more:
                break
            found += more
            asked.before_id = found[-1].id
        return found


def _row(change: keystore_pb2.Change) -> dict[str, object]:
    return {
        "id": str(change.id),
        "updated_at": iso(change.at_ms),
        "changed_by": change.changed_by,
        "changed_by_api_key": None,
        "action": change.action,
        "table_name": _NAMES.get(change.object_kind, change.object_kind),
        "object_id": change.object_id,
        "before_value": _object(change.before_json),
        "updated_values": _object(change.after_json),
    }


def _object(text: str) -> object:
    return msgspec.json.decode(text) if text else None
