"""One ASGI endpoint for every admin route: who asks and whether they may, the body, the answer (whole or as a stream),
failures."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from structlog.typing import FilteringBoundLogger

from edge.admin.access import CLOSED, TABLE, Grant, Reach, allows
from edge.admin.caller import Caller, Callers
from edge.auth import Authenticator
from edge.errors import render
from edge.http import CallerGone, call_id_of, read_body
from services.allowed_routes import MANAGEMENT
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason, internal

# Admin bodies are small objects; a megabyte is thousands of models or keys.
MAX_ADMIN_BODY_BYTES = 1024 * 1024
# A reader of a streamed answer that takes nothing for so long is given up: what it holds others may want.
STALL_SECONDS = 120.0


# Whom an admin says that a change is for (LiteLLM's header); names are no longer than this.
CHANGED_BY = b"litellm-changed-by"
MAX_NAME_BYTES = 256
# Of a whole number of 64 bits.
MAX_PLACE_DIGITS = 18


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """What a handler gets: on public routes the caller is the master key's, and reaches nothing.

    reach: what the caller may be shown, and may change. changed_by: for the audit log. `body` is {} when there is none.
    """

    caller: Caller
    reach: Reach
    changed_by: str
    query: dict[str, str]
    body: dict[str, Any]
    path: dict[str, str]


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """An answer that is not 200 with JSON: another status, or bytes of another type."""

    status: int
    body: object
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """A file, part by part. `first` has been made already, and `rest` has begun: it is closed in any case."""

    content_type: str
    filename: str
    first: bytes
    rest: AsyncGenerator[bytes, None]


Handler = Callable[[AdminRequest], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """One row of a table of admin routes."""

    method: str
    path: str
    handler: Handler

    @property
    def name(self) -> str:
        """As the table of access names it."""
        return f"{self.method} {self.path}"


class AdminEndpoint:
    """The ASGI endpoint of one row."""

    def __init__(
        self, route: AdminRoute, authenticator: Authenticator, callers: Callers, log: FilteringBoundLogger
    ) -> None:
        self._route = route
        # A route without a row is nobody's.
        self._row = TABLE.get(route.name, CLOSED)
        self._authenticator = authenticator
        self._callers = callers
        self._log = log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        try:
            answer = await self._route.handler(await self._request(scope, receive))
            if isinstance(answer, StreamedAnswer):
                # It has no failures of this kind any more.
                await self._stream(answer, scope, send)
                return
            if not isinstance(answer, AdminAnswer):
                answer = AdminAnswer(200, answer)
            status = answer.status
            body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
            headers = [
                (b"content-type", answer.content_type.encode()),
                (b"content-length", str(len(body)).encode()),
            ]
        except CallerGone:
            return
        except GatewayError as error:
            status, headers, body = render(error)
        except Exception:
            self._log.exception("admin_failed", route=self._route.path)
            status, headers, body = render(internal())
        headers.append(_call_id(scope))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, answer: StreamedAnswer, scope: MutableMapping[str, Any], send: Any) -> None:
        """Each part once the one before has gone. After the head there is no error any more: what fails is broken off,
        and a reader sees that the end is missing."""
        connection = scope["tollhouse.connection"]
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-disposition", f'attachment; filename="{answer.filename}"'.encode()),
            (b"cache-control", b"no-store"),
            _call_id(scope),
        ]
        async with aclosing(answer.rest) as rest:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            try:
                await _send_part(send, answer.first)
                async for part in rest:
                    if connection.gone:
                        return
                    await _send_part(send, part)
            except Exception:
                self._log.exception("admin_stream_broken_off", route=self._route.path)
                connection.corked.abort()
                # The server sees its end before it looks for that of the answer.
                await asyncio.sleep(0)
                return
            await send({"type": "http.response.body", "body": b""})

    async def _request(self, scope: MutableMapping[str, Any], receive: Any) -> AdminRequest:
        caller, reach = Caller(), Reach()
        if Grant.ANYBODY not in self._row.grant:
            caller = await self._callers.identify(self._authenticator.identify(scope["headers"]))
            reach = self._reach_of(caller, scope["path"])
        raw = await read_body(scope, receive, MAX_ADMIN_BODY_BYTES)
        return AdminRequest(
            caller=caller,
            reach=reach,
            changed_by=_changed_by(caller, scope["headers"]),
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            body=_object_in(raw),
            path=scope.get("path_params") or {},
        )

    def _reach_of(self, caller: Caller, path: str) -> Reach:
        if caller.key is not None and not allows(caller.key.allowed_routes, path, self._route.path, self._row):
            raise GatewayError(
                Reason.ERROR_REASON_ROUTE_NOT_ALLOWED,
                "Virtual key is not allowed to call this route. Only allowed to call routes: "
                f"{list(caller.key.allowed_routes)}. Tried to call route: {path}",
            )
        reach = caller.reach(self._row.grant)
        if not reach:
            does = "generate, delete, update info for new keys/users/teams" if MANAGEMENT in self._row.groups else "ask"
            raise GatewayError(
                Reason.ERROR_REASON_PERMISSION_DENIED,
                f"Authentication Error, Only proxy admin can be used to {does}. Route={self._route.path}. "
                f"Your role={caller.role or 'unknown'}.",
                param="None",
            )
        return reach


def _changed_by(caller: Caller, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Who a change is signed with; admins may say for whom they make it."""
    said = next((value.strip() for name, value in headers if name == CHANGED_BY), b"")
    if not said or not caller.is_admin:
        return caller.name
    if len(said) > MAX_NAME_BYTES:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST,
            f"litellm-changed-by is longer than {MAX_NAME_BYTES} bytes.",
            param="litellm-changed-by",
        )
    return said.decode("utf-8", "replace")


async def _send_part(send: Any, part: bytes) -> None:
    """Returns once the connection has room again."""
    if part:
        async with asyncio.timeout(STALL_SECONDS):
            await send({"type": "http.response.body", "body": part, "more_body": True})


def _call_id(scope: MutableMapping[str, Any]) -> tuple[bytes, bytes]:
    return b"x-litellm-call-id", (call_id_of(scope["headers"]) or str(uuid.uuid4())).encode()


def _object_in(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except NOT_DECODED as error:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST, f"Invalid JSON payload: {error}.", param="request_body"
        ) from None
    return body


def convert(body: dict[str, Any], into: type[Any]) -> Any:
    """The body as a typed object. GatewayError names the member that does not fit."""
    try:
        return msgspec.convert(body, into, strict=True)
    except msgspec.ValidationError as error:
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, f"The request body is not valid: {error}.") from None


def place_of(texts: Mapping[str, str], name: str) -> int:
    """A number by which rows are kept, from 0, which stands for none."""
    text = texts.get(name) or "0"
    # As long as the largest: of longer texts not even the number is to be made.
    if not (text.isdecimal() and text.isascii() and len(text) <= MAX_PLACE_DIGITS):
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, f"{name} must be a number.", param=name)
    return int(text)


def limit_of(query: dict[str, str], default: int, most: int) -> int:
    """The query's `limit`, from 1 to `most`."""
    return number_of(query, "limit", default, most)


def number_of(query: dict[str, str], name: str, default: int, most: int) -> int:
    """A number in the query, from 1 to `most`."""
    text = query.get(name) or str(default)
    # As long as the most: of longer texts not even the number is to be made.
    if not (text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, f"{name} must be between 1 and {most}.", param=name)
    return int(text)
