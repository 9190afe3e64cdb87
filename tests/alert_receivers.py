"""Those who are told: real servers that take what Slack, a webhook and a mail server take, and remember it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_string
from email.message import Message
from typing import Any

import pytest
from aiohttp import web

WAIT_SECONDS = 60


@dataclass
class Told:
    """slack, webhook: bodies by where they came; mails: whole. status: of every HTTP answer."""

    base_url: str = ""
    smtp_port: int = 0
    status: int = 200
    # The path under which nothing is ever answered.
    hangs: str = ""
    refused: int = 0
    slack: list[dict[str, Any]] = field(default_factory=list)
    webhook: list[dict[str, Any]] = field(default_factory=list)
    # What the mail server upgrades with, and how often it has; None: it does not offer it.
    tls: ssl.SSLContext | None = None
    upgrades: int = 0
    mails: list[Message] = field(default_factory=list)
    # How often somebody has logged in, and with what.
    logins: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """What leads alerts here; each address holds a secret."""
        return {
            "SLACK_WEBHOOK_URL": f"{self.base_url}/slack/T0/very-secret",
            "WEBHOOK_URL": f"{self.base_url}/webhook?token=very-secret",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.smtp_port),
            "SMTP_USERNAME": "gateway",
            "SMTP_PASSWORD": "very-secret",
            "SMTP_SENDER_EMAIL": "gateway@example.com",
            "SMTP_TLS": "False",
        }

    def events(self, name: str) -> list[dict[str, Any]]:
        """Of the webhook, those with this `event`."""
        return [each for each in self.webhook if each["event"] == name]

    def everything(self) -> str:
        """All that was told, as a text."""
        return json.dumps([self.slack, self.webhook]) + "".join(mail.as_string() for mail in self.mails)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.path == self.hangs:
            await asyncio.sleep(3600)
        if self.status != 200:
            self.refused += 1
        else:
            (self.slack if request.path.startswith("/slack") else self.webhook).append(body)
        return web.Response(status=self.status)

    async def serve_mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As little of SMTP (RFC 5321) as one mail needs."""

        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 here")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                say("250-here\r\n" + ("250-STARTTLS\r\n" if self.tls is not None else "") + "250 AUTH PLAIN")
            elif word == "STARTTLS" and self.tls is not None:
                say("220 go on")
                await writer.start_tls(self.tls)
                self.upgrades += 1
            elif word == "AUTH":
                self.logins.append(line)
                say("235 welcome")
            elif word == "DATA":
                say("354 go on")
                lines: list[str] = []
                while (part := (await reader.readline()).decode().rstrip("\r\n")) != ".":
                    lines.append(part)
                self.mails.append(message_from_string("\n".join(lines)))
                say("250 taken")
            elif word == "QUIT":
                say("221 bye")
                break
            else:
                say("250 fine")
        writer.close()


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    """The servers."""
    made = Told()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    mail = await asyncio.start_server(made.serve_mail, "127.0.0.1", 0)
    made.smtp_port = mail.sockets[0].getsockname()[1]
    yield made
    mail.close()
    await runner.cleanup()


async def until(holds: Callable[[], object]) -> None:
    """Wait for it. TimeoutError."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await asyncio.sleep(0.05)
