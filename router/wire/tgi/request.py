"""A caller's Chat Completions body as a request to `/generate`: one text, and parameters beside it.

What has no counterpart is refused, or dropped where `drop_params` says so, unless it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.asked import messages_of
from router.wire.base import HttpRequest, RequestMembers
from router.wire.http import post
from router.wire.members import INTEGER, NUMBER, Members
from router.wire.params import (
    output_limit_of,
    refuse_several_choices,
    response_format_of,
    stop_of,
    wants_tier,
    wants_usage,
)
from router.wire.templates import prompt_of, template_of, texts_of

# Its own members of `parameters`, which callers may give as they are. Not `details`: the count of tokens is among them.
_OWN = (
    *("adapter_id", "do_sample", "grammar", "repetition_penalty", "return_full_text", "truncate", "typical_p"),
    "watermark",
)
# Members that ask for nothing when they have this value.
_NEUTRAL: Mapping[str, object] = {
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "reasoning_effort": "none",
    "store": False,
    "tool_choice": "none",
    "tools": [],
    "top_logprobs": 0,
}


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    request = generate_request(body, deployment, output_tokens_limit=output_tokens_limit)
    return post(
        _url(deployment.api_base, stream=stream),
        msgspec.json.encode(request.members),
        deployment,
        stream=stream,
        show_usage=request.show_usage,
        dropped=request.dropped,
    )


def generate_request(body: bytes, deployment: Deployment, *, output_tokens_limit: int) -> RequestMembers:
    """`inputs` and `parameters`. Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    prompt = prompt_of(template_of(deployment.provider_model), texts_of(messages_of(members)))
    refuse_several_choices(members, "TGI")
    show_usage = wants_usage(members)
    other_tier = wants_tier(members)
    temperature = members.take("temperature", NUMBER)
    top_p = members.take("top_p", NUMBER)
    top_k = members.take("top_k", NUMBER)
    seed: int | None = members.take("seed", INTEGER)
    penalty = members.take("frequency_penalty", NUMBER)
    grammar, untaken = _grammar(members)
    given: dict[str, object] = {
        "max_new_tokens": output_limit_of(members, output_tokens_limit) or None,
        # It refuses 0, which is what it does without a word; of the others the bounds too.
        "temperature": temperature or None,
        "top_p": top_p if top_p is not None and top_p < 1 else None,
        "top_k": top_k if top_k is not None and top_k > 0 else None,
        "seed": seed,
        "frequency_penalty": penalty or None,
        "stop": stop_of(members) or None,
        "grammar": grammar,
        "details": True,
        **members.take_raws(_OWN),
    }
    untaken += members.untaken(_NEUTRAL) + (["service_tier"] if other_tier else [])
    members.leave_out("TGI", untaken)
    parameters = {name: value for name, value in given.items() if value is not None}
    return RequestMembers(
        {**members.passed(), "inputs": prompt, "parameters": parameters}, show_usage, tuple(members.dropped)
    )


def _grammar(members: Members) -> tuple[object, list[str]]:
    """`response_format`, of which TGI's own words know schemas only; and what it has no word for."""
    wanted = response_format_of(members)
    if wanted is None:
        return None, []
    return ({"type": "json", "value": wanted.schema}, []) if wanted.schema is not None else (None, ["response_format"])


def _url(api_base: str, *, stream: bool) -> str:
    """A base may be either address."""
    base = api_base.rstrip("/").removesuffix("/generate_stream").removesuffix("/generate")
    return f"{base}/generate_stream" if stream else f"{base}/generate"
