"""What a wire leaves out for a caller who asked for that is told, whichever wire it is."""

from __future__ import annotations

import json

import pytest

from router.catalog import Deployment
from router.wire import WIRES
from services.errors import GatewayError, Reason

# Each wire that does not take `logit_bias`, with a model of its language.
MODELS = {
    "anthropic": "claude-example-4-5",
    "anthropic-vertex": "claude-example-4-5",
    "bedrock": "anthropic.claude-example-v1:0",
    "bedrock_invoke": "invoke/anthropic.claude-example-v1:0",
    "cohere": "command-example",
    "cohere-v1": "v1/command-example",
    "gemini": "gemini-example",
    "gemini-vertex": "gemini-example",
    "ollama": "example",
}
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "logit_bias": {"50256": -100}}


def test_every_wire_that_translates_is_here() -> None:
    assert MODELS.keys() == WIRES.keys() - {"openai"}


@pytest.mark.parametrize("name", MODELS)
def test_what_a_provider_does_not_take_is_named_or_dropped_and_told(name: str) -> None:
    wire = WIRES[name](lambda: 0.0)
    deployment = Deployment("d", "m", "provider", MODELS[name], "https://provider.example", "key", wire=name)
    with pytest.raises(GatewayError) as caught:
        wire.encode(json.dumps(ASKED).encode(), deployment, stream=False, output_tokens_limit=0)
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, "logit_bias")
    body = json.dumps({**ASKED, "drop_params": True}).encode()
    request = wire.encode(body, deployment, stream=False, output_tokens_limit=0)
    assert request.dropped == ("logit_bias",)
    assert b"50256" not in request.body
