"""Claude on Vertex AI held to its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json

from router.catalog import Deployment
from router.wire import WIRES
from tests.recordings import Exchange, Recordings, assert_expected, made_of

HOME = "https://us-east5-aiplatform.googleapis.com"
PLACE = {"vertex_project": "PROJECT", "vertex_location": "us-east5"}

wire = WIRES["anthropic-vertex"](lambda: 1_700_000_000)


def deployment(model: str = "claude-example-4-5@20300101") -> Deployment:
    return Deployment("d1", "g", "vertex_ai", model, HOME, wire="anthropic-vertex", auth="google", options=PLACE)


def recorded(recordings: Recordings) -> list[Exchange]:
    found = [each for each in recordings.of("anthropic", endpoint="messages") if each["provider"] == "vertex"]
    assert found
    return found


def test_the_model_is_in_the_address_and_the_version_in_the_body() -> None:
    caller = {"model": "g", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    request = wire.encode(json.dumps(caller).encode(), deployment(), stream=False, output_tokens_limit=0)
    model = "publishers/anthropic/models/claude-example-4-5@20300101"
    assert request.url == f"{HOME}/v1/projects/PROJECT/locations/us-east5/{model}:rawPredict"
    assert "anthropic-version" not in request.headers
    assert json.loads(request.body) == {
        "anthropic_version": "vertex-2023-10-16",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 5,
    }


def test_a_stream_is_asked_for_in_both() -> None:
    caller = {"messages": [], "stream": True, "stream_options": {"include_usage": True}}
    request = wire.encode(json.dumps(caller).encode(), deployment(), stream=True, output_tokens_limit=9)
    assert request.url.endswith(":streamRawPredict")
    assert request.show_usage is True
    assert request.headers["accept"] == "text/event-stream"
    sent = json.loads(request.body)
    assert (sent["stream"], sent["max_tokens"]) == (True, 9)


def test_recorded_requests_are_translated(recordings: Recordings) -> None:
    for exchange in recorded(recordings):
        caller, to = exchange["openai_request"], deployment(exchange["model"])
        request = wire.encode(
            json.dumps(caller).encode(), to, stream=caller.get("stream", False), output_tokens_limit=0
        )
        assert request.url == exchange["request"]["url"]
        assert recordings.compare(exchange, json.loads(request.body)) == [], exchange["id"]


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in recorded(recordings):
        assert_expected(exchange["id"], made_of(wire, deployment(), exchange), exchange["expect"])
