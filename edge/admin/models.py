"""What a caller may ask for: LiteLLM's /models onto the catalog and the keystore."""

from __future__ import annotations

from gateway.v1 import common_pb2, keystore_pb2

from edge.admin.directory import KeyDirectory
from edge.admin.endpoint import Access, AdminAnswer, AdminRequest, AdminRoute
from edge.exchange import Routers

# LiteLLM's constant; model groups have no date of their own.
CREATED = 1677610602


class ModelAdmin:
    """The handlers of /models."""

    def __init__(self, directory: KeyDirectory, routers: Routers) -> None:
        self._directory = directory
        self._routers = routers

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/v1/models", Access.ANY_KEY, self.list),
            AdminRoute("GET", "/models", Access.ANY_KEY, self.list),
            # Names may have slashes in them.
            AdminRoute("GET", "/v1/models/{model:path}", Access.ANY_KEY, self.one),
            AdminRoute("GET", "/models/{model:path}", Access.ANY_KEY, self.one),
        ]

    async def list(self, request: AdminRequest) -> object:
        """The model groups that this key may call."""
        return {"data": [_row(model) for model in (await self._models(request)).values()], "object": "list"}

    async def one(self, request: AdminRequest) -> object:
        """One of them; 404 for all others, whether they exist or not."""
        name = request.path["model"]
        model = (await self._models(request)).get(name)
        if model is None:
            return AdminAnswer(404, {"detail": f"The model `{name}` does not exist or is not accessible"})
        return _row(model)

    async def _models(self, request: AdminRequest) -> dict[str, common_pb2.CatalogModel]:
        models = {name: model for name, model in self._routers.models.items() if not model.hidden}
        key = await self._directory.own(request)
        return models if key is None else _allowed(models, key)


def _allowed(models: dict[str, common_pb2.CatalogModel], key: keystore_pb2.Key) -> dict[str, common_pb2.CatalogModel]:
    if not key.models:
        return models
    return {name: model for name, model in models.items() if name in key.models}


def _row(model: common_pb2.CatalogModel) -> dict[str, object]:
    row: dict[str, object] = {
        "id": model.name,
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
