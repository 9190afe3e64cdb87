"""The attempt loop: one dispatch from `open` to `result`, over the deployments of its model group.

- An attempt that fails before any content has gone out is followed by one at another deployment, when the kind of
  failure allows it; after the head there is no way back.
- However a dispatch ends, in an answer, an error, the caller's going away or a mistake of ours, exactly one entry is
  appended, in one synchronous `finally`.
- The last bytes of an answer go out only once its entry is committed: no caller holds a whole answer that the gateway
  could forget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.v1 import ledger_pb2, router_pb2

from router.accounting import Accounting
from router.call import Caller
from router.catalog import Catalog, Deployment
from router.dispatch import Dispatch
from router.routing.near import unknown_model_message
from router.routing.shuffle import Randomness, pick
from router.transport import Response, Transport
from router.wire.base import StreamDecoder, Wire, invalid_response
from services.errors import GatewayError, Next, Reason

# A caller waits through all of them; whoever has more deployments than this that fail has another problem.
MAX_ATTEMPTS = 5

# What an answer must have room for to be worth its input (architecture, section 5: the smallest useful hold).
LEAST_OUTPUT_TOKENS = 16

# Enough for any message; a larger body of a failed request is not worth reading.
MAX_ERROR_BODY_BYTES = 1024 * 1024

# What a stream may say before its first content: roles, filter results, keep-alives.
MAX_HELD_BYTES = 1024 * 1024


class Engine:
    """Runs dispatches.

    catalog: the one of the moment. mock: the transport of deployments with a `mock_response`. clock: seconds that
    only go forward.
    """

    def __init__(
        self,
        *,
        catalog: Callable[[], Catalog],
        wire: Wire,
        transport: Transport,
        mock: Transport,
        accounting: Accounting,
        randomness: Randomness,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._wire = wire
        self._transport = transport
        self._mock = mock
        self._accounting = accounting
        self._randomness = randomness
        self._clock = clock

    async def run(self, caller: Caller) -> None:
        """Answer one call. Raises GatewayError for the caller; cancelling it means that the caller is gone."""
        dispatch = Dispatch(caller.request, self._clock)
        try:
            last = await self._try_deployments(caller, dispatch)
            dispatch.end(ledger_pb2.ENTRY_STATUS_SUCCESS)
            await self._finish(caller, dispatch, last)
        except GatewayError as error:
            dispatch.end(ledger_pb2.ENTRY_STATUS_FAILURE, error.reason)
            raise
        except asyncio.CancelledError:
            dispatch.end(ledger_pb2.ENTRY_STATUS_CANCELLED, Reason.ERROR_REASON_CANCELLED)
            raise
        finally:
            if not dispatch.is_accounted:
                self._accounting.append(self._accounting.entry(dispatch.request, dispatch.outcome()))

    async def _try_deployments(self, caller: Caller, dispatch: Dispatch) -> bytes:
        """What is to be sent last."""
        group = self._affordable(caller.request)
        body = await caller.body()
        dispatch.body_bytes = len(body)
        tried: set[str] = set()
        failure: GatewayError | None = None
        while len(tried) < MAX_ATTEMPTS and (deployment := pick(group, tried, self._randomness)) is not None:
            tried.add(deployment.id)
            try:
                last = await self._attempt(caller, dispatch, deployment, body)
                dispatch.end_attempt()
                return last
            except GatewayError as error:
                dispatch.end_attempt(error.reason)
                if dispatch.has_head or error.meaning.next is Next.GIVE_UP:
                    raise
                failure = error
        raise failure or GatewayError(
            Reason.ERROR_REASON_NO_DEPLOYMENT_AVAILABLE, "No deployments available for selected model."
        )

    def _affordable(self, request: router_pb2.Open) -> list[Deployment]:
        """The group's deployments that the hold can pay for at all."""
        groups = self._catalog().groups
        if request.model not in groups:
            # Only the master key may know of every group.
            known = groups if request.principal.master else ()
            raise GatewayError(Reason.ERROR_REASON_MODEL_NOT_FOUND, unknown_model_message(request.model, known))
        group = [deployment for deployment in groups[request.model] if _is_affordable(request, deployment)]
        if not group:
            raise GatewayError(
                Reason.ERROR_REASON_BUDGET_EXCEEDED,
                "Budget has been exceeded! What is left does not pay for this call.",
            )
        return group

    async def _attempt(self, caller: Caller, dispatch: Dispatch, deployment: Deployment, body: bytes) -> bytes:
        """One try at one deployment; what is to be sent last."""
        timeout_seconds = dispatch.timeout_seconds(deployment)
        if timeout_seconds <= 0:
            raise GatewayError(Reason.ERROR_REASON_DEADLINE_EXCEEDED, "The time for this call is over.")
        limit = caller.request.hold.output_tokens_limit
        request = self._wire.encode(body, deployment, stream=caller.request.stream, output_tokens_limit=limit)
        self._accounting.opened(caller.request, len(body), dispatch.ended, deployment)
        caller.sent(deployment.id)
        dispatch.begin_attempt(deployment)
        transport = self._transport if deployment.mock_response is None else self._mock
        async with transport.open(request, deployment, timeout_seconds=timeout_seconds) as response:
            dispatch.answers(response.status)
            if not 200 <= response.status < 300:
                said = await response.read(MAX_ERROR_BODY_BYTES)
                raise self._wire.decode_error(response.status, response.headers, said, deployment)
            if caller.request.stream:
                decoder = self._wire.stream(request, deployment)
                dispatch.streams(decoder)
                return await _forward(caller, dispatch, deployment, decoder, response)
            answer = self._wire.decode(await response.read(), deployment)
            dispatch.answered(answer)
            return answer.body

    async def _finish(self, caller: Caller, dispatch: Dispatch, last: bytes) -> None:
        """Account for the answer, then let go of its end."""
        entry = self._accounting.entry(dispatch.request, dispatch.outcome())
        dispatch.is_accounted = True
        await self._accounting.commit(entry)
        if not dispatch.has_head:
            caller.head(dispatch.head("application/json", dispatch.ended[-1].deployment))
        await caller.data(last)
        caller.result(_result_of(entry))


