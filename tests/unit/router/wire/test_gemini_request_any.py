"""Whatever callers write to Gemini is translated or refused, and never anything else."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.gemini.request import STUDIO, VERTEX, Host, encode
from services.errors import GatewayError, Reason


def gemini(model: str = "gemini-2.5-example") -> Deployment:
    return Deployment("d1", "g", "gemini", model, "https://generativelanguage.googleapis.com", wire="gemini")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "input_file", "input_audio", "refusal", "x"])},
    optional={
        "text": st.text(max_size=8),
        "refusal": st.text(max_size=3),
        "image_url": st.sampled_from(["data:image/png;base64,AA", "data:,", "https://x", "http://["]) | JSON,
        "file": st.dictionaries(st.sampled_from(["file_data", "filename", "file_url"]), st.text(max_size=9)) | JSON,
        "file_data": st.sampled_from(["data:;base64,gA==", "data:text/plain;base64,YQ=="]) | JSON,
        "input_audio": st.just({"data": "AA", "format": "wav"}) | JSON,
        "cache_control": JSON,
    },
)
CALL = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "a__thought__s", ""]),
        "function": st.fixed_dictionaries({"name": st.text(max_size=4), "arguments": st.sampled_from(["{}", "", "x"])}),
    },
    optional={"provider_specific_fields": JSON, "extra_content": JSON},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "x"])},
    optional={
        "content": st.text(max_size=8) | st.lists(PART, max_size=3) | JSON,
        "tool_call_id": st.sampled_from(["a", "b", ""]),
        "name": st.text(max_size=3),
        "tool_calls": st.lists(CALL, max_size=2),
        "provider_specific_fields": JSON,
        "extra_content": JSON,
        "images": st.lists(PART, max_size=2) | JSON,
    },
)
TOOL = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["function", "web_search", "x"]) | JSON,
        "function": st.fixed_dictionaries({"name": st.text(max_size=4)}, optional={"parameters": JSON}) | JSON,
        "google_search": JSON,
    },
)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "top_k", "stop", "tool_choice", "n", "seed", "logprobs"), JSON),
        **dict.fromkeys(("response_format", "thinking", "reasoning_effort", "extra_body", "stream_options"), JSON),
        **dict.fromkeys(("generation_config", "google", "safetySettings", "modalities", "audio", "service_tier"), JSON),
        "tools": st.lists(TOOL, max_size=3) | JSON,
        "drop_params": st.booleans(),
    },
)


@settings(max_examples=500, deadline=None)
@given(BODY, st.integers(0, 3000), st.sampled_from([STUDIO, VERTEX]), st.sampled_from(["gemini-2.5-x", "gemini-3-x"]))
def test_any_body_is_translated_or_refused(caller: dict[str, Any], limit: int, host: Host, model: str) -> None:
    try:
        request = encode(json.dumps(caller).encode(), gemini(model), host=host, stream=False, output_tokens_limit=limit)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST
        return
    body = json.loads(request.body)
    assert not limit or 0 < body["generationConfig"]["maxOutputTokens"] <= limit
    turns = body["contents"]
    assert all(turn["parts"] and turn["role"] in ("user", "model") for turn in turns)
    models = [turn["role"] == "model" for turn in turns]
    assert not any(before and after for before, after in itertools.pairwise(models))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | JSON.map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_translated_or_refused(body: bytes) -> None:
    try:
        encode(body, gemini(), host=STUDIO, stream=True, output_tokens_limit=0)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST


@pytest.mark.parametrize(
    "member", ["messages", "tools", "thinking", "generation_config", "never_heard_of", "stop", "response_format"]
)
def test_a_bottomless_body_is_refused(member: str) -> None:
    deep = f'{{"messages":[],"{member}":{"[" * 100_000}{"]" * 100_000}}}'.encode()
    with pytest.raises(GatewayError):
        encode(deep, gemini(), host=STUDIO, stream=False, output_tokens_limit=0)


@pytest.mark.parametrize("depth", range(40, 1100, 53))
def test_a_deep_schema_is_translated_or_refused(depth: int) -> None:
    schema = '{"properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth
    deep_default = '{"properties":{"a":{"default":' + "[" * depth + "]" * depth + "}}}"
    for each in (schema, deep_default):
        body = f'{{"messages":[],"tools":[{{"function":{{"name":"f","parameters":{each}}}}}]}}'.encode()
        try:
            encode(body, gemini(), host=STUDIO, stream=False, output_tokens_limit=0)
        except GatewayError as error:
            assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST
