"""A caller's Chat Completions body as a request to version 1 of Cohere's Chat.

Cohere's own members are taken too, and win over OpenAI's word for the same thing. What has no counterpart is refused,
or dropped where `drop_params` says so, unless it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.asked import messages_of
from router.wire.base import HttpRequest
from router.wire.cohere.address import url_of
from router.wire.cohere.sampling import sampling_of
from router.wire.cohere_v1.messages import conversation_of
from router.wire.cohere_v1.tools import tools_of
from router.wire.http import post
from router.wire.members import Members
from router.wire.params import (
    ignored_beside,
    output_limit_of,
    refuse_several_choices,
    response_format_of,
    wants_tier,
    wants_usage,
)

# What the name of a model begins with, to be asked in this version; no part of Cohere's own name for it.
PREFIX = "v1/"

# Members of Cohere's that OpenAI has no word for, sent as they are.
_OWN = (
    *("citation_quality", "connectors", "conversation_id", "documents", "force_single_step", "k", "max_input_tokens"),
    *("p", "preamble", "prompt_truncation", "raw_prompting", "safety_mode", "search_queries_only", "stop_sequences"),
)

# Members that ask for nothing when they have this value.
_NEUTRAL: Mapping[str, object] = {
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "reasoning_effort": "none",
    "store": False,
    "top_logprobs": 0,
}


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    conversation = conversation_of(messages_of(members))
    refuse_several_choices(members, "Cohere")
    tools = tools_of(members)
    sampling = sampling_of(members)
    show_usage = wants_usage(members)
    other_tier = wants_tier(members)
    sent: dict[str, object] = {
        "model": deployment.provider_model.removeprefix(PREFIX),
        "message": conversation.message,
        "chat_history": conversation.history or None,
        "preamble": conversation.preamble or None,
        "tools": tools.given or None,
        "tool_results": conversation.results or None,
        "response_format": _response_format(members),
        "max_tokens": output_limit_of(members, output_tokens_limit) or None,
        "stream": stream,
        **sampling.sent,
        **members.take_raws(_OWN),
    }
    untaken = members.untaken(_NEUTRAL, ignored_beside(len(tools.given))) + sampling.untaken
    untaken += [name for name, asked in (("tool_choice", tools.forced), ("service_tier", other_tier)) if asked]
    members.leave_out("Version 1 of Cohere's Chat", untaken)
    return post(
        url_of(deployment.api_base, "v1", "chat"),
        msgspec.json.encode(members.completed(sent)),
        deployment,
        stream=stream,
        show_usage=show_usage,
        dropped=tuple(members.dropped),
        accept="application/stream+json" if stream else "",
    )


def _response_format(members: Members) -> dict[str, object] | None:
    wanted = response_format_of(members)
    if wanted is None:
        return None
    return {"type": "json_object"} | ({} if wanted.schema is None else {"schema": wanted.schema})
