"""Whether deployments answer: one real call to each, as anybody could make it.

A check is a dispatch like any other, run by the same engine over a catalog of one deployment: what a provider bills
for it stands in the ledger, by the master key and under the tag HEALTH_TAG. No budget holds for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.v1 import common_pb2, router_pb2

from router.call import Caller
from router.catalog import Catalog, Deployment
from services.errors import GatewayError, unavailable
from services.ids import IdMint, to_text

HEALTH_TAG = "health-check"

# What a caller would still take for an answer; a model that is only being loaded is not well.
CHECK_TIMEOUT_MS = 10_000
# Checks under way at once: a large configuration is through in a minute, even when none of it answers.
MAX_CHECKS = 64

_OUTPUT_TOKENS = 1
_BODIES: Mapping[common_pb2.Operation, bytes] = {
    common_pb2.OPERATION_CHAT_COMPLETIONS: b'{"messages":[{"role":"user","content":"ping"}]}',
    common_pb2.OPERATION_EMBEDDINGS: b'{"input":"ping"}',
    common_pb2.OPERATION_RERANK: b'{"query":"ping","documents":["ping"]}',
}


class HealthChecks:
    """Serves `Inference.CheckHealth`.

    catalog: the one of the moment. run: the engine, over one deployment.
    """

    def __init__(
        self, catalog: Callable[[], Catalog], run: Callable[[Deployment, Caller], Awaitable[None]], mint: IdMint
    ) -> None:
        self._catalog = catalog
        self._run = run
        self._mint = mint
        self._room = asyncio.Semaphore(MAX_CHECKS)
        self._tasks: set[asyncio.Task[GatewayError | None]] = set()
        self._stopping = False

    async def check(self, request: router_pb2.CheckHealthRequest) -> router_pb2.CheckHealthResponse:
        """Ask every deployment that is named, all at once. UNAVAILABLE when this router stops meanwhile."""
        deployments = [
            deployment
            for group in self._catalog().groups.values()
            for deployment in group
            if request.model in ("", deployment.group) and request.deployment_id in ("", deployment.id)
        ]
        if self._stopping:
            raise _stopping()
        # When whoever asked is gone, this is cancelled, and they with it.
        errors = await asyncio.gather(*map(self._begin, deployments), return_exceptions=True)
        return router_pb2.CheckHealthResponse(
            deployments=[_row(deployment, error) for deployment, error in zip(deployments, errors, strict=True)]
        )

    async def stop(self) -> None:
        """Break off what is under way, and begin no more; each leaves its entry."""
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, deployment: Deployment) -> asyncio.Task[GatewayError | None]:
        task = asyncio.get_running_loop().create_task(self._check(deployment))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _check(self, deployment: Deployment) -> GatewayError | None:
        """What is wrong with it."""
        async with self._room:
            try:
                await self._run(deployment, _Check(self._mint.new(), deployment))
            except GatewayError as error:
                return error
        return None


class _Check:
    """The far end of a check: `call.Caller` for one who wants to know no more than whether there is an answer."""

    def __init__(self, dispatch_id: bytes, deployment: Deployment) -> None:
        self._body = _BODIES[deployment.operation]
        self.request = router_pb2.Open(
            dispatch_id=dispatch_id,
            call_id=to_text(dispatch_id),
            operation=deployment.operation,
            model=deployment.group,
            principal=common_pb2.Principal(master=True, tags=[HEALTH_TAG]),
            # Without an epoch nothing is held; the limit is imposed in the provider's own words.
            hold=common_pb2.Hold(output_tokens_limit=_OUTPUT_TOKENS),
            timeout_ms=CHECK_TIMEOUT_MS,
            body_bytes=len(self._body),
        )

    async def body(self) -> bytes:
        return self._body

    def sent(self, deployment_id: str) -> None:
        pass

    async def answer(self, head: router_pb2.Head, body: bytes, result: router_pb2.Result) -> None:
        pass

    def head(self, head: router_pb2.Head, *, urgent: bool = True) -> None:
        pass

    async def data(self, body: bytes, *, urgent: bool = True) -> None:
        pass

    def result(self, result: router_pb2.Result) -> None:
        pass


def _row(deployment: Deployment, error: GatewayError | BaseException | None) -> router_pb2.DeploymentHealth:
    if isinstance(error, asyncio.CancelledError):
        raise _stopping()
    if error is not None and not isinstance(error, GatewayError):
        raise error
    return router_pb2.DeploymentHealth(
        deployment_id=deployment.id,
        provider_model=f"{deployment.provider}/{deployment.provider_model}",
        api_base="" if deployment.mock_response is not None else deployment.api_base,
        error=error.to_proto() if error is not None else None,
    )


def _stopping() -> GatewayError:
    return unavailable("This router is stopping; try again.")
