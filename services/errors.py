"""The typed failures of the gateway, and the one table that says what each means everywhere.

    GatewayError(reason, message, ...)          raise it anywhere
        -> Error message (protos)               crosses gRPC and the in-process transport whole
        -> HTTP status, OpenAI `type`, `code`   rendered once, in the edge
        -> Next                                 what the router may do after an attempt failed so

Foreign exceptions are mapped where they enter. Anything untyped is logged whole where it surfaces, and answered as
INTERNAL with no detail.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import grpc
from gateway.v1 import errors_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

__all__ = ["TABLE", "GatewayError", "Meaning", "Next", "Reason"]


class Next(enum.Enum):
    """What the router may do when an attempt ended so."""

    GIVE_UP = "give up"  # the caller's own mistake: every deployment would say the same
    RETRY = "retry"  # another deployment, or the same one later, may answer
    MOVE_ON = "move on"  # another deployment may answer; this one will say the same again


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table.

    http_status: what an HTTP caller sees; a provider's own status wins for PROVIDER_REJECTED.
    type, code: members of OpenAI's error object. `code` None: the HTTP status as text, as LiteLLM does.
    """

    grpc_code: grpc.StatusCode
    http_status: int
    type: str
    next: Next
    code: str | None = None


_G = grpc.StatusCode
_INVALID = "invalid_request_error"

TABLE: Mapping[Reason, Meaning] = MappingProxyType(
    {
        Reason.ERROR_REASON_UNSPECIFIED: Meaning(_G.INTERNAL, 500, "internal_server_error", Next.GIVE_UP),
        Reason.ERROR_REASON_INVALID_REQUEST: Meaning(_G.INVALID_ARGUMENT, 400, _INVALID, Next.GIVE_UP),
        Reason.ERROR_REASON_MODEL_NOT_FOUND: Meaning(_G.NOT_FOUND, 400, _INVALID, Next.GIVE_UP),
        Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED: Meaning(
            _G.INVALID_ARGUMENT, 400, _INVALID, Next.MOVE_ON, "context_length_exceeded"
        ),
        Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION: Meaning(
            _G.INVALID_ARGUMENT, 400, _INVALID, Next.MOVE_ON, "content_policy_violation"
        ),
        Reason.ERROR_REASON_REQUEST_TOO_LARGE: Meaning(_G.INVALID_ARGUMENT, 413, _INVALID, Next.GIVE_UP),
        Reason.ERROR_REASON_KEY_MISSING: Meaning(_G.UNAUTHENTICATED, 401, "auth_error", Next.GIVE_UP),
        Reason.ERROR_REASON_KEY_INVALID: Meaning(_G.UNAUTHENTICATED, 401, "token_not_found_in_db", Next.GIVE_UP),
        Reason.ERROR_REASON_KEY_EXPIRED: Meaning(_G.UNAUTHENTICATED, 401, "expired_key", Next.GIVE_UP),
        Reason.ERROR_REASON_KEY_BLOCKED: Meaning(_G.UNAUTHENTICATED, 401, "auth_error", Next.GIVE_UP),
        Reason.ERROR_REASON_MODEL_NOT_ALLOWED: Meaning(
            _G.PERMISSION_DENIED, 403, "key_model_access_denied", Next.GIVE_UP
        ),
        Reason.ERROR_REASON_TEAM_MODEL_NOT_ALLOWED: Meaning(
            _G.PERMISSION_DENIED, 403, "team_model_access_denied", Next.GIVE_UP
        ),
        Reason.ERROR_REASON_USER_MODEL_NOT_ALLOWED: Meaning(
            _G.PERMISSION_DENIED, 403, "user_model_access_denied", Next.GIVE_UP
        ),
        Reason.ERROR_REASON_CUSTOMER_MODEL_NOT_ALLOWED: Meaning(
            _G.PERMISSION_DENIED, 403, "customer_model_access_denied", Next.GIVE_UP
        ),
        Reason.ERROR_REASON_ORGANIZATION_MODEL_NOT_ALLOWED: Meaning(
            _G.PERMISSION_DENIED, 403, "org_model_access_denied", Next.GIVE_UP
        ),
        Reason.ERROR_REASON_ROUTE_NOT_ALLOWED: Meaning(_G.PERMISSION_DENIED, 403, "auth_error", Next.GIVE_UP),
        Reason.ERROR_REASON_PERMISSION_DENIED: Meaning(_G.PERMISSION_DENIED, 401, "auth_error", Next.GIVE_UP),
        Reason.ERROR_REASON_RATE_LIMITED: Meaning(_G.RESOURCE_EXHAUSTED, 429, "throttling_error", Next.GIVE_UP),
        Reason.ERROR_REASON_BUDGET_EXCEEDED: Meaning(_G.RESOURCE_EXHAUSTED, 422, "budget_exceeded", Next.GIVE_UP),
        Reason.ERROR_REASON_PROVIDER_RATE_LIMITED: Meaning(
            _G.RESOURCE_EXHAUSTED, 429, "throttling_error", Next.MOVE_ON
        ),
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE: Meaning(_G.UNAVAILABLE, 503, "internal_server_error", Next.RETRY),
        Reason.ERROR_REASON_PROVIDER_TIMEOUT: Meaning(_G.DEADLINE_EXCEEDED, 408, _INVALID, Next.RETRY),
        Reason.ERROR_REASON_PROVIDER_AUTHENTICATION: Meaning(
            _G.FAILED_PRECONDITION, 401, "authentication_error", Next.MOVE_ON
        ),
        Reason.ERROR_REASON_PROVIDER_NOT_FOUND: Meaning(_G.NOT_FOUND, 404, _INVALID, Next.MOVE_ON),
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE: Meaning(
            _G.UNAVAILABLE, 502, "internal_server_error", Next.RETRY
        ),
        Reason.ERROR_REASON_PROVIDER_REJECTED: Meaning(_G.INVALID_ARGUMENT, 400, _INVALID, Next.GIVE_UP),
        Reason.ERROR_REASON_NO_DEPLOYMENT_AVAILABLE: Meaning(
            _G.UNAVAILABLE, 429, "all_deployments_in_cooldown", Next.GIVE_UP
        ),
        Reason.ERROR_REASON_INTERNAL: Meaning(_G.INTERNAL, 500, "internal_server_error", Next.GIVE_UP),
        Reason.ERROR_REASON_NOT_FOUND: Meaning(_G.NOT_FOUND, 404, "not_found_error", Next.GIVE_UP),
        Reason.ERROR_REASON_CONFLICT: Meaning(_G.ALREADY_EXISTS, 400, "bad_request_error", Next.GIVE_UP),
        Reason.ERROR_REASON_UNAVAILABLE: Meaning(_G.UNAVAILABLE, 503, "internal_server_error", Next.GIVE_UP),
        Reason.ERROR_REASON_DEADLINE_EXCEEDED: Meaning(_G.DEADLINE_EXCEEDED, 408, _INVALID, Next.GIVE_UP),
        Reason.ERROR_REASON_CANCELLED: Meaning(_G.CANCELLED, 499, _INVALID, Next.GIVE_UP),
    }
)


