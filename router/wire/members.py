"""The members of a caller's body, each read once, in its own type; what nobody reads, this wire does not take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import msgspec

from router.catalog import Deployment
from services.errors import GatewayError, Reason

# Members that speak to the gateway; a provider would refuse them, or be told what is none of its business.
GATEWAY_MEMBERS = frozenset(
    (
        "additional_drop_params",
        "allowed_openai_params",
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "cache",
        "custom_llm_provider",
        "disable_fallbacks",
        "drop_params",
        "extra_body",
        "extra_headers",
        "fallbacks",
        "guardrails",
        "litellm_metadata",
        "litellm_session_id",
        "litellm_trace_id",
        "mock_response",
        "mock_testing_content_policy_fallbacks",
        "mock_testing_context_fallbacks",
        "mock_testing_fallbacks",
        "mock_testing_rate_limit_error",
        "num_retries",
        "tags",
        "timeout",
    )
)

# What admission has reckoned with: no default and no extra body may change it behind the hold's back.
ADMITTED = frozenset(("model", "messages", "stream", "stream_options", "n"))

_Value = TypeVar("_Value")
_Raws = dict[str, msgspec.Raw]
_any_decoder = msgspec.json.Decoder()
_NULL = msgspec.Raw(b"null")

# For members of the plainest types.
NUMBER = msgspec.json.Decoder(int | float)
INTEGER = msgspec.json.Decoder(int)
TEXT = msgspec.json.Decoder(str)
FLAG = msgspec.json.Decoder(bool)
RAWS = msgspec.json.Decoder(_Raws)


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


def not_taken(provider: str, names: Sequence[str]) -> GatewayError:
    """The caller asks for what a provider has not; at least one name."""
    return GatewayError(
        Reason.ERROR_REASON_INVALID_REQUEST,
        f"{provider} does not take these parameters: {', '.join(names)}. To leave them out, set drop_params: true.",
        param=names[0],
    )


class Members:
    """A caller's members, over the deployment's defaults and under its `extra_body`.

    drops: members that this wire does not take are left out rather than refused.
    """

    def __init__(self, body: bytes, deployment: Deployment) -> None:
        """Raises GatewayError (INVALID_REQUEST) for what is no JSON object."""
        given = read(RAWS, body, "request_body")
        asked_to_drop = given.get("drop_params", _NULL)
        extra = given.get("extra_body", _NULL)
        self.drops = deployment.drop_params or (asked_to_drop != _NULL and read(FLAG, asked_to_drop, "drop_params"))
        # Metadata is the gateway's: tags, and who is to be charged.
        self._values = {name: raw for name, raw in given.items() if name not in GATEWAY_MEMBERS and name != "metadata"}
        self._extra: set[str] = set()
        self._add_missing(_raw(deployment.defaults))
        if extra != _NULL:
            others = read(RAWS, extra, "extra_body")
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

    def untaken(self, *, ignored: Collection[str], neutral: Mapping[str, object]) -> list[str]:
        """The names of what is left and asks for something.

        ignored: what may be left out without a word. neutral: members that ask for nothing when they have this value.
        """
        return [
            name
            for name, raw in self.left().items()
            if name not in ignored and not (name in neutral and _equals(raw, neutral[name]))
        ]

    def passed(self) -> _Raws:
        """What nobody took of an extra body: the provider's own words, for the provider as they are."""
        return {name: self._values[name] for name in self._extra}

    def _add_missing(self, others: Mapping[str, msgspec.Raw]) -> set[str]:
        """Add what is not set yet; null counts as not set, as OpenAI takes it."""
        added = {name for name in others if name not in ADMITTED and self._values.get(name, _NULL) == _NULL}
        self._values.update((name, others[name]) for name in added)
        return added


def _equals(raw: msgspec.Raw, value: object) -> bool:
    try:
        return bool(_any_decoder.decode(raw) == value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _raw(values: Mapping[str, object]) -> _Raws:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items() if name not in ADMITTED}
