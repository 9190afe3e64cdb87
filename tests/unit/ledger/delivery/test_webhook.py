"""The signature of webhooks, held to the standard's own example."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from ledger.delivery.webhook import signature_headers


def test_the_standards_own_example() -> None:
    assert signature_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    ) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["plain words", "whsec_not/base64!"])
def test_any_other_secret_is_the_key_itself(secret: str) -> None:
    digest = hmac.digest(secret.encode(), b"1-2-0.7.{}", hashlib.sha256)
    expected = f"v1,{base64.b64encode(digest).decode()}"
    assert signature_headers(secret, "1-2-0", 7, b"{}")["webhook-signature"] == expected


def test_without_a_secret_nothing_is_signed() -> None:
    assert signature_headers("", "1-2-0", 7, b"{}") == {"webhook-id": "1-2-0", "webhook-timestamp": "7"}
