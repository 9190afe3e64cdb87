"""Whether a key may be used at all, and for a model. The texts are LiteLLM's, which clients look for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keystore.policy.operations import Exceeded
from keystore.policy.owners import Key
from services.errors import GatewayError, Reason
from services.money import usd_text

GATEWAY_SCOPE = "gateway"
_KEY_PREFIX = "key:"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def no_key() -> GatewayError:
    """There is no such key."""
    return GatewayError(
        Reason.ERROR_REASON_KEY_INVALID,
        "Authentication Error, Invalid proxy server token passed. There is no such key.",
        param="key",
    )


def key_refusal(key: Key | None, now_ms: int) -> GatewayError | None:
    """Why this key may not be used now; None when it may. `key` None: there is no such key."""
    if key is None:
        return no_key()
    if key.blocked:
        return GatewayError(
            Reason.ERROR_REASON_KEY_BLOCKED,
            "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.",
            param="None",
        )
    if key.expires_ms and key.expires_ms <= now_ms:
        return GatewayError(
            Reason.ERROR_REASON_KEY_EXPIRED,
            f"Authentication Error - Expired Key. Key Expiry time {_time(key.expires_ms)} "
            f"and current time {_time(now_ms)}",
            param=key.key_name,
        )
    return None


def refusal(key: Key | None, model: str, now_ms: int) -> GatewayError | None:
    """Why this key may not call this model now; None when it may."""
    refused = key_refusal(key, now_ms)
    if refused is not None:
        return refused
    if key is not None and key.terms.models and model not in key.terms.models:
        return GatewayError(
            Reason.ERROR_REASON_MODEL_NOT_ALLOWED,
            f"The requested model '{model}' is not available for this API key, or the model name is invalid. "
            "Check the models available to you and try again.",
            param="model",
        )
    return None


def allows_the_same(key: Key | None, other: Key | None) -> bool:
    """Whether the same budget and the same limits apply to calls with either."""
    if key is None or other is None:
        return key is other
    return key.terms == other.terms


def budget_refusal(exceeded: Exceeded, key: Key | None) -> GatewayError:
    """Why there is no money: the key's budget, or else the gateway's own, has too little left."""
    whose = f" Key=key ({key.key_name})" if key is not None and exceeded.budget.scope == key_scope(key.key_id) else ""
    text = (
        f"Budget has been exceeded!{whose} Current cost: {usd_text(exceeded.spent_nano_usd)}, "
        f"Max budget: {usd_text(exceeded.budget.cap_nano_usd)}"
    )
    if exceeded.held_nano_usd:
        text += f", held for calls under way: {usd_text(exceeded.held_nano_usd)}"
    return GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, text)


def key_scope(key_id: str) -> str:
    """The scope in which a key's own money is counted."""
    return f"{_KEY_PREFIX}{key_id}"


def key_id_of(scope: str) -> str:
    """The key of a scope; empty for the gateway's, as the ledger names the whole."""
    return scope.removeprefix(_KEY_PREFIX) if scope.startswith(_KEY_PREFIX) else ""


def _time(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)
