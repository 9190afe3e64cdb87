"""A caller's Chat Completions body as a request to Cohere's Chat.

Cohere's own members (`documents`, `safety_mode`, `k`, ...) are taken too, and win over OpenAI's word for the same
thing. What has no counterpart is refused, or dropped where `drop_params` says so, unless it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.asked import messages_of
from router.wire.base import HttpRequest
from router.wire.cohere.messages import Document, conversation_of
from router.wire.cohere.thinking import thinking_of
from router.wire.cohere.tools import tools_of
from router.wire.http import post
from router.wire.members import FLAG, NUMBER, RAW, Members, not_taken
from router.wire.params import (
    output_limit_of,
    refuse_several_choices,
    response_format_of,
    stop_of,
    wants_tier,
    wants_usage,
)

# The range that Cohere takes for `p`; OpenAI's usual 1 is beyond it.
_MIN_P, _MAX_P = 0.01, 0.99
# OpenAI's penalties go from -2 to 2, Cohere's from 0 to 1.
_MAX_PENALTY = 1

# Members of Cohere's that OpenAI has no word for, sent as they are.
_OWN = ("citation_options", "k", "p", "priority", "raw_prompting", "safety_mode", "stop_sequences", "truncation_mode")

# Members that ask for nothing when they have this value.
_NEUTRAL: Mapping[str, object] = {
    "logit_bias": {},
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "store": False,
    "top_logprobs": 0,
}
# What the gateway says itself; whose call it is, which Cohere does not ask; and hints to OpenAI's own machinery.
_IGNORED = frozenset(("model", "stream", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"))

_documents_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    conversation = conversation_of(messages_of(members))
    refuse_several_choices(members, "Cohere")
    thinking = thinking_of(members, deployment)
    tools = tools_of(members)
    show_usage = wants_usage(members)
    other_tier = wants_tier(members)
    penalties = {name: members.take(name, NUMBER) for name in ("frequency_penalty", "presence_penalty")}
    sent: dict[str, object] = {
        "model": deployment.provider_model,
        "messages": conversation.turns,
        "tools": tools.given or None,
        "tool_choice": tools.choice,
        "strict_tools": tools.strict,
        "documents": _documents(members, conversation.documents),
        "response_format": _response_format(members),
        "thinking": thinking.config,
        "max_tokens": output_limit_of(members, output_tokens_limit) or None,
        "stream": stream,
        **{name: None if value is None else min(value, _MAX_PENALTY) for name, value in penalties.items()},
        **_sampling(members),
    }
    untaken = members.untaken(ignored=_IGNORED, neutral=_NEUTRAL)
    untaken += [name for name, value in penalties.items() if value is not None and value < 0]
    untaken += ["reasoning_effort"] if thinking.untaken else []
    untaken += ["service_tier"] if other_tier else []
    if untaken and not members.drops:
        raise not_taken("Cohere", untaken)
    sent = {name: value for name, value in sent.items() if value is not None and name not in untaken}
    return post(
        _url(deployment.api_base),
        msgspec.json.encode({**sent, **members.passed()}),
        deployment,
        stream=stream,
        show_usage=stream and show_usage,
    )


def _documents(members: Members, files: list[Document]) -> list[object] | None:
    given = members.take("documents", _documents_decoder)
    return [*(given or ()), *files] or None


def _response_format(members: Members) -> dict[str, object] | None:
    wanted = response_format_of(members)
    if wanted is None:
        return None
    # One type for both: a schema says more, but demands nothing else.
    return {"type": "json_object"} | ({} if wanted.schema is None else {"json_schema": wanted.schema})


def _sampling(members: Members) -> dict[str, object]:
    top_p = members.take("top_p", NUMBER)
    top_k = members.take("top_k", NUMBER)
    logprobs = members.take("logprobs", FLAG)
    translated = {
        "temperature": members.take("temperature", NUMBER),
        "p": None if top_p is None else min(max(top_p, _MIN_P), _MAX_P),
        # Servers that have top_k take 0 and -1 for none.
        "k": top_k if top_k is not None and top_k > 0 else None,
        "seed": members.take("seed", NUMBER),
        "stop_sequences": stop_of(members) or None,
        "logprobs": logprobs,
    }
    own = {name: members.take(name, RAW) for name in _OWN}
    return translated | {name: raw for name, raw in own.items() if raw is not None}


def _url(api_base: str) -> str:
    """A base may end with the version, or be the whole address, as LiteLLM takes it."""
    base = api_base.rstrip("/").removesuffix("/chat").removesuffix("/v2").removesuffix("/v1")
    return f"{base}/v2/chat"
