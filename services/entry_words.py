"""The words by which people read an entry's numbers: how it ended, why, and what it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.v1 import common_pb2, errors_pb2, ledger_pb2

_STATUSES: Mapping[int, str] = {
    number: name.removeprefix("ENTRY_STATUS_").lower() for name, number in ledger_pb2.EntryStatus.items() if number
}
_OPERATIONS: Mapping[int, str] = {
    number: name.removeprefix("OPERATION_").lower() for name, number in common_pb2.Operation.items() if number
}
_REASONS: Mapping[int, str] = {
    number: name.removeprefix("ERROR_REASON_").lower() for name, number in errors_pb2.ErrorReason.items() if number
}
# The usual tier has no name.
_TIERS: Mapping[int, str] = {
    number: name.removeprefix("SERVICE_TIER_").lower() for name, number in common_pb2.ServiceTier.items() if number
}


def status_word(status: int) -> str:
    """How a dispatch ended: `success`, `failure`, ...; `unknown` when a newer version has said so."""
    return _STATUSES.get(status, "unknown")


def operation_word(operation: int) -> str:
    """What was asked for: `chat_completions`, ...; empty when nobody said."""
    return _OPERATIONS.get(operation, str(operation) if operation else "")


def reason_word(reason: int) -> str | None:
    """Why a call or an attempt failed; None when it did not."""
    return _REASONS.get(reason, str(reason)) if reason else None


def tier_word(tier: int) -> str | None:
    """The service tier that was served; None for the usual one."""
    return _TIERS.get(tier, str(tier)) if tier else None