class GatewayError(Exception):
    """A failure with a reason that every part of the gateway understands.

    message: for the caller; never a secret, a hash or a stack trace.
    param: the request member at fault, as a JSON path in the caller's own words.
    provider, provider_status: who failed, and with which HTTP status (0: no answer at all).
    retry_after_seconds: when it may work again; None: unknown.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        param: str = "",
        provider: str = "",
        provider_status: int = 0,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.param = param
        self.provider = provider
        self.provider_status = provider_status
        self.retry_after_seconds = retry_after_seconds

    def __repr__(self) -> str:
        # A newer peer may have sent a reason that has no name here.
        name = Reason.Name(self.reason) if self.reason in Reason.values() else self.reason
        return f"GatewayError({name}, {self.message!r})"

    @property
    def meaning(self) -> Meaning:
        """The row of the table."""
        return TABLE.get(self.reason, TABLE[Reason.ERROR_REASON_INTERNAL])

    def to_proto(self) -> errors_pb2.Error:
        """The message that crosses between services."""
        return errors_pb2.Error(
            reason=self.reason,
            message=self.message,
            param=self.param,
            provider=self.provider,
            provider_status=self.provider_status,
            retry_after_ms=round((self.retry_after_seconds or 0) * 1000),
        )

    @classmethod
    def from_proto(cls, error: errors_pb2.Error) -> Self:
        """What the other side raised."""
        return cls(
            error.reason,
            error.message,
            param=error.param,
            provider=error.provider,
            provider_status=error.provider_status,
            retry_after_seconds=error.retry_after_ms / 1000 if error.retry_after_ms else None,
        )


def internal() -> GatewayError:
    """What a caller may know of a failure that nobody foresaw: nothing but that it happened."""
    return GatewayError(Reason.ERROR_REASON_INTERNAL, "The gateway met an internal error; its log tells more.")


def unavailable(message: str, retry_after_seconds: float = 1.0) -> GatewayError:
    """A part of the gateway is down, draining or full, for now."""
    return GatewayError(Reason.ERROR_REASON_UNAVAILABLE, message, retry_after_seconds=retry_after_seconds)
