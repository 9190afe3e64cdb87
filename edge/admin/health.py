"""Whether the gateway is up, and whether its deployments answer."""

from __future__ import annotations

from gateway.v1 import router_pb2

from edge.admin.endpoint import AdminAnswer, AdminRequest, AdminRoute
from edge.admin.neighbours import ask_a_router
from edge.admission import AdmissionClient
from edge.exchange import Routers
from services.errors import GatewayError
from services.methods import CHECK_HEALTH

# A router gives each deployment ten seconds, and asks many at once.
CHECK_TIMEOUT_SECONDS = 60.0


class HealthAdmin:
    """The handlers of /health and /health/*."""

    def __init__(self, admission: AdmissionClient, routers: Routers) -> None:
        self._admission = admission
        self._routers = routers

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/health/liveliness", self.alive),
            AdminRoute("GET", "/health/liveness", self.alive),
            AdminRoute("GET", "/health/readiness", self.ready),
            AdminRoute("GET", "/health", self.check),
        ]

    async def alive(self, request: AdminRequest) -> object:
        """This process answers."""
        return "I'm alive!"

    async def ready(self, request: AdminRequest) -> object:
        """A call would find a keystore and a router."""
        keystore, router = self._admission.connected, self._routers.connected
        body = {
            "status": "healthy" if keystore and router else "unhealthy",
            "db": "connected" if keystore else "Not connected",
            "keystore": "connected" if keystore else "not connected",
            "router": "connected" if router else "not connected",
        }
        return body if keystore and router else AdminAnswer(503, body)

    async def check(self, request: AdminRequest) -> object:
        """A real call to every deployment; to those that `model` or `model_id` names: 503 when none of them is well."""
        model, deployment_id = request.query.get("model", ""), request.query.get("model_id", "")
        asked = router_pb2.CheckHealthRequest(model=model, deployment_id=deployment_id)
        answer = await ask_a_router(self._routers, CHECK_HEALTH, asked, timeout_seconds=CHECK_TIMEOUT_SECONDS)
        deployments = answer.deployments
        healthy = [_row(each) for each in deployments if not each.HasField("error")]
        unhealthy = [
            {**_row(each), "error": GatewayError.from_proto(each.error).message}
            for each in deployments
            if each.HasField("error")
        ]
        body = {
            "healthy_endpoints": healthy,
            "unhealthy_endpoints": unhealthy,
            "healthy_count": len(healthy),
            "unhealthy_count": len(unhealthy),
        }
        return AdminAnswer(503, body) if (model or deployment_id) and not healthy else body


def _row(deployment: router_pb2.DeploymentHealth) -> dict[str, object]:
    row: dict[str, object] = {"model": deployment.provider_model, "model_id": deployment.deployment_id}
    if deployment.api_base:
        row["api_base"] = deployment.api_base
    return row
