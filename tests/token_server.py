"""A token service for tests: a real HTTP server that answers as Google, Entra and AWS do, and remembers what it was
asked.

server.behave(Answer(status=503), Answer())    the first request fails, all others are answered well
server.seen[0].path, .headers, .form           what really came
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STS_ANSWER = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <{action}Result><Credentials>
    <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>made-secret</SecretAccessKey>
    <SessionToken>made-token</SessionToken><Expiration>{expiration}</Expiration>
  </Credentials></{action}Result>
</{action}Response>"""
STS_REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>Not for arn:aws:iam::1:user/u</Message></Error>
</ErrorResponse>"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request is answered: with a token of its own, or with `body`."""

    status: int = 200
    life_seconds: float | str = 3600
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. headers: by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


class TokenServer:
    """Tokens are `token-1`, `token-2` and so on; AWS keys `ASIA1`, `ASIA2`."""

    def __init__(self) -> None:
        self.seen: list[Asked] = []
        self.base_url = ""
        self._script: list[Answer] = [Answer()]
        routes = [
            Route("/sts", self._keys, methods=["POST"]),
            Route("/{path:path}", self._token, methods=["GET", "POST"]),
        ]
        self.app = Starlette(routes=routes)

    def behave(self, *script: Answer) -> None:
        """The next requests are answered so, in order; the last of them answers all that follow."""
        self._script = list(script)

    async def _next(self, request: Request) -> Answer:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.seen.append(Asked(request.method, path, dict(request.headers), form))
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        await asyncio.sleep(answer.delay_seconds)
        return answer

    async def _token(self, request: Request) -> Response:
        answer = await self._next(request)
        token = {"access_token": f"token-{len(self.seen)}", "expires_in": answer.life_seconds, "token_type": "Bearer"}
        body = json.dumps(token).encode() if answer.body is None else answer.body
        return Response(body, answer.status, answer.headers)

    async def _keys(self, request: Request) -> Response:
        answer = await self._next(request)
        action = self.seen[-1].form["Action"]
        end = datetime.now(UTC) + timedelta(seconds=float(answer.life_seconds))
        whole = STS_ANSWER.format(action=action, key=f"ASIA{len(self.seen)}", expiration=end.isoformat())
        return Response(whole if answer.body is None else answer.body, answer.status, media_type="text/xml")


@pytest.fixture
async def token_server() -> AsyncIterator[TokenServer]:
    """A token service of the test's own."""
    server = TokenServer()
    config = uvicorn.Config(server.app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    runner = uvicorn.Server(config)
    task = asyncio.create_task(runner.serve())
    while not runner.started:
        await asyncio.sleep(0.01)
    host, port = runner.servers[0].sockets[0].getsockname()[:2]
    server.base_url = f"http://{host}:{port}"
    yield server
    runner.should_exit = True
    runner.force_exit = True
    await task
