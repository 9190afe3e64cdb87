"""A caller's Chat Completions body as a request to Anthropic's Messages API.

What has no counterpart is refused, or dropped where `drop_params` says so, unless it asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.content import TextBlock
from router.wire.anthropic.form import Form, form_of
from router.wire.anthropic.messages import conversation_of
from router.wire.anthropic.models import takes_schemas
from router.wire.anthropic.sampling import sampling_of
from router.wire.anthropic.thinking import Thinking, budget_of, thinking_of, within
from router.wire.anthropic.tools import choice_of, tools_of
from router.wire.asked import messages_of
from router.wire.base import HttpRequest, RequestMembers
from router.wire.http import post
from router.wire.members import RAWS, TEXT, Members
from router.wire.params import (
    output_limit_of,
    refuse_several_choices,
    service_tier_of,
    stop_of,
    wants_usage,
)

_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no words around it, no Markdown fence."

_HEADERS = {"anthropic-version": "2023-06-01"}

# Anthropic demands a limit. This one every model can do.
DEFAULT_MAX_TOKENS = 4096

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

# Members of Anthropic's that OpenAI has no word for, sent as they are.
_OWN = ("cache_control", "container", "context_management", "inference_geo", "speed")

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


def encode(
    body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int, url: str = ""
) -> HttpRequest:
    """url: where Messages are; Anthropic's own path when empty. Raises GatewayError (INVALID_REQUEST)."""
    request = message_request(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)
    return post(
        url or _url(deployment.api_base),
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
    thinking.config = within(thinking.config, max_tokens)
    model = deployment.provider_model
    form = form_of(members, takes_schemas=takes_schemas(model))
    tools = tools_of(members, model, form.by_tool)
    instruction = [TextBlock(_JSON_INSTRUCTION)] if form.as_json else []
    show_usage = wants_usage(members)
    sent: dict[str, object] = {
        "model": deployment.provider_model,
        "messages": conversation.turns,
        "max_tokens": max_tokens,
        "system": conversation.system + instruction or None,
        "tools": tools or None,
        "tool_choice": choice_of(members, tools, must_answer=form.by_tool is not None, thinks=thinking.is_on),
        "thinking": thinking.config,
        "output_config": _output_config(members, thinking, form),
        "metadata": _metadata(members),
        "stream": stream or None,
        "stop_sequences": stop_of(members) or None,
        "service_tier": service_tier_of(members, _SERVICE_TIERS, "Anthropic") or None,
        **sampling_of(members, model, thinks=thinking.is_on),
        **members.take_raws(_OWN),
    }
    untaken = members.untaken(_NEUTRAL) + (["reasoning_effort"] if thinking.untaken else [])
    members.leave_out("Anthropic", untaken)
    return RequestMembers(members.completed(sent), show_usage, tuple(members.dropped))


def _output_config(members: Members, thinking: Thinking, form: Form) -> dict[str, object] | None:
    own = members.take("output_config", RAWS)
    config: dict[str, object] = {**own} if own else {}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    if form.schema is not None:
        config["format"] = {"type": "json_schema", "schema": form.schema}
    return config or None


def _metadata(members: Members) -> dict[str, str] | None:
    user = members.take("user", TEXT)
    user = members.take("safety_identifier", TEXT) or user
    return {"user_id": user} if user and not _PERSONAL.fullmatch(user) else None


def _url(api_base: str) -> str:
    """A base may end with the version, or be the whole address, as LiteLLM takes it."""
    base = api_base.rstrip("/").removesuffix("/messages").removesuffix("/v1")
    return f"{base}/v1/messages"
