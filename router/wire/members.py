"""The members of a caller's body, each read once, in its own type; what nobody reads, this wire does not take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from router.catalog import Deployment
from router.wire.paths import remove
from services.decoding import NOT_DECODED
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

# What a wire that translates leaves out without a word: what the gateway says itself; whose call it is, which changes
# no answer; and hints to OpenAI's own machinery.
IGNORED = frozenset(("model", "stream", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"))

# The members that say how long an answer may be; the first wins.
LIMITS = ("max_completion_tokens", "max_tokens")

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
_NAMES = msgspec.json.Decoder(list[str] | str)
# For the provider's own words, which are sent as they are.
RAW = msgspec.json.Decoder(msgspec.Raw)


def invalid(message: str, param: str) -> GatewayError:
    """The caller's mistake, at `param`."""
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def read(decoder: msgspec.json.Decoder[_Value], raw: msgspec.Raw | bytes | str, param: str) -> _Value:
    """A value in its type. Raises GatewayError (INVALID_REQUEST) that says where and what was expected."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid {param}: {error}.", param) from None
    except NOT_DECODED:
        raise invalid(f"Invalid {param}: it is not the JSON that is expected there.", param) from None


def not_taken(provider: str, names: Sequence[str]) -> GatewayError:
    """The caller asks for what a provider has not; at least one name."""
    return GatewayError(
        Reason.ERROR_REASON_INVALID_REQUEST,
        f"{provider} does not take these parameters: {', '.join(names)}. To leave them out, set drop_params: true.",
        param=names[0],
    )


def unwanted(given: Mapping[str, msgspec.Raw], deployment: Deployment) -> list[str]:
    """Paths of what is to be left out whatever the provider takes: the deployment's and the caller's.

    What admission has reckoned with stays; so does the caller's limit, which the hold was sized by, unless the
    deployment says that its provider does not take it.
    """
    own = [path for path in _names(given, "additional_drop_params") if path not in LIMITS]
    paths = (*deployment.additional_drop_params, *own)
    return [path for path in dict.fromkeys(paths) if path not in ADMITTED]


def allowed(given: Mapping[str, msgspec.Raw], deployment: Deployment) -> set[str]:
    """Members to be sent whatever the provider takes: the deployment's and the caller's."""
    names = {*deployment.allowed_openai_params, *_names(given, "allowed_openai_params")}
    return names - ADMITTED


def drops(given: Mapping[str, msgspec.Raw], deployment: Deployment) -> bool:
    """Whether what the provider does not take is left out rather than refused."""
    asked = given.get("drop_params", _NULL)
    return deployment.drop_params or (asked != _NULL and read(FLAG, asked, "drop_params"))


def stands(given: Mapping[str, msgspec.Raw]) -> frozenset[str]:
    """Members that an extra body of the caller's may not add, because admission has reckoned with what is there: a
    second limit would be one that the hold was not sized by."""
    return ADMITTED.union(LIMITS) if any(given.get(name, _NULL) != _NULL for name in LIMITS) else ADMITTED


def _names(given: Mapping[str, msgspec.Raw], member: str) -> list[str]:
    raw = given.get(member, _NULL)
    names = [] if raw == _NULL else read(_NAMES, raw, member)
    return [names] if isinstance(names, str) else names


class Members:
    """A caller's members, over the deployment's defaults and under its `extra_body`.

    drops: members that this wire does not take are left out rather than refused. dropped: what has been left out so
    far, the first as `additional_drop_params` say. What `allowed_openai_params` name is passed on as it is, if nobody
    takes it.
    """

    def __init__(self, body: bytes, deployment: Deployment) -> None:
        """Raises GatewayError (INVALID_REQUEST) for what is no JSON object."""
        given = read(RAWS, body, "request_body")
        extra = given.get("extra_body", _NULL)
        self.drops = drops(given, deployment)
        # Metadata is the gateway's: tags, and who is to be charged.
        self._values = {name: raw for name, raw in given.items() if name not in GATEWAY_MEMBERS and name != "metadata"}
        self._extra: set[str] = set()
        self._add_missing(_raw(deployment.defaults))
        if extra != _NULL:
            others = read(RAWS, extra, "extra_body")
            self._extra |= self._add_missing(others, stands(given))
        self.dropped = [path for path in unwanted(given, deployment) if remove(self._values, path)]
        self._extra -= set(self.dropped)
        self._extra |= {name for name in allowed(given, deployment) if self._values.get(name, _NULL) != _NULL}
        overriding = _raw(deployment.extra_body)
        self._values.update(overriding)
        self._extra |= overriding.keys()

    def take(self, name: str, decoder: msgspec.json.Decoder[_Value]) -> _Value | None:
        """A member in its type; None when it is absent or null. Raises GatewayError (INVALID_REQUEST)."""
        self._extra.discard(name)
        raw = self._values.pop(name, _NULL)
        return None if raw == _NULL else read(decoder, raw, name)

    def see(self, name: str, decoder: msgspec.json.Decoder[_Value]) -> _Value | None:
        """As `take`, of a member that is still to be taken."""
        raw = self._values.get(name, _NULL)
        return None if raw == _NULL else read(decoder, raw, name)

    def take_raws(self, names: Iterable[str]) -> _Raws:
        """The provider's own words, as they are written, where the caller says them."""
        return {name: raw for name in names if (raw := self.take(name, RAW)) is not None}

    def left(self) -> _Raws:
        """What the caller, or a default, gave and nobody took, but for nulls."""
        return {name: raw for name, raw in self._values.items() if name not in self._extra and raw != _NULL}

    def untaken(self, neutral: Mapping[str, object], ignored: Collection[str] = IGNORED) -> list[str]:
        """The names of what is left and asks for something.

        neutral: members that ask for nothing when they have this value. ignored: what may be left out without a word.
        """
        return [
            name
            for name, raw in self.left().items()
            if name not in ignored and not (name in neutral and _equals(raw, neutral[name]))
        ]

    def leave_out(self, provider: str, names: Sequence[str]) -> None:
        """Drop what the provider does not take; GatewayError (INVALID_REQUEST) names it where nothing is dropped."""
        if names and not self.drops:
            raise not_taken(provider, names)
        self.dropped += names

    def completed(self, sent: Mapping[str, object]) -> dict[str, object]:
        """What is to be sent, without what is None, and with what is passed on."""
        return {**{name: value for name, value in sent.items() if value is not None}, **self.passed()}

    def passed(self) -> _Raws:
        """What nobody took of an extra body: the provider's own words, for the provider as they are."""
        return {name: self._values[name] for name in self._extra}

    def _add_missing(self, others: Mapping[str, msgspec.Raw], but: Collection[str] = ADMITTED) -> set[str]:
        """Add what is not set yet; null counts as not set, as OpenAI takes it."""
        added = {name for name in others if name not in but and self._values.get(name, _NULL) == _NULL}
        self._values.update((name, others[name]) for name in added)
        return added


def _equals(raw: msgspec.Raw, value: object) -> bool:
    try:
        return bool(_any_decoder.decode(raw) == value)
    except NOT_DECODED:
        return False


def _raw(values: Mapping[str, object]) -> _Raws:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items() if name not in ADMITTED}
