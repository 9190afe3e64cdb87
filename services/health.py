"""`tollhouse health ROLES`: whether the roles on this host answer. What a container's health check runs.

A role with RPCs is asked to open its link, with the internal token; the link is ended unused. An edge is asked whether
a call would find a keystore and a router.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any

from services import startup
from services.errors import GatewayError
from services.methods import ADMISSION, INFERENCE, RECORD, Exchange
from services.process import StartError, run
from services.rpc import GrpcChannel
from services.settings import Settings

# Less than a health check waits, so that the reason is told.
TIMEOUT_SECONDS = 4.0

_LINKS: Mapping[str, Exchange[Any, Any]] = {"ledger": RECORD, "keystore": ADMISSION, "router": INFERENCE}
# Where a server that listens everywhere is found from its own host.
_OWN_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 -- called, not bound


def health(roles_text: str, http_port: int | None) -> None:
    """Return when all of them answer; StartError tells which does not, and why. http_port: None: as for `serve`."""
    roles = startup.parse_roles(roles_text)
    _, settings = startup.read(None)
    run(_ask_links([role for role in roles if role in _LINKS], settings))
    if "edge" in roles:
        _ask_edge(settings.http_port if http_port is None else http_port)


async def _ask_links(roles: list[str], settings: Settings) -> None:
    host, _, port = settings.grpc_listen.rpartition(":")
    channel = GrpcChannel(f"{_OWN_HOST.get(host, host)}:{port}", settings.internal_token)
    try:
        for role in roles:
            try:
                link = await channel.exchange(_LINKS[role], timeout_seconds=TIMEOUT_SECONDS)
            except GatewayError as error:
                raise StartError(f"the {role} does not answer: {error.message}") from error
            await link.close()
    finally:
        await channel.close()


def _ask_edge(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/readiness")
        answer = connection.getresponse()
        body = answer.read(1024).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise StartError(f"the edge does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise StartError(f"the edge is not ready: {body}")
