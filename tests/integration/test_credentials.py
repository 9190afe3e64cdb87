"""Credentials over real connections: what token services were asked, what providers saw and what is accounted for."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from gateway.v1 import router_pb2
from prometheus_client import CollectorRegistry

from router.accounting import Accounting
from router.catalog import Catalog, Deployment, build
from router.credentials import Credentials
from router.engine import Engine
from router.extensions import Extensions
from router.live import LiveHolds
from router.metrics import CallMetrics
from router.mock import MockTransport
from router.providers.price_table import PriceTable
from router.routing.health import Health
from router.routing.plan import Policy
from router.selection import Selection
from router.transport import HttpTransport
from router.wire.base import HttpRequest
from router.wire.openai import OpenAIWire
from services.config import parse
from services.errors import GatewayError, Reason
from services.money import Rates
from tests.engine_bench import Log, Recorder
from tests.fake_provider import Behaviour, FakeProvider
from tests.token_server import STS_REFUSAL, Answer, TokenServer

PATIENCE_SECONDS = 5
SECRET = "a-secret-of-the-client"


class Bench:
    def __init__(self, transport: HttpTransport, provider: FakeProvider, credentials: Credentials) -> None:
        self.provider = provider
        self.log = Log([])
        self.groups: dict[str, tuple[Deployment, ...]] = {}
        self.engine = Engine(
            catalog=lambda: Catalog(groups=self.groups),
            wires={"openai": OpenAIWire()},
            transport=transport,
            mock=MockTransport(new_id=lambda: "0", clock=time.time),
            accounting=Accounting(self.log, CallMetrics(CollectorRegistry()), structlog.get_logger()),
            selection=Selection(
                Policy(num_retries=1),
                strategy="simple-shuffle",
                health=Health(),
                randomness=random.Random(1),
                clock=time.monotonic,
            ),
            extend=Extensions(LiveHolds()).extend,
            clock=time.monotonic,
            signers=credentials.signers,
        )

    def deploy(self, auth: str, name: str = "d", **members: Any) -> Deployment:
        """A deployment of the group, beside those that are there."""
        options = members.pop("options", {})
        deployment = Deployment(
            id=name,
            group="group",
            provider="cloud",
            provider_model=name,
            api_base=self.provider.base_url,
            auth=auth,
            options=options,
            rates=Rates(input=1_000_000, output=1_000_000),
            **members,
        )
        self.groups["group"] = (*self.groups.get("group", ()), deployment)
        return deployment

    def caller(self) -> Recorder:
        request = router_pb2.Open(dispatch_id=bytes(16), model="group", input_tokens_bound=1000)
        return Recorder(request, b'{"model":"group","messages":[{"role":"user","content":"hi"}]}', self.log.events)

    async def call(self) -> Recorder:
        caller = self.caller()
        await asyncio.wait_for(self.engine.run(caller), PATIENCE_SECONDS)
        return caller

    async def fails(self) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.call()
        return caught.value

    @property
    def shown(self) -> list[str]:
        """The credentials that the provider saw."""
        return [seen.headers.get("authorization", seen.headers.get("api-key", "")) for seen in self.provider.seen]


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
async def credentials(environ: dict[str, str]) -> AsyncIterator[Credentials]:
    credentials = Credentials(environ)
    yield credentials
    await credentials.close()


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


@pytest.fixture
def bench(fake_provider: FakeProvider, transport: HttpTransport, credentials: Credentials) -> Bench:
    return Bench(transport, fake_provider, credentials)


@pytest.fixture
def application(environ: dict[str, str], token_server: TokenServer) -> Mapping[str, str]:
    """An application of Entra, which the token server plays."""
    environ["AZURE_AUTHORITY_HOST"] = token_server.base_url
    return {"tenant_id": "tenant", "client_id": "client", "client_secret": SECRET}


async def test_an_expired_token_is_fetched_anew_once_for_all_who_wait(
    bench: Bench, application: Mapping[str, str], token_server: TokenServer
) -> None:
    token_server.behave(Answer(life_seconds=0.2), Answer(delay_seconds=0.2))
    bench.deploy("azure", options=application)
    await bench.call()
    await asyncio.sleep(0.25)
    await asyncio.gather(*(bench.call() for _ in range(50)))
    assert len(token_server.seen) == 2
    assert bench.shown == ["Bearer token-1"] + ["Bearer token-2"] * 50
    asked = token_server.seen[0]
    assert (asked.path, asked.form["client_secret"]) == ("/tenant/oauth2/v2.0/token", SECRET)


async def test_a_refused_credential_is_a_typed_error_and_nothing_is_sent_or_billed(
    bench: Bench, application: Mapping[str, str], token_server: TokenServer
) -> None:
    said = {"error": "invalid_client", "error_description": f"AADSTS7000215: Invalid client secret {SECRET}."}
    token_server.behave(Answer(status=401, body=json.dumps(said).encode()))
    bench.deploy("azure", options=application)
    error = await bench.fails()
    assert (error.reason, error.provider) == (Reason.ERROR_REASON_PROVIDER_AUTHENTICATION, "cloud")
    assert "AADSTS7000215" in error.message
    assert SECRET not in f"{error!r} {error.message}"
    assert bench.provider.seen == []
    assert bench.log.events == ["entry"]
    (entry,) = bench.log.entries
    assert (list(entry.attempts), entry.cost_nano_usd) == ([], 0)
    await asyncio.gather(*(bench.fails() for _ in range(20)))
    assert len(token_server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=401, body=b'{"error":"invalid_client"}'),
        Answer(status=503),
        Answer(status=307, headers={"location": "/elsewhere"}),
        Answer(body=b"<html>"),
        Answer(body=b"x" * 1024 * 1024),
    ],
)
async def test_another_deployment_answers_when_there_is_no_token(
    bench: Bench, application: Mapping[str, str], token_server: TokenServer, answer: Answer
) -> None:
    token_server.behave(answer)
    bench.deploy("azure", "broken", options=application, weight=1.0)
    bench.deploy("azure", "good", api_key="a-key")
    caller = await bench.call()
    assert caller.heads[0].deployment_id == "good"
    assert bench.shown == ["a-key"]
    assert len(token_server.seen) == 1
    (entry,) = bench.log.entries
    assert [attempt.deployment_id for attempt in entry.attempts] == ["good"]


async def test_a_token_service_that_is_down_is_not_the_callers_fault(
    bench: Bench, application: Mapping[str, str], environ: dict[str, str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        environ["AZURE_AUTHORITY_HOST"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
        bench.deploy("azure", "broken", options=application, weight=1.0)
        bench.deploy("azure", "worse", options=application)
        error = await bench.fails()
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert SECRET not in error.message


async def test_waiting_for_a_token_is_within_the_attempts_time_and_the_token_comes_all_the_same(
    bench: Bench, application: Mapping[str, str], token_server: TokenServer
) -> None:
    token_server.behave(Answer(delay_seconds=0.5))
    hasty = bench.deploy("azure", options=application, timeout_seconds=0.1)
    bench.groups["group"] = (hasty, replace(hasty, id="e"))
    assert (await bench.fails()).reason == Reason.ERROR_REASON_PROVIDER_TIMEOUT
    # The provider was not asked, so it was not at work.
    assert (list(bench.log.entries[0].attempts), bench.log.entries[0].cost_nano_usd) == ([], 0)
    bench.groups["group"] = (replace(hasty, timeout_seconds=PATIENCE_SECONDS),)
    await bench.call()
    assert bench.shown == ["Bearer token-1"]
    assert len(token_server.seen) == 1


async def test_a_provider_that_repeats_the_token_gives_nothing_away(
    bench: Bench, application: Mapping[str, str], token_server: TokenServer
) -> None:
    token_server.behave(Answer(body=b'{"access_token":"eyJ0.a/b.c"}'))
    bench.deploy("azure", options=application)
    bench.provider.behave("d", Behaviour(status=401, body=b'{"error":{"message":"Bad token: eyJ0.a\\/b.c!"}}'))
    error = await bench.fails()
    assert error.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert error.message == "Bad token: ***!"


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        ("bearer", ["Bearer key-a", "Bearer key-b"]),
        ("header:api-key", ["key-a", "key-b"]),
        ("azure", ["key-a", "key-b"]),
        ("aws", ["Bearer key-a", "Bearer key-b"]),
    ],
)
async def test_each_deployment_shows_the_key_that_its_own_entry_names(
    bench: Bench, auth: str, shown: list[str]
) -> None:
    environ = {"A": "key-a", "B": "key-b"}
    text = "model_list:\n" + "".join(
        f"- model_name: g\n  litellm_params: {{model: openai/m, api_base: '{bench.provider.base_url}', "
        f"api_key: os.environ/{name}, input_cost_per_token: 0, output_cost_per_token: 0}}\n"
        for name in environ
    )
    catalog = build(parse(text, name="f.yaml", environ=environ), environ, PriceTable)
    assert len({deployment.id for deployment in catalog.groups["g"]}) == 2
    for deployment in catalog.groups["g"]:
        bench.groups["group"] = (replace(deployment, auth=auth),)
        await bench.call()
    assert bench.shown == shown


async def test_ibms_iam_gives_a_token(bench: Bench, environ: dict[str, str], token_server: TokenServer) -> None:
    environ["WATSONX_IAM_URL"] = f"{token_server.base_url}/identity/token"
    bench.deploy("ibm", api_key=SECRET)
    await asyncio.gather(*(bench.call() for _ in range(5)))
    assert bench.shown == ["Bearer token-1"] * 5
    assert [(asked.path, asked.form["apikey"]) for asked in token_server.seen] == [("/identity/token", SECRET)]


async def test_a_machines_own_account_is_used_when_nothing_else_is_given(
    bench: Bench, environ: dict[str, str], token_server: TokenServer
) -> None:
    environ["GCE_METADATA_HOST"] = token_server.base_url.removeprefix("http://")
    bench.deploy("google")
    await bench.call()
    assert bench.shown == ["Bearer token-1"]
    (asked,) = token_server.seen
    assert asked.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert asked.headers["metadata-flavor"] == "Google"


async def test_a_login_in_a_file_is_exchanged_for_a_token(
    bench: Bench, token_server: TokenServer, tmp_path: Path
) -> None:
    login = {"type": "authorized_user", "refresh_token": "r", "client_id": "c", "client_secret": "s"}
    file = tmp_path / "login.json"
    file.write_text(json.dumps({**login, "token_uri": f"{token_server.base_url}/token"}))
    bench.deploy("google", options={"vertex_credentials": str(file)})
    await asyncio.gather(*(bench.call() for _ in range(10)))
    assert bench.shown == ["Bearer token-1"] * 10
    (asked,) = token_server.seen
    assert asked.form == {
        "grant_type": "refresh_token",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
    }


class Listener:
    """Takes one request, and keeps its bytes."""

    async def __aenter__(self) -> Listener:
        self.head, self.body = b"", b""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", self.head)
        assert length is not None
        self.body = await reader.readexactly(int(length[1]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()


@pytest.mark.parametrize("token", ["", "a-session-token"])
async def test_what_arrives_has_the_signature_that_aws_computes_from_it(
    transport: HttpTransport, credentials: Credentials, token: str
) -> None:
    """From the bytes on the wire, by AWS's own library."""
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": SECRET, "aws_session_token": token}
    deployment = Deployment(
        id="d",
        group="g",
        provider="cloud",
        provider_model="m",
        api_base="",
        auth="aws",
        options={**keys, "aws_region_name": "us-east-1"},
    )
    async with Listener() as listener:
        url = f"http://{listener.address}/model/arn%3Aaws%3Abedrock%3A%3A1%3Aus.m-v1:0/converse?b=%2F&a=1"
        sent = {"content-type": "application/json", "x-amz-two": "a  b ", "accept": "x"}
        request = await credentials.signers["aws"].sign(HttpRequest("POST", url, sent, b'{"a":1}'), deployment)
        async with transport.open(request, deployment, timeout_seconds=PATIENCE_SECONDS) as response:
            assert response.status == 200
    first, *lines = listener.head.decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    names = re.search("SignedHeaders=([^,]+)", headers["authorization"])
    assert names is not None
    theirs = AWSRequest(
        "POST",
        f"http://{listener.address}{first.split()[1]}",
        {name: headers[name] for name in names[1].split(";")},
        listener.body,
    )
    theirs.context["timestamp"] = headers["x-amz-date"]
    oracle = SigV4Auth(BotocoreCredentials("AKID", SECRET, token or None), "bedrock", "us-east-1")
    signature = oracle.signature(oracle.string_to_sign(theirs, oracle.canonical_request(theirs)), theirs)
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert headers.get("x-amz-security-token", "") == token


