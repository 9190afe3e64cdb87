"""Chat Completions as its many hosts speak it, held to recorded traffic where it is at hand: each recording through the
row of its provider and a deployment of it, as a configuration makes one."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from router.catalog import Deployment, build
from router.providers.price_table import PriceTable
from router.providers.provider import PROVIDERS
from router.wire.openai import OpenAIWire
from services.config import parse
from tests.recordings import Exchange, Recordings, assert_error_kept, failed, pieces_of, run

# The rows of providers that the recordings call otherwise, or that have none.
ROWS: Mapping[str, str] = {
    "anthropic": "openai_like",
    "avian": "openai_like",
    "bedrock-mantle": "bedrock_mantle",
    "doubleword": "openai_like",
    "llamacpp": "llamafile",
    "mistralrs": "openai_like",
    "ollama": "openai_like",
    "together": "together_ai",
    "venice": "veniceai",
    "vercel-gateway": "vercel_ai_gateway",
    "vllm": "hosted_vllm",
    "writer": "openai_like",
}
# An address of a provider that has a row for each of its surfaces.
AZURE_AI = ".services.ai.azure.com"

# What the gateway says itself: it always asks for the usage of a stream.
OWN = "/streamOptions"
# LiteLLM's word for what OpenAI's own errors call rate_limit_error; its callers are answered with it.
RATE_LIMITED = "throttling_error"
# Facts that are read of the answer's first choice by the other checks, or that the gateway does not pass on.
NOT_FACTS = ("upstream_finish_reason", "server_tools")

wire = OpenAIWire()


def no_prices() -> PriceTable:
    raise AssertionError("a provider's name is given")


def row_of(exchange: Exchange) -> str:
    if AZURE_AI in exchange["request"]["url"]:
        return "azure_ai"
    return ROWS.get(exchange["provider"], exchange["provider"])


def deployment_of(exchange: Exchange) -> Deployment:
    """As a configuration gives it: provider/model, with the address up to where the provider's path begins."""
    url = urlsplit(exchange["request"]["url"])
    row, model = row_of(exchange), exchange["model"] or "model"
    base = f"{url.scheme}://{url.netloc}{url.path}".removesuffix("/chat/completions")
    if row == "azure":
        base, _, model = base.partition("/openai/deployments/")
    if row == "azure_ai":
        base = base.removesuffix("/models")
    version = url.query.partition("api-version=")[2]
    params = {"model": f"{row}/{model}", "api_base": base, "api_key": "key", "input_cost_per_token": 0}
    params |= {"output_cost_per_token": 0, **({"api_version": version} if version else {})}
    text = json.dumps({"model_list": [{"model_name": "group", "litellm_params": params}]})
    (deployment,) = build(parse(text, name="f.yaml", environ={}), {}, no_prices).groups["group"]
    return deployment


def chunks_in(out: bytes) -> list[ChatCompletionChunk]:
    events = [event for event in out.decode().split("\n\n") if event.startswith("data: ")]
    return [ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True) for event in events]


def assembled(chunks: Iterable[ChatCompletionChunk]) -> dict[str, Any]:
    """What a caller makes of a stream: the message of each choice, as of a whole answer."""
    choices: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {"model": "", "choices": []}
    for chunk in chunks:
        whole["model"] = chunk.model
        for choice in chunk.choices:
            made = choices.setdefault(choice.index, {"message": {"tool_calls": []}, "finish_reason": None})
            made["finish_reason"] = choice.finish_reason or made["finish_reason"]
            made["logprobs"] = choice.logprobs or made.get("logprobs")
            for name in ("content", "reasoning_content", "refusal"):
                piece = getattr(choice.delta, name, None)
                if piece:
                    made["message"][name] = made["message"].get(name, "") + piece
            for call in choice.delta.tool_calls or ():
                calls = made["message"]["tool_calls"]
                if call.index == len(calls):
                    assert call.id
                    calls.append({"function": {"name": "", "arguments": ""}})
                assert call.function is not None
                calls[call.index]["function"]["name"] += call.function.name or ""
                calls[call.index]["function"]["arguments"] += call.function.arguments or ""
    whole["choices"] = [choices[index] for index in sorted(choices)]
    return whole


