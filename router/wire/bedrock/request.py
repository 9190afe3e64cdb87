"""A caller's Chat Completions body as a request to Bedrock's Converse API.

    messages, system      the conversation
    inferenceConfig       what all models have: limit, temperature, top_p, stop
    toolConfig            tools; with a form of the answer for a model that cannot be held to one, a tool stands in
    outputConfig          a JSON schema of the answer
    additionalModelRequestFields   the model's own parameters: thinking, top_k, and whatever OpenAI's language has not

A caller may use Converse's own members as well (`guardrailConfig`, `performanceConfig`, `requestMetadata`, ...), as
LiteLLM's callers do. What OpenAI has and Converse has not is refused, or dropped where `drop_params` says so, unless it
asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.form import form_of
from router.wire.anthropic.sampling import given_sampling, sampling_of
from router.wire.asked import messages_of
from router.wire.base import HttpRequest
from router.wire.bedrock.address import plain_model_of, url_of
from router.wire.bedrock.messages import conversation_of
from router.wire.bedrock.models import is_claude, takes_structured_output
from router.wire.bedrock.thinking import thinking_of
from router.wire.bedrock.tools import tools_of
from router.wire.http import post
from router.wire.members import RAWS, Members
from router.wire.params import (
    output_limit_of,
    refuse_several_choices,
    service_tier_of,
    stop_of,
    wants_usage,
)

EVENT_STREAM = "application/vnd.amazon.eventstream"

# A JSON object, member by member.
Body = dict[str, object]

_JSON_INSTRUCTION = "Write the answer as a single JSON object: nothing before it, nothing after it, no Markdown."

# Converse's own members, which callers may give as they are. Not `inferenceConfig`: its limit is what a hold pays for.
_OWN_OBJECTS = (
    "additionalModelRequestFields",
    "guardrailConfig",
    "outputConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
)
_OWN_VALUES = ("additionalModelResponseFieldPaths", "projectIdentifier")
# Of OpenAI's language; Converse has no counterpart.
_NOT_TAKEN = frozenset(
    (
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "modalities",
        "prediction",
        "presence_penalty",
        "seed",
        "store",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    )
)
# Members that ask for nothing when they have this value.
NEUTRAL: Mapping[str, object] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "presence_penalty": 0,
    "store": False,
    "top_logprobs": 0,
}

# `auto` is OpenAI's word for whatever the account has.
_SERVICE_TIERS = {"auto": "", "default": "default", "flex": "flex", "priority": "priority", "reserved": "reserved"}


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    show_usage = wants_usage(members)
    sent = msgspec.json.encode(body_of(members, deployment, output_tokens_limit))
    return post(
        url_of(deployment, "converse-stream" if stream else "converse"),
        sent,
        deployment,
        stream=stream,
        show_usage=show_usage,
        dropped=tuple(members.dropped),
        accept=EVENT_STREAM if stream else "",
    )


def body_of(members: Members, deployment: Deployment, output_tokens_limit: int) -> Body:
    """Converse's body. Raises GatewayError (INVALID_REQUEST)."""
    model = plain_model_of(deployment)
    own: Body = {name: given for name in _OWN_OBJECTS if (given := members.take(name, RAWS)) is not None}
    own |= members.take_raws(_OWN_VALUES)
    conversation = conversation_of(messages_of(members), model)
    refuse_several_choices(members, "Bedrock")
    max_tokens = output_limit_of(members, output_tokens_limit)
    thinking = thinking_of(members, deployment, model, max_tokens, in_tool_loop=conversation.in_tool_loop)
    form = form_of(members, takes_schemas=takes_structured_output(model))
    sampling = (
        sampling_of(members, deployment.provider_model, thinks=thinking.is_on)
        if is_claude(model)
        else given_sampling(members)
    )
    tools = tools_of(members, model, conversation.called, form.by_tool, thinks=thinking.is_on)
    if form.as_json:
        conversation.system.append({"text": _JSON_INSTRUCTION})
    sent: Body = {
        "messages": conversation.turns,
        "system": conversation.system,
        "inferenceConfig": _inference(members, max_tokens, sampling),
        "toolConfig": tools.config,
        "outputConfig": None if form.schema is None else _output_config(form.name, form.schema),
        "serviceTier": _service_tier(members),
        # The last that reads the members: what is left then is for the model.
        "additionalModelRequestFields": {
            **thinking.fields,
            **_top_k(sampling["top_k"], model),
            **({"tool_choice": tools.anthropic_choice} if tools.anthropic_choice else {}),
            **_models_own(members, tools.untaken + (["reasoning_effort"] if thinking.untaken else [])),
        },
    }
    return _completed(sent, own)


def _completed(sent: Body, own: Body) -> Body:
    """The body with what the caller says in Converse's words, which wins; members with nothing in them are left out."""
    for name, value in own.items():
        before = sent.get(name)
        sent[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return {name: value for name, value in sent.items() if value or name == "messages"}


def _models_own(members: Members, untaken: list[str]) -> Body:
    """What nobody has taken and Converse may know: the parameters of the model itself.

    Raises GatewayError (INVALID_REQUEST) for those of OpenAI's.
    """
    left = members.untaken(NEUTRAL)
    untaken = [name for name in left if name in _NOT_TAKEN] + untaken
    members.leave_out("Bedrock", untaken)
    return {
        **{name: raw for name, raw in members.left().items() if name in left and name not in _NOT_TAKEN},
        **members.passed(),
    }


def _inference(members: Members, max_tokens: int, sampling: Mapping[str, int | float | None]) -> Body:
    given = {
        "maxTokens": max_tokens or None,
        "temperature": sampling["temperature"],
        "topP": sampling["top_p"],
        "stopSequences": stop_of(members) or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _top_k(top_k: int | float | None, model: str) -> Body:
    if top_k is None:
        return {}
    return {"inferenceConfig": {"topK": top_k}} if model.startswith("amazon.nova") else {"top_k": top_k}


def _output_config(name: str, schema: msgspec.Raw) -> Body:
    said = {"schema": bytes(schema).decode(errors="replace")}
    named = {**said, "name": name} if name else said
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": named}}}


def _service_tier(members: Members) -> Body | None:
    tier = service_tier_of(members, _SERVICE_TIERS, "Bedrock")
    return {"type": tier} if tier else None
