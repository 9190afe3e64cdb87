"""Reranks in all shapes: what is refused, what goes back, and that nothing breaks the wires.

Whole requests and answers are in tests/conformance/wire/rerank.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.base import Answer
from services.errors import GatewayError, Reason
from tests.reading import RERANK, deployment_at, wire_at
from tests.strategies import JSON

AWS = {"aws_region_name": "us-east-1", "aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "secret-of-aws"}
TARGETS: dict[str, dict[str, Any]] = {
    "cohere": {"model": "cohere/r"},
    "jina": {"model": "jina_ai/r"},
    "voyage": {"model": "voyage/rerank"},
    "tei": {"model": "huggingface/o/r", "api_base": "http://gpu:8080"},
    "bedrock": {"model": "bedrock/cohere.rerank-v3-5:0", **AWS},
    "amazon": {"model": "bedrock/amazon.rerank-v1:0", **AWS},
}
ONLY_TEXTS = ("cohere", "voyage", "tei", "bedrock", "amazon")
ASKED: dict[str, Any] = {"query": "q", "documents": ["a", {"text": "b"}]}

MEMBERS = ("query", "documents", "top_n", "return_documents", "extra_body", "results", "data", "meta", "usage", "error")
objects = st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=6), JSON, max_size=6)
results = st.lists(
    st.fixed_dictionaries({"index": st.integers(-2, 3), "relevance_score": JSON}, optional={"document": JSON}),
    max_size=3,
)


def encoded(target: str, **asked: Any) -> dict[str, Any]:
    deployment = deployment_at(RERANK, TARGETS[target])
    body = json.dumps({"model": "g", **ASKED, **asked}).encode()
    sent = json.loads(wire_at(RERANK, deployment).encode(body, deployment).body)
    assert isinstance(sent, dict)
    return sent


def refused(target: str, **asked: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        encoded(target, **asked)
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
    return caught.value


def decoded(target: str, said: Any, **asked: Any) -> Answer:
    deployment = deployment_at(RERANK, TARGETS[target])
    body = json.dumps({"model": "g", **ASKED, **asked}).encode()
    return wire_at(RERANK, deployment).decode(body, {}, json.dumps(said).encode(), deployment)


def unreadable(said: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decoded("cohere", said)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    return caught.value


def ranked(**members: Any) -> dict[str, Any]:
    return {"results": [{"index": 1, "relevance_score": 0.5}], **members}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_is_missing_or_senseless_is_named(target: str) -> None:
    assert refused(target, query=None).param == "query"
    assert refused(target, documents=None).param == "documents"
    assert refused(target, documents="all of them").param == "documents"
    assert refused(target, documents=["a"] * 10_001).param == "documents"
    assert refused(target, top_n=0).param == "top_n"
    assert refused(target, top_n="most").param == "top_n"
    assert refused(target, return_documents="yes").param == "return_documents"


@pytest.mark.parametrize("target", ONLY_TEXTS)
def test_where_only_texts_are_taken_objects_give_theirs(target: str) -> None:
    sent = encoded(target)
    assert sent["texts" if target == "tei" else "documents"] == ["a", "b"]
    assert refused(target, documents=[{"title": "no text"}]).param == "documents"
    assert refused(target, documents=[5]).param == "documents"


def test_elsewhere_documents_are_sent_as_they_are() -> None:
    documents = ["a", {"text": "b"}, {"image": "https://example.com/a.png"}]
    assert encoded("jina", documents=documents)["documents"] == documents


def test_a_host_that_has_no_such_member_is_not_asked_for_documents() -> None:
    assert "return_documents" not in encoded("cohere", return_documents=True)
    assert encoded("voyage", return_documents=True)["return_documents"] is True
    assert encoded("tei", return_documents=False)["return_text"] is False


def test_what_voyage_does_not_take_is_refused_or_dropped() -> None:
    assert refused("voyage", rank_fields=["a"]).param == "rank_fields"
    assert "rank_fields" not in encoded("voyage", rank_fields=["a"], drop_params=True)


def test_documents_go_back_as_objects_if_they_were_asked_for() -> None:
    def documents(**asked: Any) -> list[Any]:
        said = {"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.25}]}
        rows = json.loads(decoded("cohere", said, **asked).body)["results"]
        return [row.get("document") for row in rows]

    assert documents(return_documents=True) == [{"text": "b"}, {"text": "a"}]
    assert documents(return_documents=False) == [None, None]
    assert documents() == [None, None]


def test_documents_that_a_host_gives_unasked_are_passed_on_but_not_against_the_callers_wish() -> None:
    said = {"results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "its own"}}]}
    assert json.loads(decoded("jina", said).body)["results"][0]["document"] == {"text": "its own"}
    assert "document" not in json.loads(decoded("jina", said, return_documents=False).body)["results"][0]


def test_no_more_results_than_asked_for() -> None:
    said = [{"index": 1, "score": 0.5}, {"index": 0, "score": 0.25}]
    assert len(json.loads(decoded("tei", said, top_n=1).body)["results"]) == 1


def test_searches_and_tokens_are_counted() -> None:
    def usage(**members: Any) -> tuple[int, int] | None:
        counted = decoded("cohere", ranked(**members)).usage
        return None if counted is None else (counted.input_tokens, counted.requests)

    assert usage() is None
    assert usage(usage={"total_tokens": 9}) == (9, 0)
    assert usage(meta={"billed_units": {"search_units": 2}}) == (0, 2)
    assert usage(meta={"billed_units": {"search_units": 1.5}, "tokens": {"input_tokens": 7}}) == (7, 2)
    assert usage(usage={"total_tokens": -1}) is None
    assert usage(usage={"total_tokens": 1e300}) == (1 << 40, 0)


def test_what_is_no_ranking_is_no_answer() -> None:
    unreadable({})
    unreadable("no")
    unreadable({"results": [{"index": 0}]})
    unreadable({"results": [{"index": 2, "relevance_score": 0.5}]})
    unreadable({"results": [{"index": -1, "relevance_score": 0.5}]})
    unreadable({"results": [{"index": 0, "relevance_score": "high"}]})
    unreadable(ranked(meta="none"))
    with pytest.raises(GatewayError) as caught:
        decoded("jina", {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}})
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_failures_keep_their_meaning(target: str) -> None:
    deployment = deployment_at(RERANK, TARGETS[target])
    wire = wire_at(RERANK, deployment)
    error = wire.decode_error(429, {"retry-after": "3"}, b'{"message":"Slow down."}', deployment)
    assert (error.reason, error.retry_after_seconds) == (Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, 3.0)
    assert wire.decode_error(404, {}, b"{}", deployment).reason == Reason.ERROR_REASON_PROVIDER_NOT_FOUND


@pytest.mark.parametrize("target", sorted(TARGETS))
@given(asked=objects, said=objects | JSON, rows=results)
def test_nothing_breaks_a_wire(target: str, asked: dict[str, Any], said: Any, rows: list[Any]) -> None:
    deployment = deployment_at(RERANK, TARGETS[target])
    wire = wire_at(RERANK, deployment)
    body = json.dumps({"model": "g", **asked}).encode()
    try:
        wire.encode(body, deployment)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST  # either is right
        body = json.dumps(ASKED).encode()
    for answer in (said, {"results": rows}):
        try:
            assert wire.decode(body, {}, json.dumps(answer).encode(), deployment).body
        except GatewayError as error:
            assert error.provider == deployment.provider


@pytest.mark.parametrize("target", sorted(TARGETS))
@given(data=st.binary(max_size=40))
def test_no_bytes_break_a_wire(target: str, data: bytes) -> None:
    deployment = deployment_at(RERANK, TARGETS[target])
    wire = wire_at(RERANK, deployment)
    # A few bytes can be a call, or an answer; most are neither.
    with contextlib.suppress(GatewayError):
        assert wire.encode(data, deployment).body
    with contextlib.suppress(GatewayError):
        assert wire.decode(json.dumps(ASKED).encode(), {}, data, deployment).body
    assert wire.decode_error(500, {}, data, deployment).provider_status == 500
