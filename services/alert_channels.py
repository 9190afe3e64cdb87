"""Tells alerts: to Slack, to a webhook, by mail. For the ledger, and for routers that find none."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol

import msgspec
from gateway.v1.ledger_pb2 import Alert

from services.alerting import EMAIL, SLACK, WEBHOOK, Alerting, Mail
from services.sender import Later, Sender

MAIL_TIMEOUT_SECONDS = 15.0
_IMPLICIT_TLS_PORT = 465
# What Slack reads as markup; so no name in an alert mentions anybody.
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class AlertChannel(Protocol):
    """One way to tell."""

    async def tell(self, alert: Alert) -> None:
        """Tell it. Raises Later."""


class Slack:
    """An incoming webhook; those of Discord (`.../slack`) and Mattermost take the same."""

    def __init__(self, urls: Mapping[str, tuple[str, ...]], number: int, sender: Sender) -> None:
        self._urls = urls
        self._number = number
        self._sender = sender

    async def tell(self, alert: Alert) -> None:
        """See `AlertChannel`."""
        urls = self._urls.get(alert.type) or self._urls.get("", ())
        if self._number >= len(urls):
            raise Later("it has no address any more")
        text = f"*{alert.title.translate(_SLACK)}*\n{alert.text.translate(_SLACK)}"
        await _post(self._sender, urls[self._number], {"text": text})


class Webhook:
    """An address that takes the alert's event, in LiteLLM's shape where it has one."""

    def __init__(self, url: str, sender: Sender) -> None:
        self._url = url
        self._sender = sender

    async def tell(self, alert: Alert) -> None:
        """See `AlertChannel`."""
        event = msgspec.json.decode(alert.event_json or "{}", type=dict[str, object])
        own = {"event_message": alert.title, "alert_type": alert.type, "text": alert.text}
        await _post(self._sender, self._url, {**event, **own})


class Email:
    """Mail, sent in a thread."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail

    async def tell(self, alert: Alert) -> None:
        """See `AlertChannel`."""
        message = EmailMessage()
        message["From"] = self._mail.sender
        message["To"] = ", ".join(self._mail.receivers)
        message["Subject"] = " ".join(alert.title.split())
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._mail.sender.rpartition("@")[2])
        message.set_content(alert.text)
        try:
            await asyncio.to_thread(self._send, message)
        except smtplib.SMTPResponseException as error:
            # What servers write beside the number may repeat who was to log in.
            raise Later(f"its mail server answers {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise Later(f"its mail server cannot be used ({type(error).__name__})") from None

    def _send(self, message: EmailMessage) -> None:
        mail = self._mail
        at_once = mail.tls and mail.port == _IMPLICIT_TLS_PORT
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(mail.host, mail.port, timeout=MAIL_TIMEOUT_SECONDS, context=context)
            if at_once
            else smtplib.SMTP(mail.host, mail.port, timeout=MAIL_TIMEOUT_SECONDS)
        )
        with server:
            if mail.tls and not at_once:
                server.starttls(context=context)
            if mail.username:
                server.login(mail.username, mail.password)
            server.send_message(message)


class AlertChannels:
    """All of a configuration."""

    def __init__(self, alerting: Alerting, sender: Sender) -> None:
        self._alerting = alerting
        self._sender = sender
        self._channels: dict[str, AlertChannel] = {}
        for number in range(max(map(len, alerting.slack_urls.values()), default=0)):
            name = f"{SLACK}-{number + 1}" if number else SLACK
            self._channels[name] = Slack(alerting.slack_urls, number, sender)
        if alerting.webhook_url:
            self._channels[WEBHOOK] = Webhook(alerting.webhook_url, sender)
        if alerting.mail is not None:
            self._channels[EMAIL] = Email(alerting.mail)

    def names(self, alert_type: str) -> list[str]:
        """The channels that tell of a type."""
        return self._alerting.channels(alert_type)

    async def tell(self, channel: str, alert: Alert) -> None:
        """Tell an alert over one of them. Raises Later."""
        if channel not in self._channels:
            raise Later("it is no channel any more")
        await self._channels[channel].tell(alert)

    async def close(self) -> None:
        """End the connections."""
        await self._sender.close()


async def _post(sender: Sender, url: str, body: object) -> None:
    await sender.send("POST", url, {"content-type": "application/json"}, msgspec.json.encode(body))
