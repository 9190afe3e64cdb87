"""The edge's HTTP surface: the table of inference operations, the tables of admin routes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.v1 import common_pb2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from structlog.typing import FilteringBoundLogger

from edge.admin.caller import Callers
from edge.admin.endpoint import AdminEndpoint, AdminRoute
from edge.auth import Authenticator
from edge.inference import Inference, Operation, Receive, Scope, Send
from edge.peek import peek_chat, peek_embeddings, peek_rerank

CHAT = Operation(common_pb2.OPERATION_CHAT_COMPLETIONS, peek_chat, stateless=True)
EMBEDDINGS = Operation(common_pb2.OPERATION_EMBEDDINGS, peek_embeddings, stateless=True)
RERANK = Operation(common_pb2.OPERATION_RERANK, peek_rerank, stateless=True)

# Paths of each operation.
OPERATIONS: Sequence[tuple[str, Operation]] = (
    ("/v1/chat/completions", CHAT),
    ("/chat/completions", CHAT),
    ("/v1/embeddings", EMBEDDINGS),
    ("/embeddings", EMBEDDINGS),
    ("/v1/rerank", RERANK),
    ("/v2/rerank", RERANK),
    ("/rerank", RERANK),
)


class App:
    """The ASGI app: inference by a look-up of the path, everything else through Starlette.

    Starlette's routing and its two middlewares cost a call some 40 us, and a stream as much again for every chunk.
    """

    def __init__(
        self,
        inference: Callable[[Operation], Inference],
        admin: Sequence[AdminRoute],
        authenticator: Authenticator,
        callers: Callers,
        log: FilteringBoundLogger,
    ) -> None:
        by_operation = {operation: inference(operation) for _, operation in OPERATIONS}
        self._inference = {path: by_operation[operation] for path, operation in OPERATIONS}
        routes = [Route(path, endpoint, methods=["POST"]) for path, endpoint in self._inference.items()]
        routes += [
            Route(row.path, AdminEndpoint(row, authenticator, callers, log), methods=[row.method]) for row in admin
        ]
        self._rest = Starlette(routes=routes, exception_handlers={HTTPException: _detail})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._inference.get(scope["path"])
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
        await self._rest(scope, receive, send)


async def _detail(request: Request, error: Exception) -> Response:
    """404 and 405 as LiteLLM answers them."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, status_code=error.status_code, headers=error.headers)
