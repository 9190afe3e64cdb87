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
from router.wire.cohere.address import url_of
from router.wire.cohere.messages import Document, conversation_of
from router.wire.cohere.sampling import sampling_of
from router.wire.cohere.thinking import thinking_of
from router.wire.cohere.tools import tools_of
from router.wire.http import post
from router.wire.members import FLAG, Members
from router.wire.params import (
    ignored_beside,
    output_limit_of,
    refuse_several_choices,
    response_format_of,
    wants_tier,
    wants_usage,
)

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
    sampling = sampling_of(members)
    logprobs = members.take("logprobs", FLAG)
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
        "logprobs": logprobs,
        **sampling.sent,
        **members.take_raws(_OWN),
    }
    untaken = members.untaken(_NEUTRAL, ignored_beside(len(tools.given)))
    untaken += sampling.untaken
    untaken += ["reasoning_effort"] if thinking.untaken else []
    untaken += ["service_tier"] if other_tier else []
    members.leave_out("Cohere", untaken)
    return post(
        url_of(deployment.api_base, "v2", "chat"),
        msgspec.json.encode(members.completed(sent)),
        deployment,
        stream=stream,
        show_usage=show_usage,
        dropped=tuple(members.dropped),
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
