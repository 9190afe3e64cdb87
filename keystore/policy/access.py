"""Whether a call may be made at all: key, route, whoever it is counted to, model. The texts are LiteLLM's, which
clients look for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from gateway.v1 import common_pb2

from keystore.policy.owners import Key, Kind, Owner
from keystore.policy.scopes import Whose
from keystore.policy.standing import Rule, Standing
from services.allowed_routes import CALLS, allows_route
from services.errors import GatewayError, Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The paths that callers know operations by.
ROUTES: Mapping[int, str] = {
    common_pb2.OPERATION_CHAT_COMPLETIONS: "/v1/chat/completions",
    common_pb2.OPERATION_EMBEDDINGS: "/v1/embeddings",
    common_pb2.OPERATION_RERANK: "/v1/rerank",
}

# Who is blocked, and what to do about it.
_ASK = "Ask whoever administers this gateway."
_BLOCKED = {
    Kind.USER: ("User", _ASK),
    Kind.TEAM: ("Team", "Update via `/team/unblock` if you're an admin."),
    Kind.TEAM_MEMBER: ("TeamMember", _ASK),
    Kind.CUSTOMER: ("End User", "Update via `/customer/unblock` if you're an admin."),
    Kind.ORGANIZATION: ("Organization", _ASK),
}
_MODEL_REASONS = {
    Whose.KEY: Reason.ERROR_REASON_MODEL_NOT_ALLOWED,
    Whose.PERSONAL: Reason.ERROR_REASON_USER_MODEL_NOT_ALLOWED,
    Whose.USER: Reason.ERROR_REASON_USER_MODEL_NOT_ALLOWED,
    Whose.CUSTOMER: Reason.ERROR_REASON_CUSTOMER_MODEL_NOT_ALLOWED,
    Whose.ORGANIZATION: Reason.ERROR_REASON_ORGANIZATION_MODEL_NOT_ALLOWED,
}


def no_key() -> GatewayError:
    """There is no such key."""
    return GatewayError(
        Reason.ERROR_REASON_KEY_INVALID,
        "Authentication Error, Invalid proxy server token passed. There is no such key.",
        param="key",
    )


def key_refusal(key: Key | None, now_ms: int) -> GatewayError | None:
    """Why this key may not be used for anything now; None when it may. `key` None: there is no such key."""
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


def blocked_refusal(blocked: Owner) -> GatewayError:
    """Nothing may be done with the keys of somebody who is blocked."""
    name, advice = _BLOCKED[blocked.kind]
    return GatewayError(
        Reason.ERROR_REASON_KEY_BLOCKED, f"Authentication Error, {name}={blocked.id} is blocked. {advice}", param="None"
    )


def call_refusal(
    key: Key, standing: Standing, customer: Owner | None, customers: Rule | None, model: str, operation: int
) -> GatewayError | None:
    """Why a key that may be used may not make this call; None when it may. customers: the customer's list of models.
    model: with aliases resolved."""
    route = ROUTES.get(operation, "")
    if key.allowed_routes and not allows_route(key.allowed_routes, (route,), (CALLS,)):
        return GatewayError(
            Reason.ERROR_REASON_ROUTE_NOT_ALLOWED,
            "Virtual key is not allowed to call this route. Only allowed to call routes: "
            f"{list(key.allowed_routes)}. Tried to call route: {route}",
        )
    blocked = next(iter(standing.blocked), None) or (customer if customer is not None and customer.blocked else None)
    if blocked is not None:
        return blocked_refusal(blocked)
    for rule in standing.rules:
        if not rule.allowed.allows(model):
            return _model_refusal(rule.whose, model)
    if customers is not None and not customers.allowed.allows(model):
        return _model_refusal(customers.whose, model)
    return None


def _model_refusal(whose: Whose, model: str) -> GatewayError:
    # Whoever it is that does not allow it, LiteLLM speaks of the key; the type says who.
    return GatewayError(
        _MODEL_REASONS.get(whose, Reason.ERROR_REASON_TEAM_MODEL_NOT_ALLOWED),
        f"The requested model '{model}' is not available for this API key, or the model name is invalid. "
        "Check the models available to you and try again.",
        param="model",
    )


def _time(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)
