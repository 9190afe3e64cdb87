"""The attempt loop: one dispatch from `open` to `result`, over model groups and their deployments.

- An attempt that fails before any content has gone out is followed by another, when the kind of failure allows it: at
  another deployment, after a pause at the same one, at a fallback group. After the head there is no way back.
- However a dispatch ends, in an answer, an error, the caller's going away or a mistake of ours, exactly one entry is
  appended, in one synchronous `finally`.
- The last bytes of an answer go out only once its entry is committed: no caller holds a whole answer that the gateway
  could forget.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from gateway.v1 import common_pb2, ledger_pb2, router_pb2

from router.accounting import Accounting, estimate
from router.allowance import is_affordable, not_paid_for, output_limit, whole_call
from router.call import Caller
from router.catalog import Catalog, Deployment
from router.credentials import Signer, masked, signed
from router.dispatch import Dispatch
from router.growth import Extend, Growth, can_grow
from router.languages import Languages, WholeWires
from router.passed_on import passed_on
from router.routing.choice import Choice, skips_of
from router.routing.near import unknown_model_message
from router.routing.plan import groups_to_try, may_fall_back, may_repeat, may_try_another
from router.selection import Selection
from router.transport import Response, Transport
from router.wire.base import StreamDecoder, Wire, invalid_response
from services.errors import GatewayError, Reason, unavailable

# Looked up once: an enum's member costs a microsecond.
_MODEL_NOT_FOUND = Reason.ERROR_REASON_MODEL_NOT_FOUND
_NO_DEPLOYMENT = Reason.ERROR_REASON_NO_DEPLOYMENT_AVAILABLE
_AUTHENTICATION = Reason.ERROR_REASON_PROVIDER_AUTHENTICATION

# Enough for any message; a larger body of a failed request is not worth reading.
MAX_ERROR_BODY_BYTES = 1024 * 1024

# What a stream may say before its first content: roles, filter results, keep-alives.
MAX_HELD_BYTES = 1024 * 1024

_NO_SIGNERS: Mapping[str, Signer] = MappingProxyType({})
_NO_WHOLE_WIRES: WholeWires = MappingProxyType({})


class Engine:
    """Runs dispatches.

    catalog: the one of the moment. wires: of chats, by the names that deployments give them; whole_wires: of the other
    operations. mock: the transport of deployments
    with a `mock_response`. extend: asks for more of a hold. signers: by the names that `auth` gives them; a deployment
    whose `auth` is none of them has its credential from the wire. clock: seconds that only go forward.
    """

    def __init__(
        self,
        *,
        catalog: Callable[[], Catalog],
        wires: Mapping[str, Wire],
        transport: Transport,
        mock: Transport,
        accounting: Accounting,
        selection: Selection,
        extend: Extend,
        clock: Callable[[], float],
        signers: Mapping[str, Signer] = _NO_SIGNERS,
        whole_wires: WholeWires = _NO_WHOLE_WIRES,
    ) -> None:
        self._catalog = catalog
        self._languages = Languages(wires, whole_wires)
        self._transport = transport
        self._mock = mock
        self._accounting = accounting
        self._selection = selection
        self._extend = extend
        self._clock = clock
        self._signers = signers

    async def run(self, caller: Caller) -> None:
        """Answer one call. Raises GatewayError for the caller; cancelling it means that the caller is gone."""
        dispatch = Dispatch(caller.request, self._clock)
        try:
            last = await self._try_groups(caller, dispatch)
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

    async def _try_groups(self, caller: Caller, dispatch: Dispatch) -> bytes:
        """The model group that was asked for, then its fallbacks; what is to be sent last.

        When all fail, the first failure is told: it is about what the caller asked for.
        """
        request = caller.request
        groups = self._catalog().groups
        chain = groups_to_try(request.model, self._selection.policy, groups)
        if not chain:
            # Only the master key may know of every group.
            known = groups if request.principal.master else ()
            raise GatewayError(_MODEL_NOT_FOUND, unknown_model_message(request.model, known))
        body = await caller.body()
        dispatch.body_bytes = len(body)
        failure: GatewayError | None = None
        for name in chain:
            dispatch.begin_group()
            try:
                return await self._try_group(caller, dispatch, groups[name], body)
            except GatewayError as error:
                if dispatch.has_head or not may_fall_back(error):
                    raise
                failure = failure or error
        raise failure or unavailable("No model group could be tried.")

    async def _try_group(self, caller: Caller, dispatch: Dispatch, every: Sequence[Deployment], body: bytes) -> bytes:
        """One deployment after the other, then, after a pause, those again that may answer later."""
        selection, request = self._selection, caller.request
        offering = [deployment for deployment in every if deployment.at(request.operation) is not None]
        if not offering:
            self._looked(dispatch, None, every, (), (), ())
            raise _not_offered(request)
        spent_nano_usd = self._accounting.spent_nano_usd(request, len(body), dispatch.ended)
        group = [deployment for deployment in offering if is_affordable(request, deployment, spent_nano_usd)]
        if not group:
            self._looked(dispatch, None, every, offering, (), ())
            raise not_paid_for()
        tried: set[str] = set()
        hopeless: set[str] = set()
        failure: GatewayError | None = None
        for attempt in range(1 + selection.policy.num_retries):
            deployment = selection.choose(group, tried)
            if deployment is None and failure is not None and may_repeat(failure):
                await self._pause(dispatch, failure, attempt - 1)
                tried = set(hopeless)
                deployment = selection.choose(group, tried)
            choice = self._looked(dispatch, deployment, every, offering, group, tried)
            if deployment is None:
                break
            tried.add(deployment.id)
            selection.began(deployment)
            try:
                last = await self._attempt(caller, dispatch, deployment, body)
                dispatch.end_attempt()
                selection.succeeded(deployment)
                return last
            except GatewayError as error:
                dispatch.end_attempt(error.reason)
                if len(dispatch.ended) < choice.attempt:
                    choice.error_reason = error.reason
                selection.failed(deployment, error, offering, alone=len(group) == 1)
                if dispatch.has_head or not may_try_another(error):
                    raise
                if not may_repeat(error):
                    hopeless.add(deployment.id)
                failure = error
            finally:
                selection.ended(deployment)
        raise failure or GatewayError(
            _NO_DEPLOYMENT,
            "No deployments available for selected model. All of them rest after failures; try again.",
            retry_after_seconds=selection.wakes_in_seconds(group),
        )

    def _looked(
        self,
        dispatch: Dispatch,
        chosen: Deployment | None,
        every: Sequence[Deployment],
        offering: Sequence[Deployment],
        affordable: Sequence[Deployment],
        tried: Collection[str],
    ) -> Choice:
        """Remember what a look for a deployment came to, and who of the group was passed over; see `skips_of`."""
        selection = self._selection
        resting = selection.resting_seconds(affordable)
        is_open = len(affordable) == len(every) and not (tried or resting)
        choice = Choice(
            every[0].group,
            selection.strategy,
            len(every),
            len(dispatch.ended) + 1,
            chosen.id if chosen else "",
            () if is_open else skips_of(every, offering, affordable, resting, tried),
            selection.under_way(chosen) if chosen else 0,
        )
        dispatch.choices.append(choice)
        return choice

    async def _pause(self, dispatch: Dispatch, failure: GatewayError, repeats: int) -> None:
        """Wait before a group is tried again; not beyond the time that the call has."""
        seconds = self._selection.pause_seconds(failure, max(0, repeats))
        left = dispatch.time_left_seconds()
        if left is not None and seconds >= left:
            raise failure
        await asyncio.sleep(seconds)

    async def _attempt(self, caller: Caller, dispatch: Dispatch, deployment: Deployment, body: bytes) -> bytes:
        """One try at one deployment; what is to be sent last."""
        timeout_seconds = dispatch.timeout_seconds(deployment)
        if timeout_seconds <= 0:
            raise GatewayError(Reason.ERROR_REASON_DEADLINE_EXCEEDED, "The time for this call is over.")
        spent_nano_usd = self._accounting.spent_nano_usd(caller.request, len(body), dispatch.ended)
        growth = await self._growth(dispatch, deployment, body, spent_nano_usd)
        limit = 0 if growth else output_limit(caller.request, deployment, spent_nano_usd, dispatch.held_nano_usd)
        called = _as_called(deployment, caller.request)
        request = self._languages.encode(caller.request, called, body, limit)
        signer = self._signers.get(deployment.auth) if deployment.mock_response is None else None
        if signer is not None:
            # Before the attempt begins: without a credential nothing is sent, and nothing is billed.
            began = self._clock()
            request = await signed(signer, request, called, timeout_seconds)
            timeout_seconds -= self._clock() - began
        self._accounting.opened(caller.request, len(body), dispatch.ended, deployment, dispatch.choices)
        caller.sent(deployment.id)
        dispatch.begin_attempt(deployment, request.dropped)
        transport = self._transport if deployment.mock_response is None else self._mock
        async with transport.open(request, called, timeout_seconds=timeout_seconds) as response:
            dispatch.answers(response.status, passed_on(response.headers))
            if not 200 <= response.status < 300:
                said = await response.read(MAX_ERROR_BODY_BYTES)
                said = masked(said, request)
                error = self._languages.decode_error(caller.request, called, response.status, response.headers, said)
                if signer is not None and error.reason == _AUTHENTICATION:
                    signer.refused(deployment)
                raise error
            decoder = self._languages.stream(caller.request, request, called)
            if decoder is not None:
                dispatch.streams(decoder)
                if growth is None:
                    return await _forward(caller, dispatch, deployment, decoder, response) or b""
                with contextlib.closing(growth):
                    last = await _forward(caller, dispatch, deployment, decoder, response, growth)
                return last or await _cut(caller, dispatch, growth, show_usage=request.show_usage)
            answer = await self._languages.decode(caller.request, called, body, response.headers, await response.read())
            dispatch.answered(answer)
            return answer.body

    async def _growth(
        self, dispatch: Dispatch, deployment: Deployment, body: bytes, spent_nano_usd: int
    ) -> Growth | None:
        """How the hold grows with this attempt, if it can; else what is held is made enough for the whole of it."""
        request = dispatch.request
        if can_grow(request, deployment, body):
            return Growth(dispatch, deployment, spent_nano_usd, self._extend)
        if request.hold.extendable:
            try:
                dispatch.held_nano_usd = await self._extend(request, *whole_call(request, deployment, spent_nano_usd))
            except GatewayError:
                return None  # the attempt is limited to what is held
        return None

    async def _finish(self, caller: Caller, dispatch: Dispatch, last: bytes) -> None:
        """Account for the answer, then let go of its end."""
        entry = self._accounting.entry(dispatch.request, dispatch.outcome())
        dispatch.is_accounted = True
        await self._accounting.commit(entry)
        if dispatch.has_head:
            await caller.data(last)
            caller.result(_result_of(entry))
        else:
            head = dispatch.head("application/json", dispatch.ended[-1].deployment)
            await caller.answer(head, last, _result_of(entry))


def _as_called(deployment: Deployment, request: router_pb2.Open) -> Deployment:
    """A deployment as the call's operation sees it, and as the caller's key has it."""
    called = deployment.at(request.operation) or deployment
    if request.HasField("drop_params") and request.drop_params != called.drop_params:
        called = replace(called, drop_params=request.drop_params)
    return called


def _not_offered(request: router_pb2.Open) -> GatewayError:
    operation = common_pb2.Operation.Name(request.operation).removeprefix("OPERATION_").lower().replace("_", " ")
    return GatewayError(
        Reason.ERROR_REASON_INVALID_REQUEST,
        f"The providers of the model {request.model!r} do not offer {operation}.",
        param="model",
    )


def _result_of(entry: ledger_pb2.Entry) -> router_pb2.Result:
    result = router_pb2.Result()
    result.usage.CopyFrom(entry.usage)
    result.cost_nano_usd = entry.cost_nano_usd
    result.unpriced = entry.unpriced
    result.estimated = entry.estimated
    result.attempts = len(entry.attempts)
    return result


async def _forward(
    caller: Caller,
    dispatch: Dispatch,
    deployment: Deployment,
    decoder: StreamDecoder,
    response: Response,
    growth: Growth | None = None,
) -> bytes | None:
    """Pass a stream on as it comes, from its first content; its terminator is what is to be sent last.

    None: it was left in the middle, where its hold ends; only with `growth`.
    """
    held: list[bytes] = []

    async def begin(*, urgent: bool) -> bool:
        caller.head(dispatch.head("text/event-stream", deployment), urgent=urgent)
        return await _pass(caller, b"".join(held), growth, urgent=urgent)

    while chunk := await response.chunk():
        step = decoder.feed(chunk)
        # The last events travel with the result, which follows at once.
        urgent = not step.done
        if dispatch.has_head:
            if step.out and not await _pass(caller, step.out, growth, urgent=urgent):
                return None
        else:
            held.append(step.out)
            if step.has_content:
                if not await begin(urgent=urgent):
                    return None
            elif sum(map(len, held)) > MAX_HELD_BYTES:
                raise invalid_response(deployment, "its stream does not begin")
        if step.done or step.error is not None:
            break
    end = decoder.close()
    dispatch.stream_ended(end)
    if not dispatch.has_head and end.error is None:
        await begin(urgent=False)
    if dispatch.has_head and end.out:
        await caller.data(end.out)
    if end.error is not None:
        raise end.error
    return end.last


async def _pass(caller: Caller, events: bytes, growth: Growth | None, *, urgent: bool) -> bool:
    """Send events on as far as they are paid for; whether all of them were."""
    if growth is None:
        await caller.data(events, urgent=urgent)
        return True
    while events:
        paid = growth.fit(events)
        if paid:
            await caller.data(paid, urgent=urgent)
        events = events[len(paid) :]
        if events and not await growth.grows():
            return False
    return True


async def _cut(caller: Caller, dispatch: Dispatch, growth: Growth, *, show_usage: bool) -> bytes:
    """End a stream, whose provider request is given up with this, as one that has reached its length."""
    tokens = growth.meter.tokens
    usage = dispatch.cut(tokens) or estimate(dispatch.request, dispatch.body_bytes, tokens)
    await caller.data(growth.meter.ending())
    return growth.meter.last(usage if show_usage else None)
