"""What of the configuration says where alerts go."""

from __future__ import annotations

import pytest

from services.alerting import TYPES, Alerting
from services.config import ConfigError, parse

ENVIRON = {
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/secret",
    "WEBHOOK_URL": "http://hook:8080/in",
    "SMTP_HOST": "mail",
    "SMTP_PASSWORD": "secret",
    "SMTP_SENDER_EMAIL": "gateway@example.com",
}


def read(general: str, environ: dict[str, str] = ENVIRON) -> Alerting | None:
    text = f"general_settings: {{{general}}}\n"
    return parse(text, name="f.yaml", environ=environ).general_settings.alerting


def test_nothing_is_told_without_channels() -> None:
    assert read("") is None
    assert read("alerting: [], alerting_threshold: 10") is None


def test_litellms_settings() -> None:
    found = read(
        "alerting: [slack, webhook, email], alerting_threshold: 20, spend_report_frequency: 1d, "
        "alert_types: [budget_alerts, outage_alerts, db_exceptions], "
        "alert_to_webhook_url: {outage_alerts: [https://a/1, https://a/2]}, "
        "alerting_args: {ledger_lag_threshold: 30, email_to: ops@example.com, budget_alert_ttl: 9}"
    )
    assert found is not None
    assert found.types == {"budget_alerts", "outage_alerts"}
    assert (found.threshold_seconds, found.report_frequency, found.ledger_lag_seconds) == (20, "1d", 30)
    assert found.channels("budget_alerts") == ["slack", "webhook", "email"]
    assert found.channels("outage_alerts") == ["slack", "slack-2", "webhook", "email"]
    assert found.mail is not None
    assert (found.mail.port, found.mail.receivers, found.mail.tls) == (587, ("ops@example.com",), True)
    assert [line.split()[-1] for line in found.left_out] == ["'db_exceptions'", "on"]
    assert "secret" not in repr(found)


def test_what_a_process_has_no_address_for_is_left_out_and_named() -> None:
    found = read("alerting: [slack, webhook, email, pagerduty]", {"WEBHOOK_URL": "ftp://here"})
    assert found is not None
    assert found.channels("budget_alerts") == []
    assert found.types == TYPES
    assert found.left_out == (
        "alerting: there is no channel 'pagerduty'",
        "SLACK_WEBHOOK_URL is not set",
        "WEBHOOK_URL is no http or https address",
        "email needs SMTP_HOST and SMTP_SENDER_EMAIL",
    )


@pytest.mark.parametrize(
    "member",
    [
        "alerting_threshold: 0",
        "spend_report_frequency: often",
        "spend_report_frequency: 30m",
        "alert_to_webhook_url: {outage_alerts: nowhere}",
        "alerting_args: {ledger_lag_threshold: never}",
    ],
)
def test_a_member_that_cannot_be_meant_is_an_error(member: str) -> None:
    with pytest.raises(ConfigError, match=member.partition(":")[0]):
        read(f"alerting: [slack], {member}")