def facts_of(answer: Mapping[str, Any], usage: Any) -> dict[str, Any]:
    """What a caller reads in an answer, in the recordings' words."""
    first = answer["choices"][0]
    message = first["message"]
    texts = [choice["message"].get("content") or "" for choice in answer["choices"]]
    facts = {
        "model": answer["model"],
        "text": texts[0],
        "n_choices": len(texts),
        "choice_texts": texts,
        "reasoning_text": message.get("reasoning_content") or "",
        "reasoning": bool(message.get("reasoning_content")),
        "refusal": message.get("refusal"),
        "finish_reason": first["finish_reason"],
        "logprobs": bool(first.get("logprobs")),
        "tool_calls": [call_of(call["function"]) for call in message.get("tool_calls") or ()],
    }
    if usage is not None:
        names = {"prompt": "input", "completion": "output", "cached": "cache_read", "cache_write": "cache_write"}
        facts |= {f"{name}_tokens": getattr(usage, f"{ours}_tokens") for name, ours in names.items()}
        facts["reasoning_tokens"] = usage.reasoning_tokens
    return facts


def call_of(function: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {"name": function["name"], "arguments": json.loads(function["arguments"])}
    except ValueError:
        return {"name": function["name"], "arguments_text": function["arguments"]}


def assert_expected(exchange: Exchange, facts: Mapping[str, Any]) -> None:
    for key, value in exchange["expect"].items():
        if not key.endswith("_any") and key not in NOT_FACTS:
            acceptable = [value, *exchange["expect"].get(f"{key}_any", ())]
            assert facts.get(key) in acceptable, (exchange["id"], key)


def body_of(exchange: Exchange) -> bytes:
    body = exchange["response"]["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def succeeded(recordings: Recordings, *, stream: bool) -> list[Exchange]:
    return [
        exchange
        for exchange in recordings.of("openai-chat")
        if exchange["response"]["status"] == 200
        and "expect" in exchange
        and (exchange["stream"] and exchange["response"]["encoding"] == "text") is stream
    ]


def test_recorded_requests_are_what_the_rows_of_their_providers_make(recordings: Recordings) -> None:
    for exchange in recordings.of("openai-chat"):
        recorded = exchange["request"]
        deployment = deployment_of(exchange)
        caller = {**recorded["body"], "model": "group"}
        stream = caller.get("stream") is True
        request = wire.encode(json.dumps(caller).encode(), deployment, stream=stream, output_tokens_limit=0)
        if row_of(exchange) != "openai_like":
            # One client writes a slash too many after the host.
            assert request.url == re.sub(r"(?<!:)//", "/", recorded["url"]), exchange["id"]
        differences = [
            each for each in recordings.compare(exchange, json.loads(request.body)) if not ours(each, exchange)
        ]
        assert not differences, (exchange["id"], differences)
        assert not request.dropped


def ours(difference: Mapping[str, Any], exchange: Exchange) -> bool:
    """Azure has the model in its path: what the body says of it is the client's choice."""
    at = difference["at"]
    return at.startswith(OWN) or (at == "/model" and row_of(exchange) == "azure")


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in succeeded(recordings, stream=False):
        answer = wire.decode(body_of(exchange), deployment_of(exchange))
        ChatCompletion.model_validate_json(answer.body, strict=True)
        assert_expected(exchange, facts_of(json.loads(answer.body), answer.usage))


def test_recorded_streams_give_what_is_expected_however_they_are_split(recordings: Recordings) -> None:
    for exchange in succeeded(recordings, stream=True):
        deployment, data = deployment_of(exchange), body_of(exchange)
        out, end = run(wire, deployment, [data])
        assert end.error is None, (exchange["id"], end.error)
        assert_expected(exchange, facts_of(assembled(chunks_in(out)), end.usage))
        for pieces in (pieces_of(data), halves_of(data)):
            split_out, split_end = run(wire, deployment, pieces)
            assert split_out == out, exchange["id"]
            assert (split_end.usage, split_end.finish_reason, split_end.error) == (end.usage, end.finish_reason, None)


def halves_of(data: bytes) -> list[bytes]:
    at = random.Random(len(data)).randint(0, len(data))
    return [data[:at], data[at:]]


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    for exchange in failed(recordings.of("openai-chat")):
        error = assert_error_kept(wire, deployment_of(exchange), exchange, RATE_LIMITED)
        wait = exchange["expect"]["error"].get("retry_after")
        assert error.retry_after_seconds == (None if wait is None else float(wait)), exchange["id"]


def test_the_rows_that_say_so_are_the_ones_that_are_held_to_recordings(recordings: Recordings) -> None:
    recorded = {row_of(exchange) for exchange in recordings.of("openai-chat")}
    assert {name for name, row in PROVIDERS.items() if row.recorded and row.wire == "openai"} == recorded
