"""A caller's Chat Completions body as a request to Gemini's generateContent.

What has no counterpart is refused, or dropped where `drop_params` says so, unless it asks for nothing. Marks of the
cache are passed over: Gemini caches by itself what is repeated, and what is to be kept longer has a name of its own,
`cached_content`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from router.catalog import Deployment
from router.wire.asked import messages_of
from router.wire.base import HttpRequest
from router.wire.gemini.contents import conversation_of
from router.wire.gemini.generation import generation_of
from router.wire.gemini.own import own_words_of
from router.wire.gemini.thinking import must_sign, thinking_of
from router.wire.gemini.tools import config_of, tools_of
from router.wire.google import studio_url, vertex_url
from router.wire.http import post
from router.wire.members import IGNORED, Members, invalid
from router.wire.params import ignored_beside, service_tier_of, wants_usage


class Host(msgspec.Struct, frozen=True):
    """What differs between the two places where Gemini is offered.

    url: of a deployment and a verb. call_ids: calls and their results may carry ids. service_tiers: its words for
    OpenAI's; tier_header: where they go, if not into the body. key_header: where a key goes that the provider's row has
    no place for.
    """

    url: Callable[[Deployment, str], str]
    call_ids: bool
    service_tiers: Mapping[str, str]
    tier_header: str = ""
    key_header: str = ""


STUDIO = Host(
    studio_url,
    call_ids=True,
    service_tiers={"auto": "", "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"},
)
# A deployment with a key is one of Vertex's express mode; without, its credentials are signed in later.
VERTEX = Host(
    vertex_url,
    call_ids=False,
    service_tiers={"auto": "", "default": "", "standard": "", "flex": "flex", "priority": "priority"},
    tier_header="x-vertex-ai-llm-shared-request-type",
    key_header="x-goog-api-key",
)

# Members that ask for nothing when they have this value.
_NEUTRAL: Mapping[str, object] = {"logit_bias": {}, "parallel_tool_calls": True, "store": False}
# A mark for the cache says nothing to Gemini, which caches by itself.
_IGNORED = IGNORED | {"cache_control"}


def encode(body: bytes, deployment: Deployment, *, host: Host, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    model = deployment.provider_model
    conversation = conversation_of(messages_of(members), call_ids=host.call_ids, must_sign=must_sign(model))
    thinking = thinking_of(members, model)
    tools = tools_of(members)
    show_usage = wants_usage(members)
    own = own_words_of(members)
    # What is said in Gemini's own words wins.
    tier = service_tier_of(members, host.service_tiers, "Gemini")
    generation = {**generation_of(members, thinking, output_tokens_limit=output_tokens_limit), **own.generation}
    sent: dict[str, object] = {
        "contents": conversation.turns,
        "systemInstruction": {"parts": conversation.system} if conversation.system else None,
        "tools": tools.sent or None,
        "toolConfig": config_of(members, tools),
        "generationConfig": generation or None,
        "serviceTier": (not host.tier_header and tier) or None,
        **own.request,
    }
    untaken = members.untaken(_NEUTRAL, ignored_beside(tools.functions, _IGNORED))
    untaken += [thinking.untaken] if thinking.untaken else []
    members.leave_out("Gemini", untaken)
    return post(
        host.url(deployment, "streamGenerateContent?alt=sse" if stream else "generateContent"),
        written(members.completed(sent)),
        deployment,
        stream=stream,
        show_usage=show_usage,
        dropped=tuple(members.dropped),
        headers=_headers(host, deployment, tier),
    )


def _headers(host: Host, deployment: Deployment, tier: str) -> dict[str, str]:
    given = {host.key_header: deployment.api_key, host.tier_header: tier}
    return {name: value for name, value in given.items() if name and value}


def written(sent: Mapping[str, object]) -> bytes:
    """A request as JSON. Raises GatewayError (INVALID_REQUEST) for one that is nested too deeply to be written."""
    try:
        return msgspec.json.encode(sent)
    except RecursionError:
        raise invalid("The request is nested too deeply.", "request_body") from None
