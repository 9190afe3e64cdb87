"""A caller's Chat Completions body as a request to Anthropic's Messages API.

`response_format` of type json_schema is Anthropic's `output_config.format`; json_object, which it does not have, is an
instruction in the system prompt. What has no counterpart is refused, or dropped where `drop_params` says so, unless
it asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.content import TextBlock
from router.wire.anthropic.members import Members, invalid
from router.wire.anthropic.messages import Message, conversation_of
from router.wire.anthropic.thinking import Thinking, budget_of, thinking_of, within
from router.wire.anthropic.tools import choice_of, tools_of
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason

API_VERSION = "2023-06-01"

# Anthropic demands a limit. This one every model can do.
DEFAULT_MAX_TOKENS = 4096

_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no words around it, no Markdown fence."


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _JsonSchema(msgspec.Struct):
    schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


_number_decoder = msgspec.json.Decoder(int | float)
_text_decoder = msgspec.json.Decoder(str)
_messages_decoder = msgspec.json.Decoder(list[Message])
_stop_decoder = msgspec.json.Decoder(str | list[str])
_stream_options_decoder = msgspec.json.Decoder(_StreamOptions)
_response_format_decoder = msgspec.json.Decoder(_ResponseFormat)
_raws_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any_decoder = msgspec.json.Decoder()
_encode = msgspec.json.encode

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

# Members that ask for nothing when they have this value.
_NEUTRAL: Mapping[str, object] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "presence_penalty": 0,
    "store": False,
    "top_logprobs": 0,
}
# What the gateway says itself, and hints to OpenAI's own machinery, which change no answer.
_IGNORED = frozenset(("model", "stream", "prompt_cache_key", "prompt_cache_retention"))

# Anthropic refuses a user's id in which it finds an e-mail address or a telephone number.
_PERSONAL = re.compile(r"[^@]*@.*|\+?[\d\s().-]{7,}", re.DOTALL)


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    messages = members.take("messages", _messages_decoder)
    conversation = conversation_of(messages or ())
    _refuse_several_choices(members)
    thinking = thinking_of(members, deployment, in_tool_loop=conversation.in_tool_loop)
    max_tokens = _max_tokens(members, deployment, output_tokens_limit, budget_of(thinking.config))
    tools = tools_of(members)
    output_config, instruction = _output(members, thinking)
    options = members.take("stream_options", _stream_options_decoder)
    sent: dict[str, object] = {
        "model": deployment.provider_model,
        "messages": conversation.turns,
        "max_tokens": max_tokens,
        "system": conversation.system + instruction or None,
        "tools": tools or None,
        "tool_choice": choice_of(members, has_tools=bool(tools)),
        "thinking": within(thinking.config, max_tokens),
        "output_config": output_config,
        "metadata": _metadata(members),
        "stream": stream or None,
        **_sampling(members),
    }
    untaken = [*_untaken(members), *(["reasoning_effort"] if thinking.untaken else [])]
    if untaken and not members.drops:
        raise _not_taken(untaken)
    sent = {name: value for name, value in sent.items() if value is not None}
    return HttpRequest(
        method="POST",
        url=_url(deployment.api_base),
        headers=_headers(deployment, stream=stream),
        body=_encode({**sent, **members.passed()}),
        show_usage=stream and options is not None and bool(options.include_usage),
    )


def _refuse_several_choices(members: Members) -> None:
    if members.take("n", _number_decoder) not in (None, 1):
        raise invalid("Invalid n: Anthropic's models give one answer a call.", "n")


def _max_tokens(members: Members, deployment: Deployment, hold_limit: int, budget_tokens: int) -> int:
    """The lowest of the caller's limits and the hold's; where none is given, the model's own, or a default that comes
    after the thinking."""
    names = ("max_completion_tokens", "max_tokens")
    given = [int(number) for name in names if (number := _finite(members, name)) is not None]
    if given:
        limit = min(given)
        # The hold pays for no more, and a limit below one, which Anthropic refuses, would not bound anything.
        return hold_limit if hold_limit and not 0 < limit <= hold_limit else limit
    default = deployment.max_output_tokens or DEFAULT_MAX_TOKENS + budget_tokens
    return min(default, hold_limit) if hold_limit else default


def _finite(members: Members, name: str) -> int | float | None:
    number = members.take(name, _number_decoder)
    # Beyond this no integer of theirs is meant, and JSON of ours cannot hold it.
    if number is not None and not abs(number) < 2**53:
        raise invalid(f"Invalid {name}: the number is too large.", name)
    return number


def _output(members: Members, thinking: Thinking) -> tuple[dict[str, object] | None, list[TextBlock]]:
    """`output_config`, and what has to be said in the system prompt instead."""
    own = members.take("output_config", _raws_decoder)
    config: dict[str, object] = {**own} if own else {}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    given = members.take("response_format", _response_format_decoder)
    kind = given.type if given else "text"
    if kind == "json_object":
        return config or None, [TextBlock(_JSON_INSTRUCTION)]
    if kind == "json_schema":
        schema = given.json_schema.schema if given and given.json_schema else msgspec.UNSET
        if schema is msgspec.UNSET:
            raise invalid("response_format.json_schema.schema is missing.", "response_format.json_schema.schema")
        config["format"] = {"type": "json_schema", "schema": schema}
    elif kind != "text":
        raise invalid("Invalid response_format: it must be text, json_object or json_schema.", "response_format.type")
    return config or None, []


def _sampling(members: Members) -> dict[str, object]:
    temperature = members.take("temperature", _number_decoder)
    top_p = members.take("top_p", _number_decoder)
    top_k = members.take("top_k", _number_decoder)
    stop = members.take("stop", _stop_decoder)
    return {
        # OpenAI's goes up to 2, Anthropic's to 1.
        "temperature": None if temperature is None else min(temperature, 1),
        "top_p": None if top_p is None else min(top_p, 1),
        # Servers that have top_k take 0 and -1 for none.
        "top_k": top_k if top_k is not None and top_k > 0 else None,
        "stop_sequences": [stop] if isinstance(stop, str) else stop or None,
        "service_tier": _service_tier(members),
    }


def _service_tier(members: Members) -> str | None:
    given = members.take("service_tier", _text_decoder)
    if given is None or given in _SERVICE_TIERS:
        return _SERVICE_TIERS[given] if given else None
    if members.drops:
        return None
    raise invalid("Invalid service_tier: Anthropic has auto and default.", "service_tier")


def _metadata(members: Members) -> dict[str, str] | None:
    user = members.take("user", _text_decoder)
    user = members.take("safety_identifier", _text_decoder) or user
    return {"user_id": user} if user and not _PERSONAL.fullmatch(user) else None


def _untaken(members: Members) -> list[str]:
    """Members without a counterpart that ask for something."""
    return [
        name
        for name, raw in members.left().items()
        if name not in _IGNORED and not (name in _NEUTRAL and _equals(raw, _NEUTRAL[name]))
    ]


def _equals(raw: msgspec.Raw, value: object) -> bool:
    try:
        return bool(_any_decoder.decode(raw) == value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _not_taken(names: list[str]) -> GatewayError:
    return GatewayError(
        Reason.ERROR_REASON_INVALID_REQUEST,
        f"Anthropic does not take these parameters: {', '.join(names)}. To leave them out, set drop_params: true.",
        param=names[0],
    )


def _url(api_base: str) -> str:
    """A base may end with the version, or be the whole address, as LiteLLM takes it."""
    base = api_base.rstrip("/").removesuffix("/messages").removesuffix("/v1")
    return f"{base}/v1/messages"


def _headers(deployment: Deployment, *, stream: bool) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        # A compressed stream could not be decoded as it comes.
        "accept-encoding": "identity",
        "user-agent": "tollhouse",
        "anthropic-version": API_VERSION,
    }
    if deployment.api_key:
        headers["x-api-key"] = deployment.api_key
    headers.update((name.lower(), value) for name, value in deployment.extra_headers.items())
    return headers
