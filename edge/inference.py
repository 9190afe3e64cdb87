"""The one handler of every inference operation: HTTP in, one admission, one call to a router, HTTP out.

It never looks into an answer: a `data` frame holds bytes in the caller's language, and they are written as they are.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from gateway.v1 import common_pb2, keystore_pb2, router_pb2
from structlog.typing import FilteringBoundLogger

from edge.admission import AdmissionClient, Refused
from edge.answer_headers import success_lines
from edge.attribution import attributed
from edge.auth import Authenticator, Credential
from edge.errors import Headers, render, render_event
from edge.exchange import RouterCall, Routers
from edge.http import CallerGone, call_id_of, read_body
from edge.limits import limit_headers
from edge.metrics import EdgeMetrics
from edge.peek import Peek
from edge.refusals import Refusals, refused_entry
from services.errors import GatewayError, Reason, internal, unavailable
from services.http_server import CorkedTransport, LimitedProtocol
from services.ids import IdMint, to_text
from services.money import usd_text

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_UNAVAILABLE = Reason.ERROR_REASON_UNAVAILABLE

# A call whose router is lost before the answer began moves to another this often.
MOVES = 2


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table of inference operations."""

    id: common_pb2.Operation
    peek: Callable[[bytes], Peek]
    # Nothing remains at the provider when a call is sent twice: it may move to another router after `sent`.
    stateless: bool


class Fate(enum.Enum):
    """What became of a dispatch at one router."""

    ANSWERED = "answered"
    # The router was lost, and had not said that it had started a provider request.
    LOST = "lost"
    LOST_AFTER_SENT = "lost after sent"


class Inference:
    """An ASGI endpoint for one operation."""

    def __init__(
        self,
        operation: Operation,
        *,
        authenticator: Authenticator,
        admission: AdmissionClient,
        routers: Routers,
        refusals: Refusals,
        mint: IdMint,
        metrics: EdgeMetrics,
        max_body_bytes: int,
        budget_exceeded_status: int,
        version: str,
        log: FilteringBoundLogger,
    ) -> None:
        self._operation = operation
        self._authenticator = authenticator
        self._admission = admission
        self._routers = routers
        self._refusals = refusals
        self._mint = mint
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._budget_exceeded_status = budget_exceeded_status
        self._version = version
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        dispatch_id = self._mint.new()
        # A call without a name of its own bears that of its first dispatch.
        answer = Answer(send, call_id_of(scope["headers"]) or to_text(dispatch_id), started, self._version)
        try:
            credential = self._authenticator.identify(scope["headers"])
            body = await read_body(scope, receive, self._max_body_bytes)
            peek = attributed(self._operation.peek(body), scope["headers"])
            await self._run(credential, dispatch_id, body, peek, scope["tollhouse.connection"], answer)
        except CallerGone:
            answer.status = answer.status or 499
        except GatewayError as error:
            await answer.fail(error, self._budget_exceeded_status)
        except Exception:
            self._log.exception("call_failed", call_id=answer.call_id)
            await answer.fail(internal(), self._budget_exceeded_status)
        seconds = time.perf_counter() - started
        self._metrics.count(self._operation.id, answer.status, seconds)
        self._log.info("call", **answer.facts(), duration_ms=round(seconds * 1000))

    async def _run(
        self,
        credential: Credential,
        dispatch_id: bytes,
        body: bytes,
        peek: Peek,
        connection: LimitedProtocol,
        answer: Answer,
    ) -> None:
        for _ in range(MOVES + 1):
            request = await self._admit(credential, dispatch_id, peek, len(body), answer)
            fate = await self._dispatch(request, body, peek, connection, answer)
            if fate is Fate.ANSWERED:
                return
            if fate is Fate.LOST_AFTER_SENT and not self._operation.stateless:
                break
            # What goes to another router is a new dispatch: the lost one may have an entry, which its outbox holds,
            # and its hold ends with its settlement or its lease.
            dispatch_id = self._mint.new()
        raise unavailable("The router of this call was lost; try again.")

    async def _admit(
        self, credential: Credential, dispatch_id: bytes, peek: Peek, size: int, answer: Answer
    ) -> router_pb2.Open:
        admit = keystore_pb2.Admit(
            dispatch_id=dispatch_id,
            key_digest=b"" if credential.master else credential.digest,
            model=peek.model,
            operation=self._operation.id,
            input_tokens_bound=peek.input_tokens_bound,
            output_tokens_limit=peek.output_tokens_limit,
            choices=peek.choices,
            stream=peek.stream,
            end_user_id=peek.end_user_id,
            requests_bound=peek.requests_bound,
            open_ended=peek.open_ended,
        )
        if peek.tags:  # an empty list costs a message 1 us
            admit.tags.extend(peek.tags)
        principal = hold = drop_params = None
        model = peek.model
        try:
            reply = await self._admission.admit(admit)
            if reply.HasField("rate_limits"):
                answer.limits = limit_headers(reply.rate_limits)
            if reply.HasField("refused"):
                raise Refused.by(reply)
            admitted = reply.admitted
            principal, hold = admitted.principal, admitted.hold
            if admitted.HasField("key_spent_nano_usd"):
                answer.key_spent_nano_usd = admitted.key_spent_nano_usd
            model = admitted.model or peek.model
            drop_params = admitted.drop_params if admitted.HasField("drop_params") else None
        except GatewayError as error:
            # With the keystore down the master key's calls go on, unheld (architecture, section 6).
            if not credential.master or error.reason != _UNAVAILABLE or self._admission.connected:
                if isinstance(error, Refused) and error.principal is not None:
                    self._refusals.note(refused_entry(admit, error.principal, answer.call_id, error))
                raise
            principal = common_pb2.Principal(master=True, end_user_id=peek.end_user_id, tags=peek.tags)
        return router_pb2.Open(
            dispatch_id=dispatch_id,
            call_id=answer.call_id,
            operation=self._operation.id,
            model=model,
            stream=peek.stream,
            principal=principal,
            hold=hold,
            body_bytes=size,
            input_tokens_bound=peek.input_tokens_bound,
            wants_sent=not self._operation.stateless,
            requests_bound=peek.requests_bound,
            drop_params=drop_params,
        )

    async def _dispatch(
        self, request: router_pb2.Open, body: bytes, peek: Peek, connection: LimitedProtocol, answer: Answer
    ) -> Fate:
        """Carry one dispatch to its end at one router."""
        try:
            router = self._routers.choose() or await self._routers.wait_for_router()
            if connection.gone:
                raise CallerGone
        except (GatewayError, CallerGone):
            self._admission.release(request.dispatch_id, request.hold.epoch)
            raise
        call = router.open(request, body)
        answer.request, answer.call = request, call
        connection.watch(call.on_gone)
        try:
            if call.needs_body:
                await call.send_body(body)
            await (answer.stream(call, connection.corked) if peek.stream else answer.whole(call, connection.corked))
        finally:
            connection.corked.uncork()
            connection.unwatch()
            call.close()
        if call.gone:
            raise CallerGone
        if call.error is not None:
            raise call.error
        if not call.lost:
            return Fate.ANSWERED
        if answer.status:
            raise unavailable("The router of this call was lost in mid-answer.")
        return Fate.LOST_AFTER_SENT if call.sent else Fate.LOST


