"""Tags with money or limits of their own: LiteLLM's /tag/* onto the keystore's owners. Calls may have others too."""

from __future__ import annotations

from gateway.v1 import keystore_pb2

from edge.admin.columns import refuse_others
from edge.admin.endpoint import AdminRequest, AdminRoute
from edge.admin.owner_rows import TAG_COLUMNS, tag_row
from edge.admin.owners import TAG, Owners
from edge.admin.terms import fill_checked
from edge.admin.words import invalid, text_of, texts_of

# One body names no more.
MAX_NAMED = 500


class TagAdmin:
    """The handlers."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/tag/new", self.new),
            AdminRoute("POST", "/tag/info", self.info),
            AdminRoute("GET", "/tag/list", self.list),
            AdminRoute("POST", "/tag/update", self.update),
            AdminRoute("POST", "/tag/delete", self.delete),
        ]

    async def new(self, request: AdminRequest) -> object:
        """A tag."""
        body = request.body
        refuse_others(body, TAG_COLUMNS, ("name",))
        if not text_of(body, "name"):
            raise invalid("A tag needs a name.", "name")
        tag = keystore_pb2.Owner(kind=TAG, id=body["name"], created_by=request.changed_by)
        fill_checked(TAG_COLUMNS, body, tag)
        made = await self._owners.create(tag, request.changed_by)
        return {"message": f"Tag {made.id} created successfully", "tag": await self._row(made)}

    async def info(self, request: AdminRequest) -> object:
        """Those of these that are there, by their names."""
        names = texts_of(request.body, "names")
        if not 1 <= len(names) <= MAX_NAMED:
            raise invalid(f"Name 1 to {MAX_NAMED} tags.", "names")
        found = await self._owners.named(TAG, names, with_spend=True)
        budgets = await self._owners.budgets_of(tag.terms for tag in found.values())
        return {name: tag_row(tag, budgets) for name, tag in found.items()}

    async def list(self, request: AdminRequest) -> object:
        """All that somebody has made, the newest first."""
        tags = await self._owners.every(TAG, with_spend=True)
        budgets = await self._owners.budgets_of(tag.terms for tag in tags)
        return [tag_row(tag, budgets) for tag in tags]

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names."""
        body = request.body
        refuse_others(body, TAG_COLUMNS, ("name",))
        before = await self._owners.one(TAG, text_of(body, "name"))
        change = keystore_pb2.Owner(kind=TAG, id=before.id)
        members = fill_checked(TAG_COLUMNS, body, change, before)
        changed = await self._owners.update(change, members, request.changed_by)
        return {"message": f"Tag {changed.id} updated successfully", "tag": await self._row(changed)}

    async def delete(self, request: AdminRequest) -> object:
        """Remove one; what calls with it have spent stays in the ledger."""
        tag = await self._owners.one(TAG, text_of(request.body, "name"))
        await self._owners.delete(TAG, [tag.id], request.changed_by)
        return {"message": f"Tag {tag.id} deleted successfully"}

    async def _row(self, tag: keystore_pb2.Owner) -> object:
        return tag_row(tag, await self._owners.budgets_of([tag.terms]))
