"""Customers, whom LiteLLM calls end users too: /customer/* and /end_user/* onto the keystore's owners."""

from __future__ import annotations

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.columns import refuse_others
from edge.admin.endpoint import AdminRequest, AdminRoute, convert
from edge.admin.owner_rows import CUSTOMER_COLUMNS, customer_row
from edge.admin.owners import CUSTOMER, Owners, not_found
from edge.admin.terms import fill_checked
from edge.admin.words import invalid, text_of
from services.errors import GatewayError, Reason

# One body names no more.
MAX_NAMED = 500


class NameCustomers(msgspec.Struct):
    """POST /customer/block, /customer/unblock and /customer/delete."""

    user_ids: list[str]


class CustomerAdmin:
    """The handlers."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners

    def routes(self) -> list[AdminRoute]:
        """The table: each path by both names."""
        return [
            AdminRoute("POST", "/customer/new", self.new),
            AdminRoute("POST", "/end_user/new", self.new),
            AdminRoute("GET", "/customer/info", self.info),
            AdminRoute("GET", "/end_user/info", self.info),
            AdminRoute("GET", "/customer/list", self.list),
            AdminRoute("GET", "/end_user/list", self.list),
            AdminRoute("POST", "/customer/update", self.update),
            AdminRoute("POST", "/end_user/update", self.update),
            AdminRoute("POST", "/customer/delete", self.delete),
            AdminRoute("POST", "/end_user/delete", self.delete),
            AdminRoute("POST", "/customer/block", self.block),
            AdminRoute("POST", "/end_user/block", self.block),
            AdminRoute("POST", "/customer/unblock", self.unblock),
            AdminRoute("POST", "/end_user/unblock", self.unblock),
        ]

    async def new(self, request: AdminRequest) -> object:
        """A customer with terms; calls may name others all the same."""
        body = request.body
        refuse_others(body, CUSTOMER_COLUMNS, ("user_id",))
        if not text_of(body, "user_id"):
            raise invalid("A customer needs a user_id.", "user_id")
        customer = keystore_pb2.Owner(kind=CUSTOMER, id=body["user_id"], metadata_json="{}")
        fill_checked(CUSTOMER_COLUMNS, body, customer)
        customer.created_by = request.changed_by
        return await self._row(await self._owners.create(customer, request.changed_by))

    async def info(self, request: AdminRequest) -> object:
        """One customer."""
        name = request.query.get("end_user_id", "")
        if not name:
            raise invalid("The query parameter 'end_user_id' is missing.", "end_user_id")
        return await self._row(await self._owners.one(CUSTOMER, name, with_spend=True))

    async def list(self, request: AdminRequest) -> object:
        """All that somebody has made, the newest first."""
        customers = await self._owners.every(CUSTOMER, with_spend=True)
        budgets = await self._owners.budgets_of(customer.terms for customer in customers)
        return [customer_row(customer, budgets) for customer in customers]

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names."""
        body = request.body
        refuse_others(body, CUSTOMER_COLUMNS, ("user_id",))
        before = await self._owners.one(CUSTOMER, text_of(body, "user_id"))
        change = keystore_pb2.Owner(kind=CUSTOMER, id=before.id)
        members = fill_checked(CUSTOMER_COLUMNS, body, change, before)
        return await self._row(await self._owners.update(change, members, request.changed_by))

    async def delete(self, request: AdminRequest) -> object:
        """Remove customers; what they have spent stays in the ledger. All or none."""
        names = _named(request)
        found = await self._owners.named(CUSTOMER, names)
        for name in names:
            if name not in found:
                raise not_found(CUSTOMER, name)
        await self._owners.delete(CUSTOMER, names, request.changed_by)
        message = f"Successfully deleted customers with ids: {names}"
        return {"deleted_customers": len(names), "message": message}

    async def block(self, request: AdminRequest) -> object:
        """Refuse their calls from the next on; one that is not there is made."""
        return {"blocked_users": [await self._set_blocked(request, name, True) for name in _named(request)]}

    async def unblock(self, request: AdminRequest) -> object:
        """Take them again."""
        return {"unblocked_users": [await self._set_blocked(request, name, False) for name in _named(request)]}

    async def _set_blocked(self, request: AdminRequest, name: str, blocked: bool) -> object:
        customer = keystore_pb2.Owner(kind=CUSTOMER, id=name, blocked=blocked)
        try:
            changed = await self._owners.update(customer, ["blocked"], request.changed_by)
        except GatewayError as error:
            if error.reason != Reason.ERROR_REASON_NOT_FOUND or not blocked:
                raise
            customer.metadata_json, customer.created_by = "{}", request.changed_by
            changed = await self._owners.create(customer, request.changed_by)
        return await self._row(changed)

    async def _row(self, customer: keystore_pb2.Owner) -> object:
        return customer_row(customer, await self._owners.budgets_of([customer.terms]))


def _named(request: AdminRequest) -> list[str]:
    names: list[str] = convert(request.body, NameCustomers).user_ids
    if not 1 <= len(names) <= MAX_NAMED or not all(names):
        raise invalid(f"Name 1 to {MAX_NAMED} customers.", "user_ids")
    return names