class Answer:
    """What goes back to one caller. `status` is 0 until the first byte has gone out.

    request, call: of its last dispatch; None before there was one. error: how it failed, if it did. began: when the
    request came, by `time.perf_counter`. version: the gateway's. limits: headers that say how it stands with those of
    the key. key_spent_nano_usd: before this call; None: not known.
    """

    __slots__ = (
        "_began",
        "_send",
        "_version",
        "call",
        "call_id",
        "error",
        "key_spent_nano_usd",
        "limits",
        "request",
        "status",
    )

    def __init__(self, send: Send, call_id: str, began: float, version: str) -> None:
        self._send = send
        self._began = began
        self._version = version
        self.call_id = call_id
        self.status = 0
        self.key_spent_nano_usd: int | None = None
        self.request: router_pb2.Open | None = None
        self.call: RouterCall | None = None
        self.limits: Headers = []
        self.error: GatewayError | None = None

    def facts(self) -> dict[str, object]:
        """What the log tells of the call: ids, names and amounts; nothing of what was said, and no secret."""
        facts: dict[str, object] = {"call_id": self.call_id, "status": self.status}
        if self.request is not None:
            facts["dispatch_id"] = to_text(self.request.dispatch_id)
            facts["key_id"] = self.request.principal.key_id
            facts["model"] = self.request.model
            facts["stream"] = self.request.stream
        if self.call is not None and self.call.head is not None:
            facts["deployment_id"] = self.call.head.deployment_id
        if self.call is not None and self.call.result is not None:
            facts["cost_nano_usd"] = self.call.result.cost_nano_usd
        if self.error is not None:
            facts["error"] = Reason.Name(self.error.reason)
        return facts

    async def whole(self, call: RouterCall, corked: CorkedTransport) -> None:
        """Wait for the whole answer, then write it."""
        parts = []
        while True:
            if part := call.take():
                parts.append(part)
                call.consumed(len(part))
            if call.over:
                break
            await call.wait()
        if call.result is None or call.head is None or call.gone:
            return
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        headers = [
            (b"content-type", call.head.content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            *self.limits,
        ]
        self.status = 200
        corked.cork(self._lines(call.head, call.result))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, call: RouterCall, corked: CorkedTransport) -> None:
        """Write the answer as it arrives."""
        while call.head is None and not call.over:
            await call.wait()
        if call.head is None or call.gone:
            return
        headers = [
            (b"content-type", call.head.content_type.encode()),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *self.limits,
        ]
        self.status = 200
        # The head leaves with the first events, and the last events with the end.
        corked.cork(self._lines(call.head))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        while not call.gone:
            body = call.take()
            # What arrives with the end has been taken with it.
            is_last = call.result is not None
            if body or is_last:
                await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})
                corked.uncork()
                call.consumed(len(body))
            if is_last or (call.over and not body):
                break
            if not body:
                corked.uncork()
                await call.wait()

    async def fail(self, error: GatewayError, budget_exceeded_status: int) -> None:
        """Say what went wrong: with a status before the first byte, as one event after it."""
        self.error = error
        if self.status:
            await self._send({"type": "http.response.body", "body": render_event(error)})
            return
        self.status, headers, body = render(error, budget_exceeded_status)
        headers.append((b"x-litellm-call-id", self.call_id.encode()))
        headers += self.limits
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _lines(self, head: router_pb2.Head, result: router_pb2.Result | None = None) -> bytes:
        """Headers of what is known by now; `result` of an answer that is whole."""
        cost_nano_usd = 0 if result is None else result.cost_nano_usd
        spent_nano_usd = self.key_spent_nano_usd
        return success_lines(
            head,
            call_id=self.call_id,
            version=self._version,
            duration_ms=(time.perf_counter() - self._began) * 1000,
            cost="" if result is None or result.unpriced else usd_text(cost_nano_usd),
            key_spend="" if spent_nano_usd is None else usd_text(spent_nano_usd + cost_nano_usd),
        )
