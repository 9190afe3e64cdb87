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

from edge.admin.endpoint import AdminEndpoint, AdminRoute
from edge.auth import Authenticator
from edge.inference import Inference, Operation
from edge.peek import peek_chat

CHAT = Operation(common_pb2.OPERATION_CHAT_COMPLETIONS, peek_chat, stateless=True)

# Paths of each operation; the hot one first, since Starlette looks through them in order.
OPERATIONS: Sequence[tuple[str, Operation]] = (
    ("/v1/chat/completions", CHAT),
    ("/chat/completions", CHAT),
)


def build_app(
    inference: Callable[[Operation], Inference],
    admin: Sequence[AdminRoute],
    authenticator: Authenticator,
    log: FilteringBoundLogger,
) -> Starlette:
    """The ASGI app."""
    routes = [Route(path, inference(operation), methods=["POST"]) for path, operation in OPERATIONS]
    # A plain tuple of methods: Starlette would answer HEAD by the handler of GET.
    routes += [Route(row.path, AdminEndpoint(row, authenticator, log), methods=[row.method]) for row in admin]
    return Starlette(routes=routes, exception_handlers={HTTPException: _detail})


async def _detail(request: Request, error: Exception) -> Response:
    """404 and 405 as LiteLLM answers them."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, status_code=error.status_code, headers=error.headers)
