"""What a caller may ask for: LiteLLM's /models onto the catalog and the keystore."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.v1 import common_pb2

from edge.admin.allowed import AllowedModels
from edge.admin.endpoint import AdminAnswer, AdminRequest, AdminRoute

# LiteLLM's constant; model groups have no date of their own.
CREATED = 1677610602


class ModelAdmin:
    """The handlers of /models."""

    def __init__(self, allowed: AllowedModels) -> None:
        self._allowed = allowed

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/v1/models", self.list),
            AdminRoute("GET", "/models", self.list),
            # Names may have slashes in them.
            AdminRoute("GET", "/v1/models/{model:path}", self.one),
            AdminRoute("GET", "/models/{model:path}", self.one),
        ]

    async def list(self, request: AdminRequest) -> object:
        """The model groups that this key may call, and what else it may call them."""
        return {
            "data": [_row(name, model) for name, model in (await self._models(request)).items()],
            "object": "list",
        }

    async def one(self, request: AdminRequest) -> object:
        """One of them; 404 for all others, whether they exist or not."""
        name = request.path["model"]
        model = (await self._models(request)).get(name)
        if model is None:
            return AdminAnswer(404, {"detail": f"The model `{name}` does not exist or is not accessible"})
        return _row(name, model)

    async def _models(self, request: AdminRequest) -> Mapping[str, common_pb2.CatalogModel]:
        models = self._allowed.catalog
        key = request.caller.key
        if key is None:
            return models
        mine = await self._allowed.of(key)
        named = {**models, **{alias: models[name] for alias, name in mine.aliases.items() if name in models}}
        return {name: model for name, model in named.items() if mine.allows(name)}


def _row(name: str, model: common_pb2.CatalogModel) -> dict[str, object]:
    row: dict[str, object] = {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "openai",
        "mode": "chat",
    }
    if model.max_input_tokens:
        row["max_input_tokens"] = model.max_input_tokens
    if model.max_output_tokens:
        row["max_output_tokens"] = model.max_output_tokens
    return row
