"""The documents of a rerank: what callers give, and what goes back to them."""

from __future__ import annotations

import msgspec

from router.wire.members import invalid, read

# More than any provider takes in one call (Cohere's documentation: 10,000); it bounds the memory of one call.
MAX_DOCUMENTS = 10_000


class _Document(msgspec.Struct):
    text: str | msgspec.UnsetType = msgspec.UNSET


class _Asked(msgspec.Struct):
    documents: list[msgspec.Raw] = []
    return_documents: bool | None = None
    top_n: int | None = None


_documents_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)
_document_decoder = msgspec.json.Decoder(_Document)
_asked_decoder = msgspec.json.Decoder(_Asked)


def documents_of(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The documents of a caller's body, as written. Raises GatewayError (INVALID_REQUEST)."""
    documents = read(_documents_decoder, raw, "documents")
    if len(documents) > MAX_DOCUMENTS:
        raise invalid(f"At most {MAX_DOCUMENTS} documents a call.", "documents")
    return documents


def text_of(document: msgspec.Raw, provider: str) -> str:
    """The text of a document, which is one, or an object with one. Raises GatewayError (INVALID_REQUEST)."""
    if bytes(memoryview(document)[:1]) == b'"':
        return read(_text_decoder, document, "documents")
    text = read(_document_decoder, document, "documents").text
    if text is msgspec.UNSET:
        raise invalid(f"{provider} takes texts as documents, or objects with a text.", "documents")
    return text


def shown(document: msgspec.Raw) -> object:
    """A document as callers get it back: in Cohere's form, an object."""
    return {"text": document} if bytes(memoryview(document)[:1]) == b'"' else document


class Asked:
    """What the caller's body says of the answer. It has been sent, so it can be read."""

    def __init__(self, body: bytes) -> None:
        asked = _asked_decoder.decode(body)
        self.documents = asked.documents
        # None: as the provider does.
        self.return_documents = asked.return_documents
        self.top_n = asked.top_n
