"""Who may call what, and in which words it is refused."""

from __future__ import annotations

import pytest

from keystore.policy.access import Key, budget_refusal, key_id_of, key_scope, refusal
from keystore.policy.operations import Budget, Exceeded
from services.errors import Reason

KEY = Key("id", "token", "sk-...abcd")


@pytest.mark.parametrize(
    ("key", "model", "now_ms"),
    [
        (KEY, "any", 5),
        (Key("id", "token", "n", models=frozenset({"a", "b"})), "b", 5),
        (Key("id", "token", "n", expires_ms=6), "any", 5),
    ],
)
def test_admitted(key: Key, model: str, now_ms: int) -> None:
    assert refusal(key, model, now_ms) is None


@pytest.mark.parametrize(
    ("key", "reason", "param"),
    [
        (None, Reason.ERROR_REASON_KEY_INVALID, "key"),
        # In LiteLLM's order: blocked, then expired, then the model.
        (
            Key("id", "t", "n", frozenset({"a"}), blocked=True, expires_ms=5),
            Reason.ERROR_REASON_KEY_BLOCKED,
            "None",
        ),
        (Key("id", "t", "sk-...abcd", frozenset({"a"}), expires_ms=5), Reason.ERROR_REASON_KEY_EXPIRED, "sk-...abcd"),
        (Key("id", "t", "n", frozenset({"a"})), Reason.ERROR_REASON_MODEL_NOT_ALLOWED, "model"),
    ],
)
def test_refused(key: Key | None, reason: int, param: str) -> None:
    error = refusal(key, "m", 5)
    assert error is not None
    assert (error.reason, error.param) == (reason, param)


def test_an_expired_key_says_when_and_now() -> None:
    error = refusal(Key("id", "t", "n", expires_ms=1_795_332_870_174), "m", 1_795_332_872_720)
    assert error is not None
    assert error.message == (
        "Authentication Error - Expired Key. Key Expiry time 2026-11-22 07:34:30.174000+00:00 "
        "and current time 2026-11-22 07:34:32.720000+00:00"
    )


def test_a_budget_is_named_by_whose_it_is() -> None:
    of_key = budget_refusal(Exceeded(Budget(key_scope("id"), 100_000), 210_000_000, 0), KEY)
    assert of_key.message == "Budget has been exceeded! Key=key (sk-...abcd) Current cost: 0.21, Max budget: 0.0001"
    of_gateway = budget_refusal(Exceeded(Budget("gateway", 10**9), 0, 10**9), KEY)
    assert of_gateway.message == (
        "Budget has been exceeded! Current cost: 0, Max budget: 1, held for calls under way: 1"
    )


def test_scopes_name_their_key() -> None:
    assert key_id_of(key_scope("id")) == "id"
    assert key_id_of("gateway") == ""
