"""The members of a caller's body, each read once, in its own type; what nobody reads, this wire does not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from router.catalog import Deployment
from router.wire.openai.request import GATEWAY_MEMBERS
from services.errors import GatewayError, Reason

# What admission has reckoned with: no default and no extra body may change it behind the hold's back.
_ADMITTED = frozenset(("model", "messages", "stream", "stream_options", "n"))

_Value = TypeVar("_Value")
_Raws = dict[str, msgspec.Raw]
_raws_decoder = msgspec.json.Decoder(_Raws)
_bool_decoder = msgspec.json.Decoder(bool)
_NULL = msgspec.Raw(b"null")


def invalid(message: str, param: str) -> GatewayError:
    """The caller's mistake, at `param`."""
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def read(decoder: msgspec.json.Decoder[_Value], raw: msgspec.Raw | bytes | str, param: str) -> _Value:
    """A value in its type. Raises GatewayError (INVALID_REQUEST) that says where and what was expected."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid {param}: {error}.", param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(f"Invalid {param}: it is not the JSON that is expected there.", param) from None


class Members:
    """A caller's members, over the deployment's defaults and under its `extra_body`.

    drops: members that this wire does not take are left out rather than refused.
    """

    def __init__(self, body: bytes, deployment: Deployment) -> None:
        """Raises GatewayError (INVALID_REQUEST) for what is no JSON object."""
        given = read(_raws_decoder, body, "request_body")
        asked_to_drop = given.get("drop_params", _NULL)
        extra = given.get("extra_body", _NULL)
        self.drops = deployment.drop_params or (
            asked_to_drop != _NULL and read(_bool_decoder, asked_to_drop, "drop_params")
        )
        # Metadata is the gateway's: tags, and who is to be charged.
        self._values = {name: raw for name, raw in given.items() if name not in GATEWAY_MEMBERS and name != "metadata"}
        self._extra: set[str] = set()
        self._add_missing(_raw(deployment.defaults))
        if extra != _NULL:
            others = read(_raws_decoder, extra, "extra_body")
            self._extra |= self._add_missing(others)
        overriding = _raw(deployment.extra_body)
        self._values.update(overriding)
        self._extra |= overriding.keys()

    def take(self, name: str, decoder: msgspec.json.Decoder[_Value]) -> _Value | None:
        """A member in its type; None when it is absent or null. Raises GatewayError (INVALID_REQUEST)."""
        self._extra.discard(name)
        raw = self._values.pop(name, _NULL)
        return None if raw == _NULL else read(decoder, raw, name)

    def left(self) -> _Raws:
        """What the caller, or a default, gave and nobody took, but for nulls."""
        return {name: raw for name, raw in self._values.items() if name not in self._extra and raw != _NULL}

    def passed(self) -> _Raws:
        """What nobody took of an extra body: the provider's own words, for the provider as they are."""
        return {name: self._values[name] for name in self._extra}

    def _add_missing(self, others: Mapping[str, msgspec.Raw]) -> set[str]:
        """Add what is not set yet; null counts as not set, as OpenAI takes it."""
        added = {name for name in others if name not in _ADMITTED and self._values.get(name, _NULL) == _NULL}
        self._values.update((name, others[name]) for name in added)
        return added


def _raw(values: Mapping[str, object]) -> _Raws:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items() if name not in _ADMITTED}
