"""A streamed answer whose hold grows with it.

The keystore holds a first slice. Once four fifths of what is held are used, the next is asked for, twice as much, while
the stream goes on. When all of it is used, the stream waits for the answer, and asks once more for what was refused.
Refused then, it ends: the caller gets what is paid for. The provider has no limit from us meanwhile: what it writes
until it notices that we have gone is not seen, and not counted (docs/limitations.md).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.v1 import router_pb2

from router.allowance import LEAST_OUTPUT_TOKENS, next_slice, not_paid_for, paid_output_tokens
from router.catalog import Deployment
from router.dispatch import Dispatch
from router.meter import Meter
from services.errors import GatewayError

# Members of a body with which tokens are paid for that no event shows as text: predictions that did not come true, and
# speech. Where a caller's own text says so, the call is held whole as well; that harms nobody.
_UNSEEN = (b'"prediction"', b'"modalities"')


class Extend(Protocol):
    """`router.extensions.Extensions.extend`."""

    async def __call__(self, request: router_pb2.Open, wanted_nano_usd: int, smallest_nano_usd: int) -> int:
        """What is held once it has been asked for. GatewayError: it is refused."""


def can_grow(request: router_pb2.Open, deployment: Deployment, body: bytes) -> bool:
    """Whether the hold of this call may grow with what this deployment streams."""
    return request.hold.extendable and deployment.shows_all_output and not any(each in body for each in _UNSEEN)


class Growth:
    """Of one attempt. Raises GatewayError (BUDGET_EXCEEDED) when what is held pays for no useful answer here."""

    def __init__(self, dispatch: Dispatch, deployment: Deployment, spent_nano_usd: int, extend: Extend) -> None:
        hold = dispatch.request.hold
        self.meter = Meter(max(1, hold.choices))
        self._dispatch = dispatch
        self._deployment = deployment
        self._spent_nano_usd = spent_nano_usd
        self._extend = extend
        # Output tokens that are paid for; None: as many as the call can have.
        self._paid = self._paid_tokens()
        # How many were when events were last looked at.
        self._seen_paid = self._paid
        # The last question, and what was paid for when it was asked.
        self._asking: asyncio.Task[None] | None = None
        self._asked_at: int | None = None
        if self._paid is not None and self._paid < min(hold.output_tokens_bound, LEAST_OUTPUT_TOKENS):
            raise not_paid_for()

    def fit(self, events: bytes) -> bytes:
        """The first of these events, as far as they are paid for."""
        self._seen_paid = paid = self._paid
        if paid is None:
            return events
        fitting = self.meter.fit(events, paid)
        if self.meter.tokens * 5 >= paid * 4 and self._asked_at != paid:
            self._ask()
        return fitting

    async def grows(self) -> bool:
        """Once it is known: whether more is paid for than when `fit` left events over."""
        if self._asking is not None:
            await self._answer(self._asking)
        if self._paid == self._seen_paid:
            # What was refused early may be there by now: other calls have ended.
            await self._answer(self._ask())
        return self._paid != self._seen_paid

    def close(self) -> None:
        """The stream is over. What is still being asked for goes with the settlement."""
        if self._asking is not None:
            self._asking.cancel()

    def _ask(self) -> asyncio.Task[None]:
        self._asked_at = self._paid
        self._asking = asyncio.get_running_loop().create_task(self._ask_once())
        return self._asking

    async def _answer(self, asking: asyncio.Task[None]) -> None:
        await asyncio.wait({asking})
        asking.result()

    async def _ask_once(self) -> None:
        request = self._dispatch.request
        wanted, smallest = next_slice(request, self._deployment, self._spent_nano_usd, self._paid or 0)
        try:
            self._dispatch.held_nano_usd = await self._extend(request, wanted, smallest)
        except GatewayError:
            return
        self._paid = self._paid_tokens()

    def _paid_tokens(self) -> int | None:
        left_nano_usd = self._dispatch.held_nano_usd - self._spent_nano_usd
        return paid_output_tokens(self._dispatch.request, self._deployment, left_nano_usd)
