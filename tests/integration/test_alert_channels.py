"""What each channel sends, whatever names are in an alert; and that no password goes where it is read by others."""

from __future__ import annotations

import json
import smtplib
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway.v1.ledger_pb2 import Alert

from services.alert_channels import AlertChannels, Email
from services.alerting import BUDGETS, GROUP_OUT, Alerting, Mail
from services.sender import Later, Sender
from tests.alert_receivers import Told

HOSTILE = Alert(
    key="a",
    type=BUDGETS,
    title="Team <!channel> & co\r\nBcc: all@example.com: used up",
    text="First.\n.\nLast, *bold* <http://evil|here>.",
    event_json=json.dumps({"event": "budget_crossed", "spend": 1.5}),
)


def mail_to(told: Told, **members) -> Mail:
    usual = {"host": "127.0.0.1", "port": told.smtp_port, "sender": "a@example.com", "receivers": ("b@example.com",)}
    return Mail(**(usual | {"tls": False} | members))


@pytest.fixture
async def channels(told: Told):
    slack = {"": (f"{told.base_url}/slack",), GROUP_OUT: (f"{told.base_url}/slack/1", f"{told.base_url}/slack/2")}
    made = AlertChannels(
        Alerting(slack_urls=slack, webhook_url=f"{told.base_url}/webhook", mail=mail_to(told)), Sender()
    )
    yield made
    await made.close()


async def test_names_are_names_wherever_they_are_told(channels: AlertChannels, told: Told) -> None:
    for name in channels.names(BUDGETS):
        await channels.tell(name, HOSTILE)
    (slack,), (webhook,), (mail,) = told.slack, told.webhook, told.mails
    assert "<" not in slack["text"]
    assert "Team &lt;!channel&gt; &amp; co" in slack["text"]
    assert (webhook["event"], webhook["spend"], webhook["event_message"]) == ("budget_crossed", 1.5, HOSTILE.title)
    assert (webhook["alert_type"], webhook["text"]) == (BUDGETS, HOSTILE.text)
    assert mail["Subject"] == "Team <!channel> & co Bcc: all@example.com: used up"
    assert mail["Bcc"] is None
    assert mail["To"] == "b@example.com"


async def test_a_type_of_its_own_addresses_goes_there_and_nowhere_else(channels: AlertChannels, told: Told) -> None:
    outage = Alert(key="o", type=GROUP_OUT, title="Out", text="out")
    assert channels.names(GROUP_OUT) == ["slack", "slack-2", "webhook", "email"]
    for name in channels.names(GROUP_OUT)[:2]:
        await channels.tell(name, outage)
    assert len(told.slack) == 2
    with pytest.raises(Later):
        await channels.tell("slack-2", HOSTILE)


async def test_without_tls_that_was_asked_for_nothing_is_said(told: Told) -> None:
    with pytest.raises(Later, match="cannot be used") as failure:
        await Email(mail_to(told, tls=True, username="u", password="very-secret")).tell(HOSTILE)
    assert (told.logins, told.mails) == ([], [])
    assert "very-secret" not in str(failure.value)


async def test_over_tls_mail_goes_to_a_server_that_is_who_it_says(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.tls = own_certificate(tmp_path)
    mail = mail_to(told, tls=True, username="u", password="very-secret")
    with pytest.raises(Later):
        await Email(mail).tell(HOSTILE)
    assert (told.logins, told.mails) == ([], [])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    await Email(mail).tell(HOSTILE)
    assert (len(told.logins), len(told.mails)) == (1, 1)
    assert told.upgrades >= 1
    assert told.mails[0]["Date"]


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Of a server at 127.0.0.1, which nobody vouches for but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_why_mail_fails_is_told_without_what_the_server_wrote(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise smtplib.SMTPAuthenticationError(535, b"u / very-secret is wrong")

    monkeypatch.setattr(smtplib.SMTP, "login", refuse)
    with pytest.raises(Later, match=r"^its mail server answers 535$"):
        await Email(mail_to(told, username="u", password="very-secret")).tell(HOSTILE)
