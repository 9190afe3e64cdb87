"""The way to a provider: what reaches it, what comes back, and what is made of every way to fail."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from router.catalog import Deployment
from router.transport import HttpTransport
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason
from tests.fake_provider import Behaviour, FakeProvider


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


@pytest.fixture
def tls_identity(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` that nobody has signed, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def deployment(base_url: str) -> Deployment:
    return Deployment(id="d", group="g", provider="openai", provider_model="m", api_base=base_url, api_key="sk-key")


def post(url: str, body: bytes = b'{"model":"m"}', **headers: str) -> HttpRequest:
    return HttpRequest("POST", url, {"content-type": "application/json", **headers}, body)


async def failure(transport: HttpTransport, url: str, *, timeout_seconds: float = 5, **headers: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        async with transport.open(post(url, **headers), deployment(url), timeout_seconds=timeout_seconds) as response:
            await response.read()
    assert caught.value.provider == "openai"
    assert "127.0.0.1" not in caught.value.message
    return caught.value


async def answering(handle: Callable[[asyncio.StreamWriter], None]) -> tuple[asyncio.Server, str]:
    """A server that reads a request's head and then does whatever is asked of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        handle(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def test_a_request_and_its_answer_cross_whole(transport: HttpTransport, fake_provider: FakeProvider) -> None:
    request = post(f"{fake_provider.base_url}/chat/completions", authorization="Bearer sk-key")
    async with transport.open(request, deployment(fake_provider.base_url), timeout_seconds=5) as response:
        assert response.status == 200
        assert response.headers["content-type"].startswith("application/json")
        body = await response.read()
    assert b"Hello from the fake provider!" in body
    assert fake_provider.seen[0].headers["authorization"] == "Bearer sk-key"


async def test_connections_are_used_again(transport: HttpTransport) -> None:
    """Also after a stream that is left at its terminator, which comes before the end of the HTTP body."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            await reader.readexactly(13)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[DONE\r\n")
            await asyncio.sleep(0.001)
            writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    for _ in range(3):
        async with transport.open(post(url), deployment(url), timeout_seconds=5) as response:
            assert await response.chunk() == b"[DONE"
        # The call does not wait for the end of the body; the connection does.
        await asyncio.sleep(0.05)
    server.close()
    assert connections == 1


class Scripted:
    """A server that answers the n-th request it gets, on whichever connection, with the n-th script."""

    def __init__(self, *scripts: bytes | None) -> None:
        self.scripts = list(scripts)
        self.connections = 0
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                script = self.scripts.pop(0)
                if script is None:  # without reading the body
                    script = b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n"
                else:
                    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(script)
                if b"ends with the connection" in script:
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def whole(transport: HttpTransport, url: str, body: bytes = b"{}") -> tuple[int, bytes]:
    async with transport.open(post(url, body), deployment(url), timeout_seconds=5) as response:
        return response.status, await response.read()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nTrailer: x\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nends with the connection", b"ends with the connection"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nends with the connection", b"ends with the connection"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["chunked", "until the end", "HTTP/1.0", "interim answers", "no content"],
)
async def test_every_framing_of_a_body_is_understood(transport: HttpTransport, answer: bytes, body: bytes) -> None:
    async with Scripted(answer) as server:
        assert (await whole(transport, server.url))[1] == body


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["asked to close", "said more than was asked", "HTTP/1.0"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(transport: HttpTransport, first: bytes) -> None:
    async with Scripted(first, OK) as server:
        assert await whole(transport, server.url) == (200, b"ok")
        assert await whole(transport, server.url) == (200, b"ok")
        assert server.connections == 2


async def test_an_answer_before_the_body_was_sent_does_not_spoil_the_next(transport: HttpTransport) -> None:
    async with Scripted(None, OK) as server:
        assert await whole(transport, server.url, bytes(16 * 1024 * 1024)) == (413, b"")
        assert await whole(transport, server.url) == (200, b"ok")
        assert server.connections == 2


async def test_an_idle_connection_that_the_provider_closes_is_not_used(transport: HttpTransport) -> None:
    async with Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\nends with the connection", OK) as server:
        await whole(transport, server.url)
        await asyncio.sleep(0.05)
        assert await whole(transport, server.url) == (200, b"ok")


async def test_a_provider_may_close_after_its_answer_while_that_is_still_held(transport: HttpTransport) -> None:
    """It has not said that it would; the next call gets a connection of its own."""
    async with Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\nends with the connection", OK) as server:
        async with transport.open(post(server.url), deployment(server.url), timeout_seconds=5) as response:
            assert await response.read() == b"ends with the connection"
            await asyncio.sleep(0.05)
        assert await whole(transport, server.url) == (200, b"ok")
        assert server.connections == 2


async def test_headers_have_a_limit(transport: HttpTransport) -> None:
    async with Scripted(
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"v" * 1000) for n in range(100))
    ) as server:
        error = await failure(transport, server.url)
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert "too many headers" in error.message


async def test_a_reader_that_is_slow_stops_the_provider(transport: HttpTransport) -> None:
    """No more is held than a buffer's worth, however much the provider has to say; and all of it arrives."""
    size = 64 * 1024 * 1024
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(bytes(65536))
            await writer.drain()
            written += 65536
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with transport.open(post(url), deployment(url), timeout_seconds=30) as response:
        await asyncio.sleep(0.5)
        assert written < 32 * 1024 * 1024  # the kernel's buffers on both sides are in it
        read = 0
        while chunk := await response.chunk():
            read += len(chunk)
    server.close()
    assert read == size


