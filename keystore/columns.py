"""How times and documents stand in PostgreSQL's columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from keystore.policy.terms import Terms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_terms = msgspec.json.Decoder(Terms)
_names = msgspec.json.Decoder(dict[str, str])


def time_of(millis: int) -> datetime | None:
    """Milliseconds since the epoch; 0: never."""
    return _EPOCH + timedelta(milliseconds=millis) if millis else None


def millis_of(time: datetime | None) -> int:
    """The other way round."""
    return (time - _EPOCH) // timedelta(milliseconds=1) if time is not None else 0


def json_of(value: Terms | Mapping[str, str]) -> str:
    """A document."""
    return msgspec.json.encode(value).decode()


def terms_of(text: str) -> Terms:
    """The terms in a document."""
    return _terms.decode(text)


def names_of(text: str) -> Mapping[str, str]:
    """Names that stand for others."""
    return _names.decode(text)