ROLE = {"aws_role_name": "arn:aws:iam::123456789012:role/r", "aws_region_name": "us-east-1"}


def key_ids(bench: Bench) -> list[str]:
    return [shown.partition("Credential=")[2].partition("/")[0] for shown in bench.shown]


async def test_a_role_is_assumed_with_the_deployments_keys_once(bench: Bench, token_server: TokenServer) -> None:
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": SECRET}
    rest = {"aws_sts_endpoint": f"{token_server.base_url}/sts", "aws_external_id": "ext", "aws_session_name": "session"}
    bench.deploy("aws", options={**ROLE, **keys, **rest})
    await asyncio.gather(*(bench.call() for _ in range(10)))
    assert key_ids(bench) == ["ASIA1"] * 10
    assert {seen.headers["x-amz-security-token"] for seen in bench.provider.seen} == {"made-token"}
    (asked,) = token_server.seen
    assert asked.form["RoleArn"] == ROLE["aws_role_name"]
    assert (asked.form["RoleSessionName"], asked.form["ExternalId"]) == ("session", "ext")
    assert "Credential=AKID/" in asked.headers["authorization"]


@pytest.mark.parametrize("in_a_file", [False, True])
async def test_a_web_identity_needs_no_keys(
    bench: Bench, token_server: TokenServer, tmp_path: Path, in_a_file: bool
) -> None:
    token = "eyJ0.eyJz.c2ln"
    file = tmp_path / "identity"
    file.write_text(f"{token}\n")
    rest = {
        "aws_sts_endpoint": f"{token_server.base_url}/sts",
        "aws_web_identity_token": str(file) if in_a_file else token,
    }
    bench.deploy("aws", options={**ROLE, **rest})
    await bench.call()
    (asked,) = token_server.seen
    assert (asked.form["Action"], asked.form["WebIdentityToken"]) == ("AssumeRoleWithWebIdentity", token)
    assert "authorization" not in asked.headers
    assert key_ids(bench) == ["ASIA1"]


