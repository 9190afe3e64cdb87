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
from router.wire.anthropic.messages import conversation_of
from router.wire.anthropic.thinking import Thinking, budget_of, thinking_of, within
from router.wire.anthropic.tools import choice_of, tools_of
from router.wire.asked import messages_of
from router.wire.base import HttpRequest, RequestMembers
from router.wire.http import post
from router.wire.members import NUMBER, RAWS, TEXT, Members
from router.wire.params import (
    output_limit_of,
    refuse_several_choices,
    response_format_of,
    service_tier_of,
    stop_of,
    wants_usage,
)

_HEADERS = {"anthropic-version": "2023-06-01"}

# Anthropic demands a limit. This one every model can do.
DEFAULT_MAX_TOKENS = 4096

_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no words around it, no Markdown fence."


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

# Anthropic refuses a user's id in which it finds an e-mail address or a telephone number.
_PERSONAL = re.compile(r"[^@]*@.*|\+?[\d\s().-]{7,}", re.DOTALL)


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    request = message_request(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)
    return post(
        _url(deployment.api_base),
        msgspec.json.encode(request.members),
        deployment,
        stream=stream,
        show_usage=request.show_usage,
        headers=_HEADERS,
        dropped=request.dropped,
    )


def message_request(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> RequestMembers:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    conversation = conversation_of(messages_of(members))
    refuse_several_choices(members, "Anthropic")
    thinking = thinking_of(members, deployment, in_tool_loop=conversation.in_tool_loop)
    # Where the caller gives no limit, the model's own, or a default that comes after the thinking.
    default = deployment.max_output_tokens or DEFAULT_MAX_TOKENS + budget_of(thinking.config)
    max_tokens = output_limit_of(members, output_tokens_limit, default)
    tools = tools_of(members)
    output_config, instruction = _output(members, thinking)
    show_usage = wants_usage(members)
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
    untaken = members.untaken(_NEUTRAL) + (["reasoning_effort"] if thinking.untaken else [])
    members.leave_out("Anthropic", untaken)
    return RequestMembers(members.completed(sent), show_usage, tuple(members.dropped))


def _output(members: Members, thinking: Thinking) -> tuple[dict[str, object] | None, list[TextBlock]]:
    """`output_config`, and what has to be said in the system prompt instead."""
    own = members.take("output_config", RAWS)
    config: dict[str, object] = {**own} if own else {}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    wanted = response_format_of(members)
    if wanted is not None and wanted.schema is None:
        return config or None, [TextBlock(_JSON_INSTRUCTION)]
    if wanted is not None:
        config["format"] = {"type": "json_schema", "schema": wanted.schema}
    return config or None, []


def _sampling(members: Members) -> dict[str, object]:
    temperature = members.take("temperature", NUMBER)
    top_p = members.take("top_p", NUMBER)
    top_k = members.take("top_k", NUMBER)
    return {
        # OpenAI's goes up to 2, Anthropic's to 1.
        "temperature": None if temperature is None else min(temperature, 1),
        "top_p": None if top_p is None else min(top_p, 1),
        # Servers that have top_k take 0 and -1 for none.
        "top_k": top_k if top_k is not None and top_k > 0 else None,
        "stop_sequences": stop_of(members) or None,
        "service_tier": service_tier_of(members, _SERVICE_TIERS, "Anthropic") or None,
    }


def _metadata(members: Members) -> dict[str, str] | None:
    user = members.take("user", TEXT)
    user = members.take("safety_identifier", TEXT) or user
    return {"user_id": user} if user and not _PERSONAL.fullmatch(user) else None


def _url(api_base: str) -> str:
    """A base may end with the version, or be the whole address, as LiteLLM takes it."""
    base = api_base.rstrip("/").removesuffix("/messages").removesuffix("/v1")
    return f"{base}/v1/messages"
