"""`tollhouse health`, by which a container says whether its role answers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

StartGateway = Callable[..., Awaitable[Any]]

CONFIG = """
model_list:
  - model_name: mock-gpt
    litellm_params: {model: openai/gpt-4o-mini, mock_response: hi}
"""
TOKEN = "internal-token-of-this-test"


async def health(roles: str, *, listen: str = "127.0.0.1:1", port: int = 1, token: str = TOKEN) -> tuple[int, str]:
    """Exit status and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "health", roles, "--port", str(port)),
        env={"PATH": os.environ["PATH"], "TOLLHOUSE_INTERNAL_TOKEN": token, "TOLLHOUSE_GRPC_LISTEN": listen},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    return await process.wait(), printed.decode()


async def until(expected: int, port: int) -> tuple[int, str]:
    """The edge's health, asked until it is as expected; the last answer when it does not become so."""
    answer = await health("edge", port=port)
    for _ in range(10):
        if answer[0] == expected:
            break
        answer = await health("edge", port=port)
    return answer


async def test_a_role_is_well_while_it_runs(stack: StartGateway) -> None:
    gateway = await stack(CONFIG, shape="split")
    for role in ("ledger", "keystore", "router"):
        address = gateway.commands[role][0]
        assert await health(role, listen=address) == (0, "")
        # As a container listens.
        assert await health(role, listen=address.replace("127.0.0.1", "0.0.0.0")) == (0, "")
    port = int(gateway.base_url.rpartition(":")[2])
    assert await until(0, port) == (0, "")

    await gateway.kill("router")
    status, printed = await until(1, port)
    assert status == 1
    assert printed.startswith("tollhouse: the edge is not ready: ")
    assert '"router":"not connected"' in printed

    status, printed = await health("router", listen=gateway.commands["router"][0])
    assert (status, printed.splitlines()[-1].startswith("tollhouse: the router does not answer: ")) == (1, True)


async def test_another_role_or_a_wrong_token_is_not_well(stack: StartGateway) -> None:
    gateway = await stack(CONFIG, shape="split")
    keystore = gateway.commands["keystore"][0]
    assert (await health("ledger", listen=keystore))[0] == 1
    status, printed = await health("keystore", listen=keystore, token="wrong")
    assert (status, "UNAUTHENTICATED" in printed) == (1, True)


@pytest.mark.parametrize("role", ["edge", "ledger"])
async def test_where_nothing_listens_nothing_is_well(role: str) -> None:
    status, printed = await health(role)
    assert (status, printed.startswith(f"tollhouse: the {role} does not answer: ")) == (1, True)


async def test_a_role_that_does_not_exist_is_named() -> None:
    assert await health("egde") == (
        1,
        "tollhouse: 'egde' is no role; roles are ledger, keystore, router, edge, or all\n",
    )
