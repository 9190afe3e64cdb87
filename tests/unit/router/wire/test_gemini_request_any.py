"""Whatever callers write to Gemini is translated or refused, and never anything else."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.gemini.request import STUDIO, VERTEX, Host, encode
from services.errors import GatewayError, Reason
from tests.asking import Asking
from tests.strategies import JSON, MESSAGE


def gemini(model: str = "gemini-2.5-example") -> Deployment:
    return Deployment("d1", "g", "gemini", model, "https://generativelanguage.googleapis.com", wire="gemini")


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
    body = Asking(partial(encode, host=host), gemini(model), {}).translated(caller, limit=limit)
    if body is None:
        return
    assert not limit or 0 < body["generationConfig"]["maxOutputTokens"] <= limit
    turns = body["contents"]
    assert all(turn["parts"] and turn["role"] in ("user", "model") for turn in turns)
    models = [turn["role"] == "model" for turn in turns]
    assert not any(before and after for before, after in itertools.pairwise(models))


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
