"""Where entries are delivered to, as the configuration says it."""

from __future__ import annotations

import pytest

from services.config import Config, ConfigError, parse
from services.deliveries import ExportBucket, ExportWebhook
from services.sigv4 import AwsKeys

ENVIRON = {"HOOK_SECRET": "whsec_c2VjcmV0", "KEY": "AKID", "SECRET": "very-secret"}
BUCKET = "bucket: my-bucket, access_key_id: os.environ/KEY, secret_access_key: os.environ/SECRET"


def general(text: str) -> Config:
    return parse(f"general_settings:\n  {text}\n", name="c.yaml", environ=ENVIRON)


def test_there_is_none_unless_it_is_configured() -> None:
    settings = parse("", name="c.yaml", environ={}).general_settings
    assert (settings.export_webhook, settings.export_bucket) == (None, None)


def test_a_webhook() -> None:
    config = general(
        "export_webhook: {url: 'https://hooks.example/in?t=1', secret: os.environ/HOOK_SECRET, headers: {X-Team: a}}"
    )
    assert config.general_settings.export_webhook == ExportWebhook(
        "https://hooks.example/in?t=1", "whsec_c2VjcmV0", {"x-team": "a"}
    )
    assert config.ignored == ()
    assert "whsec" not in repr(config)
    assert "hooks.example" not in repr(config)


def test_a_bucket_of_aws_and_one_of_ones_own() -> None:
    keys = AwsKeys("AKID", "very-secret")
    config = general(f"export_bucket: {{{BUCKET}, region: eu-west-1, prefix: /tollhouse/prod/}}")
    assert config.general_settings.export_bucket == ExportBucket(
        "https://my-bucket.s3.eu-west-1.amazonaws.com", "eu-west-1", keys, "tollhouse/prod/"
    )
    assert "very-secret" not in repr(config)
    config = general(f"export_bucket: {{{BUCKET}, endpoint: 'http://minio:9000/'}}")
    assert config.general_settings.export_bucket == ExportBucket("http://minio:9000/my-bucket", "us-east-1", keys)


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("export_webhook: {}", "url"),
        ("export_webhook: {url: ftp://x}", "url"),
        ("export_webhook: {url: 'https://'}", "url"),
        ("export_webhook: {url: 'http://x:99999'}", "url"),
        ("export_webhook: {url: 'https://x', secret: os.environ/MISSING}", "secret"),
        ("export_webhook: {url: 'https://x', secert: abc}", "secert"),
        ("export_webhook: https://x", "export_webhook"),
        (f"export_bucket: {{{BUCKET}, region: 'EU West'}}", "region"),
        (f"export_bucket: {{{BUCKET}, prefix: 'a/../b'}}", "prefix"),
        (f"export_bucket: {{{BUCKET}, prefix: 'a//b'}}", "prefix"),
        (f"export_bucket: {{{BUCKET}, prefix: 'a b'}}", "prefix"),
        (f"export_bucket: {{{BUCKET}, endpoint: minio}}", "endpoint"),
        ("export_bucket: {bucket: A, access_key_id: k, secret_access_key: s}", "bucket"),
        ("export_bucket: {bucket: abc, access_key_id: k}", "secret_access_key"),
        ("export_bucket: {bucket: abc, secret_access_key: s, access_key_id: os.environ/MISSING}", "access_key_id"),
    ],
)
def test_what_is_not_whole_is_named_and_no_secret_is_shown(text: str, member: str) -> None:
    with pytest.raises(ConfigError) as caught:
        general(text)
    assert f".{member}: " in str(caught.value)
    assert "very-secret" not in str(caught.value)
