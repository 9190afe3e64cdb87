"""What admin paths say no with, and texts in bodies. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.errors import GatewayError, Reason

Body = Mapping[str, Any]


def invalid(message: str, param: str) -> GatewayError:
    """A body or query that cannot be meant."""
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def denied(why: str, param: str) -> GatewayError:
    """Something that is not the caller's to do."""
    return GatewayError(Reason.ERROR_REASON_PERMISSION_DENIED, f"Authentication Error, {why}", param=param)


def text_of(body: Body, name: str) -> str:
    """A member that is a text; empty when it is not there."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name} must be a text.", name)
    return value or ""


def texts_of(body: Body, name: str) -> list[str]:
    """A member that is a list of texts; empty when it is not there."""
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise invalid(f"{name} must be a list of texts.", name)
    return value
