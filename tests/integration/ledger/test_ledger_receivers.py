"""Webhooks and buckets over real HTTP: what arrives, and what follows from what their receivers answer."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ledger.delivery.bucket import Bucket
from ledger.delivery.form import object_of
from ledger.delivery.sink import NotTaken
from ledger.delivery.webhook import MAX_BODY_BYTES, Webhook, signature_headers
from services.deliveries import ExportBucket, ExportWebhook
from services.sender import Later, Sender
from services.sigv4 import AwsKeys

KEYS = AwsKeys("AKID", "very-secret", "session")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Server:
    """Answers every request with `status` and remembers it."""

    base_url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, await request.read()))
        if self.hangs:
            await asyncio.sleep(3600)
        return web.Response(status=self.status, headers=self.headers, text="x" * 100_000)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def webhook(server: Server) -> AsyncIterator[Webhook]:
    made = Webhook(ExportWebhook(f"{server.base_url}/in?t=1", SECRET, {"x-team": "a"}), Sender(), lambda: 1614265330.9)
    yield made
    await made.close()


@pytest.fixture
async def bucket(server: Server) -> AsyncIterator[Bucket]:
    made = Bucket(ExportBucket(f"{server.base_url}/my-bucket", "eu-west-1", KEYS, "prod/entries/"), Sender(), time.time)
    yield made
    await made.close()


async def test_a_webhook_gets_signed_lists_of_entries(webhook: Webhook, server: Server, new_entry) -> None:
    # As large as an entry can be: more than one request is needed.
    large = tuple(f"{number:03}" * 85 for number in range(64))
    entries = [new_entry(tags=large) for _ in range(60)]
    await webhook.deliver("7-9", entries)
    assert len(server.requests) > 1
    data: list[Any] = []
    for number, (method, path, headers, body) in enumerate(server.requests):
        assert (method, path) == ("POST", "/in?t=1")
        assert (headers["content-type"], headers["x-team"]) == ("application/json", "a")
        assert len(body) <= MAX_BODY_BYTES + 100
        expected = signature_headers(SECRET, f"7-9-{number}", 1614265330, body)
        assert {name: headers[name] for name in expected} == expected
        members = json.loads(body)
        assert members["type"] == "entries"
        data += members["data"]
    assert data == [object_of(entry) for entry in entries]


@pytest.mark.parametrize("status", [301, 401, 404, 408, 429, 500, 503])
async def test_what_says_nothing_of_the_batch_is_for_later(
    webhook: Webhook, server: Server, new_entry, status: int
) -> None:
    server.status, server.headers = status, {"location": "/elsewhere", "retry-after": "17"}
    with pytest.raises(Later) as caught:
        await webhook.deliver("1-1", [new_entry()])
    assert (caught.value.after_seconds, str(status) in str(caught.value)) == (17.0, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_what_says_that_the_batch_is_wrong_is_not(
    webhook: Webhook, server: Server, new_entry, status: int
) -> None:
    server.status = status
    with pytest.raises(NotTaken, match=str(status)):
        await webhook.deliver("1-1", [new_entry()])


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/in", "http://user:hunter2@127.0.0.1:9/in?key=hunter2"])
async def test_nobody_there_is_for_later_and_no_secret_is_told(new_entry, url: str) -> None:
    webhook = Webhook(ExportWebhook(url, "hunter2"), Sender(), time.time)
    with pytest.raises(Later) as caught:
        await webhook.deliver("1-1", [new_entry()])
    await webhook.close()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_bucket_gets_an_object_a_batch_under_a_signature_that_aws_would_make(
    bucket: Bucket, server: Server, new_entry
) -> None:
    entries = [new_entry() for _ in range(20)]
    for _ in range(2):
        await bucket.deliver("7-9", entries)
    first, again = server.requests
    # What comes again is the same object.
    assert (first[1], first[3]) == (again[1], again[3])
    method, path, headers, body = first
    day = time.strftime("%Y-%m-%d", time.gmtime(int.from_bytes(entries[0].dispatch_id[:6], "big") / 1000))
    assert (method, path) == ("PUT", f"/my-bucket/prod/entries/{day}/entries-7-9.jsonl.gz")
    assert [json.loads(line) for line in gzip.decompress(body).splitlines()] == [object_of(entry) for entry in entries]
    # As S3 checks it: by what came, and the secret.
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"} <= set(signed)
    came = AWSRequest(method, f"{server.base_url}{path}", {name: headers[name] for name in signed}, body)
    came.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials(*KEYS), "s3", "eu-west-1")
    signature = auth.signature(auth.string_to_sign(came, auth.canonical_request(came)), came)
    assert headers["authorization"].endswith(f"Signature={signature}")
    server.status = 403
    with pytest.raises(Later):
        await bucket.deliver("7-9", entries)
