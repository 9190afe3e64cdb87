"""Groups of models: LiteLLM's /access_group/* and /v1/access_group onto the keystore's owners.

A group's name may stand among the models of a key or an owner. Groups that deployments name in the configuration are
the routers' and are not listed here; one of the same name here stands for the models of both.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.columns import attributes_of, refuse_others
from edge.admin.endpoint import AdminAnswer, AdminRequest, AdminRoute, convert
from edge.admin.kinds import MAX_ITEMS
from edge.admin.owners import ACCESS_GROUP, Owners
from edge.admin.times import iso
from edge.admin.words import invalid
from edge.exchange import Routers


class GroupOfNames(msgspec.Struct):
    """POST /access_group/new and PUT /access_group/{access_group}/update."""

    access_group: str = ""
    model_names: list[str] = []


class Group(msgspec.Struct):
    """POST /v1/access_group and PUT /v1/access_group/{access_group_id}."""

    access_group_name: str | None = None
    description: str | None = None
    access_model_names: list[str] | None = None


class AccessGroupAdmin:
    """The handlers."""

    def __init__(self, owners: Owners, routers: Routers) -> None:
        self._owners = owners
        self._routers = routers

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/access_group/new", self.new),
            AdminRoute("GET", "/access_group/list", self.listing),
            AdminRoute("GET", "/access_group/{access_group}/info", self.info),
            AdminRoute("PUT", "/access_group/{access_group}/update", self.update),
            AdminRoute("DELETE", "/access_group/{access_group}/delete", self.delete),
            AdminRoute("POST", "/v1/access_group", self.new_whole),
            AdminRoute("GET", "/v1/access_group", self.list_whole),
            AdminRoute("GET", "/v1/access_group/{access_group_id}", self.info_whole),
            AdminRoute("PUT", "/v1/access_group/{access_group_id}", self.update_whole),
            AdminRoute("DELETE", "/v1/access_group/{access_group_id}", self.delete_whole),
        ]

    async def new(self, request: AdminRequest) -> object:
        """A name for several model groups."""
        refuse_others(request.body, (), GroupOfNames.__struct_fields__)
        asked: GroupOfNames = convert(request.body, GroupOfNames)
        group = await self._create(request, asked.access_group, asked.model_names, None)
        return _changed(group)

    async def listing(self, request: AdminRequest) -> object:
        """All."""
        return {"access_groups": [_of_names(group) for group in await self._owners.every(ACCESS_GROUP)]}

    async def info(self, request: AdminRequest) -> object:
        """One."""
        return _of_names(await self._owners.one(ACCESS_GROUP, request.path["access_group"]))

    async def update(self, request: AdminRequest) -> object:
        """Other models, from the next call on of whoever may call the group."""
        refuse_others(request.body, (), GroupOfNames.__struct_fields__)
        asked: GroupOfNames = convert(request.body, GroupOfNames)
        return _changed(await self._set_models(request, request.path["access_group"], asked.model_names))

    async def delete(self, request: AdminRequest) -> object:
        """Remove one: its name stands for nothing any more."""
        group = await self._delete(request, request.path["access_group"])
        message = f"Access group '{group.id}' deleted successfully"
        return {"access_group": group.id, "models_updated": len(group.terms.models), "message": message}

    async def new_whole(self, request: AdminRequest) -> object:
        """The same, in LiteLLM's newer form; the id is the name."""
        refuse_others(request.body, (), Group.__struct_fields__)
        asked: Group = convert(request.body, Group)
        models = asked.access_model_names or []
        return AdminAnswer(
            201, _whole(await self._create(request, asked.access_group_name or "", models, asked.description))
        )

    async def list_whole(self, request: AdminRequest) -> object:
        """All."""
        return [_whole(group) for group in await self._owners.every(ACCESS_GROUP)]

    async def info_whole(self, request: AdminRequest) -> object:
        """One."""
        return _whole(await self._owners.one(ACCESS_GROUP, request.path["access_group_id"]))

    async def update_whole(self, request: AdminRequest) -> object:
        """Other models, or another description. Its name is what keys and owners say, and stays."""
        refuse_others(request.body, (), Group.__struct_fields__)
        asked: Group = convert(request.body, Group)
        name = request.path["access_group_id"]
        if asked.access_group_name not in (None, name):
            raise invalid("A group keeps its name: make another one.", "access_group_name")
        group = await self._owners.one(ACCESS_GROUP, name)
        change, members = keystore_pb2.Owner(kind=ACCESS_GROUP, id=name), []
        if asked.description is not None:
            change.attributes_json = _attributes(asked.description)
            members.append("attributes_json")
        if asked.access_model_names is not None:
            change.terms.models.extend(self._checked(asked.access_model_names))
            members.append("models")
        return _whole(await self._owners.update(change, members, request.changed_by) if members else group)

    async def delete_whole(self, request: AdminRequest) -> object:
        """Remove one."""
        await self._delete(request, request.path["access_group_id"])
        return AdminAnswer(204, b"")

    async def _create(
        self, request: AdminRequest, name: str, models: Iterable[str], description: str | None
    ) -> keystore_pb2.Owner:
        if not name or "*" in name:
            raise invalid("A group needs a name, without a * in it.", "access_group")
        if name in self._routers.models:
            raise invalid(f"{name} is a model group: a list that names it could mean either.", "access_group")
        group = keystore_pb2.Owner(kind=ACCESS_GROUP, id=name, created_by=request.changed_by)
        group.terms.models.extend(self._checked(models))
        if description:
            group.attributes_json = _attributes(description)
        return await self._owners.create(group, request.changed_by)

    async def _set_models(self, request: AdminRequest, name: str, models: Iterable[str]) -> keystore_pb2.Owner:
        change = keystore_pb2.Owner(kind=ACCESS_GROUP, id=(await self._owners.one(ACCESS_GROUP, name)).id)
        change.terms.models.extend(self._checked(models))
        return await self._owners.update(change, ["models"], request.changed_by)

    async def _delete(self, request: AdminRequest, name: str) -> keystore_pb2.Owner:
        group = await self._owners.one(ACCESS_GROUP, name)
        await self._owners.delete(ACCESS_GROUP, [group.id], request.changed_by)
        return group

    def _checked(self, models: Iterable[str]) -> list[str]:
        """Models of a group; also those that nobody serves now, for routers may be away."""
        names = list(dict.fromkeys(models))
        if len(names) > MAX_ITEMS:
            raise invalid(f"A group has at most {MAX_ITEMS} models.", "model_names")
        return names


def _attributes(description: str) -> str:
    return msgspec.json.encode({"description": description}).decode()


def _of_names(group: keystore_pb2.Owner) -> dict[str, object]:
    models = list(group.terms.models)
    return {"access_group": group.id, "model_names": models, "deployment_count": len(models)}


def _changed(group: keystore_pb2.Owner) -> dict[str, object]:
    models = list(group.terms.models)
    return {"access_group": group.id, "model_names": models, "model_ids": None, "models_updated": len(models)}


def _whole(group: keystore_pb2.Owner) -> dict[str, object]:
    return {
        "access_group_id": group.id,
        "access_group_name": group.id,
        "description": attributes_of(group).get("description"),
        "access_model_names": list(group.terms.models),
        "access_mcp_server_ids": [],
        "access_agent_ids": [],
        "assigned_team_ids": [],
        "assigned_key_ids": [],
        "created_at": iso(group.created_ms),
        "created_by": group.created_by or None,
        "updated_at": iso(group.updated_ms),
        "updated_by": group.updated_by or None,
    }
