"""OpenAI's embeddings, and everything compatible with them: Azure, vLLM, Voyage, Jina, Mistral and many more.

Callers speak the same language, so a call passes through. Where a host does not know `encoding_format`, or one value
of it (its row drops it), the form is made here: every caller gets the form that it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest, invalid_response, read_answer
from router.wire.chat import Count
from router.wire.embeddings.answered import form_of, in_form, usage_of
from router.wire.members import invalid
from router.wire.openai.errors import decode_error, decode_stream_error
from router.wire.openai.response import is_nothing
from router.wire.reading import is_given, members_of, request_of
from services.decoding import NOT_DECODED
from services.errors import GatewayError

# What is left out without a word where a host does not take it: the form, which is made here, and whose call it is.
_UNTOLD = ("encoding_format", "user")


class _Usage(msgspec.Struct):
    prompt_tokens: Count = None
    total_tokens: Count = None
    # Where a host counts as it does for chats, but for the input.
    input_tokens: Count = None


class _Row(msgspec.Struct):
    embedding: msgspec.Raw


class _Embeddings(msgspec.Struct):
    data: list[_Row] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Embeddings)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_rows_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_form_decoder = msgspec.json.Decoder(str)


class OpenAIEmbeddings:
    """`router.wire.whole.WholeWire` for OpenAI's embeddings."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        members, given, passed = members_of(body, deployment)
        if not is_given(members.get("input")):
            raise invalid("The member 'input' is missing or empty.", "input")
        drop = deployment.quirks.drop if deployment.quirks is not None else ()
        for name in _UNTOLD:
            said = {name, f"{name}={_text(members[name])}"} if name in members else set()
            if name not in passed and not said.isdisjoint(drop):
                del members[name]
        return request_of(members, given, passed, deployment)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        answer = read_answer(_decoder, body, deployment, "a list of embeddings")
        if not is_nothing(answer.error) and not answer.data:
            raise decode_stream_error(body, deployment)
        if not answer.data:
            raise invalid_response(deployment, "it has no embeddings")
        usage = answer.usage or _Usage()
        tokens = next((n for n in (usage.prompt_tokens, usage.input_tokens, usage.total_tokens) if n is not None), None)
        wanted = form_of(asked, deployment)
        vectors = [in_form(row.embedding, wanted, deployment) for row in answer.data]
        as_wanted = all(vector is row.embedding for vector, row in zip(vectors, answer.data, strict=True))
        if not as_wanted or usage.prompt_tokens is None or usage.total_tokens is None:
            body = _rewritten(body, vectors, tokens)
        return Answer(body, usage_of(tokens), 0, "")

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)


def _rewritten(body: bytes, vectors: list[object], tokens: float | None) -> bytes:
    """The answer with these vectors, and with the tokens in OpenAI's places; all else as it came."""
    members = _members_decoder.decode(body)
    rows: list[dict[str, object]] = [dict(row) for row in _rows_decoder.decode(members["data"])]
    for row, vector in zip(rows, vectors, strict=True):
        row["embedding"] = vector
    count = int(usage.input_tokens) if (usage := usage_of(tokens)) else 0
    told: dict[str, object] = {"prompt_tokens": count, "total_tokens": count}
    if not is_nothing(members.get("usage", msgspec.Raw())):
        told = {**_members_decoder.decode(members["usage"]), **told}
    return msgspec.json.encode({"object": "list", **members, "data": rows, "usage": told})


def _text(raw: msgspec.Raw) -> str:
    try:
        return _form_decoder.decode(raw)
    except NOT_DECODED:
        return ""