async def test_a_profile_is_read_from_awss_files(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = FROMFILE\naws_secret_access_key = s\n")
    # botocore reads the variables of the process.
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    bench.deploy("aws", options={"aws_profile_name": "team", "aws_region_name": "us-east-1"})
    await bench.call()
    assert key_ids(bench) == ["FROMFILE"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(403, body=STS_REFUSAL.format(code="AccessDenied").encode()), "PROVIDER_AUTHENTICATION"),
        (Answer(400, body=STS_REFUSAL.format(code="Throttling").encode()), "PROVIDER_UNAVAILABLE"),
        (Answer(500, body=STS_REFUSAL.format(code="InternalFailure").encode()), "PROVIDER_UNAVAILABLE"),
        (Answer(body=b"no xml"), "PROVIDER_UNAVAILABLE"),
        (Answer(body=b"<AssumeRoleResponse/>"), "PROVIDER_UNAVAILABLE"),
        (Answer(life_seconds=-5), "PROVIDER_UNAVAILABLE"),
    ],
)
async def test_a_role_that_cannot_be_assumed_is_a_typed_error(
    bench: Bench, token_server: TokenServer, answer: Answer, reason: str
) -> None:
    token_server.behave(answer)
    keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": SECRET}
    options = {**ROLE, **keys, "aws_sts_endpoint": f"{token_server.base_url}/sts"}
    signer = bench.engine._signers["aws"]
    deployment = bench.deploy("aws", options=options)
    with pytest.raises(GatewayError) as caught:
        await signer.sign(HttpRequest("POST", "http://h.example/", {}, b""), deployment)
    assert caught.value.reason == Reason.Value(f"ERROR_REASON_{reason}")
    assert "arn:" not in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"aws_profile_name": "nobody"},
        {**ROLE, "aws_web_identity_token": "no-such-file"},
        {"aws_role_name": "short", "aws_access_key_id": "a", "aws_secret_access_key": "b"},
        {**ROLE, "aws_sts_endpoint": "nonsense", "aws_access_key_id": "a", "aws_secret_access_key": "b"},
    ],
)
async def test_aws_options_that_cannot_be_meant_are_a_typed_error(
    credentials: Credentials, bench: Bench, options: dict[str, str]
) -> None:
    deployment = bench.deploy("aws", options={"aws_region_name": "us-east-1", **options})
    with pytest.raises(GatewayError) as caught:
        await credentials.signers["aws"].sign(HttpRequest("POST", "http://h.example/", {}, b""), deployment)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
