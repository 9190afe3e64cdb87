"""Streams, over those of tests/conformance/wire/cohere_v1/streams and some that are broken."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.base import StreamEnd
from router.wire.cohere_v1.stream import CohereV1Stream
from services.errors import Reason
from tests.strategies import CUTS, SMALL_TEXT
from tests.streams import DONE, as_values, assert_alike_in_pieces, calls_in, deltas_in, events_in, fed

CASES = Path(__file__).parents[3] / "conformance" / "wire" / "cohere_v1" / "streams"
TEXT = (CASES / "citations.ndjson").read_bytes()
BILLED = common_pb2.TokenUsage(input_tokens=5, output_tokens=3)


@pytest.fixture
def cohere(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="cohere", wire="cohere-v1", provider_model="v1/command-example")


def run(deployment: Deployment, pieces: Iterable[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(CohereV1Stream(deployment, show_usage=show_usage, created=7), pieces)


def line(kind: str, **members: Any) -> bytes:
    return json.dumps({"event_type": kind, **members}).encode() + b"\n"


START = line("stream-start", generation_id="g1")
FINISH = line("stream-end", finish_reason="COMPLETE")


def test_text_and_what_it_cites(cohere: Deployment) -> None:
    out, end = run(cohere, [TEXT], show_usage=True)
    begun, said, more, cited, finished = deltas_in(out)
    assert (begun, said, more, finished) == (
        {"role": "assistant", "content": ""},
        {"content": "Ruby"},
        {"content": " ☺"},
        {},
    )
    assert [each["url_citation"]["url"] for each in cited["annotations"]] == ["https://example.com/ruby", "source:d2"]
    assert cited["citations"][0]["text"] == "Ruby"
    assert events_in(out)[0]["model"] == "command-example"
    assert events_in(out)[-1]["usage"]["prompt_tokens"] == 71
    assert as_values(end) == (DONE, BILLED, 0, 0, "stop", None)


def test_the_plan_is_text_and_calls_come_whole(cohere: Deployment) -> None:
    out, end = run(cohere, [(CASES / "tools.ndjson").read_bytes()])
    assert "".join(delta.get("content", "") for delta in deltas_in(out)) == "I will ask."
    calls = calls_in(out)
    assert [(call["index"], call["function"]) for call in calls] == [
        (0, {"arguments": "", "name": "weather"}),
        (0, {"arguments": '{"city":"Paris"}'}),
        (1, {"arguments": "", "name": "now"}),
        (1, {"arguments": "{}"}),
    ]
    assert len({call["id"] for call in calls if "id" in call}) == 2
    assert end.finish_reason == "tool_calls"


def test_a_plan_that_did_not_come_in_pieces_is_not_lost(cohere: Deployment) -> None:
    out, _ = run(cohere, [START, line("tool-calls-generation", text="Plan.", tool_calls=[{"name": "f"}]), FINISH])
    assert deltas_in(out)[1] == {"content": "Plan."}


def test_content_begins_with_text_a_call_or_the_end(cohere: Deployment) -> None:
    assert not CohereV1Stream(cohere, show_usage=False, created=7).feed(START).has_content
    for first in (
        line("text-generation", text="a"),
        line("tool-calls-generation", tool_calls=[{"name": "f"}]),
        FINISH,
    ):
        assert CohereV1Stream(cohere, show_usage=False, created=7).feed(first).has_content


@pytest.mark.parametrize("after", [b"", b"\n"])
def test_an_error_in_place_of_an_event_is_that_error(cohere: Deployment, after: bytes) -> None:
    _, end = run(cohere, [b'{"message":"Something broke"}' + after])
    assert end.error is not None
    assert (end.error.message, end.error.reason) == ("Something broke", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE)


def test_an_answer_that_broke_off_is_a_failure_that_was_billed(cohere: Deployment) -> None:
    meta = {"billed_units": {"input_tokens": 5, "output_tokens": 3}}
    _, end = run(cohere, [START, line("stream-end", finish_reason="ERROR", response={"meta": meta})])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert (end.last, end.usage) == (b"", BILLED)


@pytest.mark.parametrize("at", range(0, len(TEXT), 7))
def test_a_cut_stream_is_an_error_until_its_end_has_come(cohere: Deployment, at: int) -> None:
    _, end = run(cohere, [TEXT[:at]])
    if at >= len(TEXT.rstrip()):
        assert (end.error, end.usage) == (None, BILLED)
        return
    assert end.error is not None
    assert (end.last, end.usage) == (b"", None)


def test_lines_of_the_future_and_empty_ones_are_passed_over(cohere: Deployment) -> None:
    kinds = ("text-generation", "tool-calls-chunk", "tool-calls-generation", "search-results", "citation-generation")
    out, end = run(cohere, [START, START, *(line(kind) for kind in (*kinds, "hologram")), FINISH])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {}]
    assert end.error is None


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"{\n", b'{"text":5}\n', b"{}\n", START + b"not JSON\n"])
def test_what_is_no_stream_is_an_invalid_response(cohere: Deployment, data: bytes) -> None:
    _, end = run(cohere, [data])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


LINE = st.builds(
    lambda kind, members: line(kind, **members),
    st.sampled_from(
        [
            "stream-start",
            "text-generation",
            "tool-calls-chunk",
            "tool-calls-generation",
            "search-results",
            "citation-generation",
            "stream-end",
            "x",
        ]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "text": SMALL_TEXT,
            "generation_id": SMALL_TEXT,
            "tool_calls": st.lists(st.fixed_dictionaries({"name": st.text(max_size=3)}), max_size=2),
            "citations": st.lists(st.fixed_dictionaries({"document_ids": st.just(["d"])}), max_size=2),
            "documents": st.just([{"id": "d", "url": "https://x"}]),
            "finish_reason": st.sampled_from(["COMPLETE", "ERROR", None, 5]),
            "message": SMALL_TEXT,
        },
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, max_size=6), cuts=CUTS)
def test_any_lines_split_anyhow_give_the_same_chunks_that_the_sdk_reads(
    cohere: Deployment, lines: list[bytes], cuts: list[int]
) -> None:
    assert_alike_in_pieces(lambda pieces: run(cohere, pieces, show_usage=True), b"".join([START, *lines]), cuts)