def _result_of(entry: ledger_pb2.Entry) -> router_pb2.Result:
    result = router_pb2.Result()
    result.usage.CopyFrom(entry.usage)
    result.cost_nano_usd = entry.cost_nano_usd
    result.unpriced = entry.unpriced
    result.estimated = entry.estimated
    result.attempts = len(entry.attempts)
    return result


def _is_affordable(request: router_pb2.Open, deployment: Deployment) -> bool:
    """Whether the least that a useful answer may cost here fits the hold. Without a hold everything does."""
    hold = request.hold
    if not hold.epoch:
        return True
    # No limit imposed means that the hold pays for all that the caller asked for, however little that is.
    least = deployment.ceiling_rates.ceiling(
        input_tokens=request.input_tokens_bound, output_tokens=min(hold.output_tokens_limit, LEAST_OUTPUT_TOKENS)
    )
    return least <= hold.held_nano_usd


async def _forward(
    caller: Caller, dispatch: Dispatch, deployment: Deployment, decoder: StreamDecoder, response: Response
) -> bytes:
    """Pass a stream on as it comes, from its first content; its terminator is what is to be sent last."""
    held: list[bytes] = []

    async def begin() -> None:
        caller.head(dispatch.head("text/event-stream", deployment))
        await caller.data(b"".join(held))

    while chunk := await response.chunk():
        step = decoder.feed(chunk)
        if dispatch.has_head:
            if step.out:
                await caller.data(step.out)
        else:
            held.append(step.out)
            if step.has_content:
                await begin()
            elif sum(map(len, held)) > MAX_HELD_BYTES:
                raise invalid_response(deployment, "its stream does not begin")
        if step.done or step.error is not None:
            break
    end = decoder.close()
    dispatch.stream_ended(end)
    if not dispatch.has_head and end.error is None:
        await begin()
    if dispatch.has_head and end.out:
        await caller.data(end.out)
    if end.error is not None:
        raise end.error
    return end.last
