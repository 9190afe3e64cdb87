"""Answers of reranks in Cohere's form, from what hosts make of it.

{"results": [...]}     Cohere, Jina, vLLM, llama.cpp, Together, Bedrock
{"data": [...]}        Voyage, Fireworks
[...]                  Text Embeddings Inference
"""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response
from router.wire.chat import MAX_TOKENS, Count
from router.wire.openai.errors import decode_stream_error
from router.wire.openai.response import is_nothing
from router.wire.rerank.documents import Asked, shown
from services.decoding import NOT_DECODED

_ABSENT = msgspec.Raw()
# A search for each of as many documents as are taken in one call is more than any provider charges.
_MAX_SEARCHES = 1_000_000


class _Result(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None
    document: msgspec.Raw = _ABSENT
    text: msgspec.Raw = _ABSENT


class _Billed(msgspec.Struct):
    search_units: Count = None
    total_tokens: Count = None
    input_tokens: Count = None


class _Tokens(msgspec.Struct):
    input_tokens: Count = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None
    tokens: _Tokens | None = None


class _Usage(msgspec.Struct):
    total_tokens: Count = None
    prompt_tokens: Count = None
    search_units: Count = None


class _Ranked(msgspec.Struct):
    id: str | None = None
    results: list[_Result] | None = None
    data: list[_Result] | None = None
    meta: msgspec.Raw = _ABSENT
    usage: _Usage | None = None
    error: msgspec.Raw = _ABSENT


_decoder = msgspec.json.Decoder(_Ranked | list[_Result])
_meta_decoder = msgspec.json.Decoder(_Meta | None)


def decode(asked: bytes, body: bytes, deployment: Deployment) -> Answer:
    """A 2xx answer. Raises GatewayError (PROVIDER_INVALID_RESPONSE, or what the provider says)."""
    wish = Asked(asked)
    try:
        said = _decoder.decode(body)
        ranked = said if isinstance(said, _Ranked) else _Ranked(results=said)
        meta = _Meta() if is_nothing(ranked.meta) else _meta_decoder.decode(ranked.meta) or _Meta()
    except msgspec.ValidationError as error:
        raise invalid_response(deployment, f"it is no ranking ({error})") from None
    except NOT_DECODED:
        raise invalid_response(deployment, "it is not JSON") from None
    results = ranked.data if ranked.results is None else ranked.results
    if results is None:
        if not is_nothing(ranked.error):
            raise decode_stream_error(body, deployment)
        raise invalid_response(deployment, "it has no results")
    usage = _usage(ranked.usage or _Usage(), meta)
    answer: dict[str, object] = {
        "results": [_shown(result, wish, deployment) for result in results[: wish.top_n]],
        "meta": _told(usage) if is_nothing(ranked.meta) else ranked.meta,
    }
    if ranked.id:
        answer = {"id": ranked.id, **answer}
    return Answer(msgspec.json.encode(answer), usage, 0, "")


def _shown(result: _Result, wish: Asked, deployment: Deployment) -> dict[str, object]:
    score = result.score if result.relevance_score is None else result.relevance_score
    if score is None or not 0 <= result.index < len(wish.documents):
        raise invalid_response(deployment, "one of its results has no score, or is of no document")
    row: dict[str, object] = {"index": result.index, "relevance_score": score}
    given_back = result.text if is_nothing(result.document) else result.document
    if wish.return_documents or (wish.return_documents is None and not is_nothing(given_back)):
        row["document"] = shown(wish.documents[result.index] if is_nothing(given_back) else given_back)
    return row


def _usage(usage: _Usage, meta: _Meta) -> common_pb2.TokenUsage | None:
    """What was read, and how many searches it came to; None when the provider says neither."""
    billed, tokens = meta.billed_units or _Billed(), meta.tokens or _Tokens()
    read = _first(
        usage.total_tokens, usage.prompt_tokens, billed.total_tokens, billed.input_tokens, tokens.input_tokens
    )
    searches = _first(billed.search_units, usage.search_units)
    if read is None and searches is None:
        return None
    # Part of a search is a search.
    return common_pb2.TokenUsage(
        input_tokens=int(min(read or 0, MAX_TOKENS)), requests=-int(-min(searches or 0, _MAX_SEARCHES) // 1)
    )


def _first(*counts: Count) -> Count:
    return next((count for count in counts if count is not None and count >= 0), None)


def _told(usage: common_pb2.TokenUsage | None) -> dict[str, object]:
    if usage is None:
        return {}
    return {"billed_units": {"total_tokens": usage.input_tokens}, "tokens": {"input_tokens": usage.input_tokens}}