async def test_a_provider_behind_tls_is_called(tls_identity: tuple[Path, Path]) -> None:
    certificate, key = tls_identity
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    trusting, doubting = HttpTransport(ssl.create_default_context(cafile=str(certificate))), HttpTransport()
    assert await whole(trusting, url) == (200, b"ok")
    error = await failure(doubting, url)
    assert error.message == "openai could not be reached: TLS failed."
    await trusting.close()
    await doubting.close()
    server.close()


async def test_a_host_that_refuses_is_unavailable(transport: HttpTransport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure(transport, f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert error.message == "openai could not be reached: connection error."


async def test_a_name_that_does_not_resolve_is_unavailable(transport: HttpTransport) -> None:
    error = await failure(transport, "http://no-such-host.invalid/v1")
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


async def test_a_failed_tls_handshake_is_unavailable(transport: HttpTransport, fake_provider: FakeProvider) -> None:
    error = await failure(transport, fake_provider.base_url.replace("http:", "https:"))
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("url", ["not a url", "http://", "ftp://example.invalid/", "http://[::1/v1"])
async def test_an_address_that_is_none_is_unavailable(transport: HttpTransport, url: str) -> None:
    assert (await failure(transport, url)).reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


async def test_a_credential_with_a_line_break_never_leaves(
    transport: HttpTransport, fake_provider: FakeProvider
) -> None:
    error = await failure(transport, fake_provider.base_url, authorization="Bearer sk\r\nx-evil: 1")
    assert "sk" not in error.message
    assert fake_provider.seen == []


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"SMTP ready\r\n\r\n", b"HTTP/1.1 200 OK\r\n"],
)
async def test_an_answer_that_breaks_off_is_unavailable(transport: HttpTransport, answer: bytes) -> None:
    def handle(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server, url = await answering(handle)
    error = await failure(transport, url)
    server.close()
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
async def test_the_deadline_covers_head_and_body(transport: HttpTransport, answer: bytes) -> None:
    server, url = await answering(lambda writer: writer.write(answer))
    error = await failure(transport, url, timeout_seconds=0.1)
    server.close()
    assert error.reason == Reason.ERROR_REASON_PROVIDER_TIMEOUT
    assert "0.1 s" in error.message


async def test_a_redirect_is_not_followed(transport: HttpTransport, fake_provider: FakeProvider) -> None:
    answer = f"HTTP/1.1 307 X\r\nLocation: {fake_provider.base_url}\r\nContent-Length: 0\r\n\r\n".encode()
    server, url = await answering(lambda writer: writer.write(answer))
    async with transport.open(post(url), deployment(url), timeout_seconds=5) as response:
        assert response.status == 307
    server.close()
    assert fake_provider.seen == []


async def test_a_body_has_a_limit(transport: HttpTransport, fake_provider: FakeProvider) -> None:
    url = f"{fake_provider.base_url}/chat/completions"
    with pytest.raises(GatewayError) as caught:
        async with transport.open(post(url), deployment(url), timeout_seconds=5) as response:
            await response.read(max_bytes=10)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


async def test_an_answer_compressed_unasked_is_invalid(transport: HttpTransport) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"
    server, url = await answering(lambda writer: writer.write(answer))
    error = await failure(transport, url)
    server.close()
    assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_closes_the_connection_at_once(
    transport: HttpTransport, fake_provider: FakeProvider, stream: bool
) -> None:
    fake_provider.behave("m", Behaviour(stall_after=2) if stream else Behaviour(head_delay_seconds=3600))
    body = b'{"model":"m","stream":true}' if stream else b'{"model":"m"}'
    url = f"{fake_provider.base_url}/chat/completions"

    async def call() -> None:
        async with transport.open(post(url, body), deployment(url), timeout_seconds=60) as response:
            await response.read()

    task = asyncio.create_task(call())
    while not fake_provider.seen or (stream and fake_provider.seen[0].tokens_sent < 2):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait_for(fake_provider.seen[0].ended.wait(), 5)
    assert fake_provider.seen[0].aborted
    assert task.cancelled() or isinstance(task.exception(), asyncio.CancelledError)


async def test_what_goes_wrong_inside_is_not_blamed_on_the_provider(
    transport: HttpTransport, fake_provider: FakeProvider
) -> None:
    url = f"{fake_provider.base_url}/chat/completions"
    with pytest.raises(ValueError, match="ours"):
        async with transport.open(post(url), deployment(url), timeout_seconds=5):
            raise ValueError("ours")
