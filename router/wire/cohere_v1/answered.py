"""What the answers of version 1 hold; the end of a stream has a whole one in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from router.wire.chat import Annotation, UrlCitation, arguments_of
from router.wire.cohere.answered import Usage
from services.decoding import NOT_DECODED


class Call(msgspec.Struct, gc=False):
    """A call of a tool; it has no id of its own."""

    name: str = ""
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def arguments(self) -> str:
        return arguments_of(self.parameters)

    def made_id(self, answer_id: str, at: int) -> str:
        """Unique, and the same for the same answer. at: which of its calls it is."""
        whole = "\0".join((answer_id, str(at), self.name, self.arguments()))
        return f"call_{hashlib.sha256(whole.encode(errors='replace')).hexdigest()[:24]}"


class Answered(msgspec.Struct):
    """A whole answer. message: what Cohere says of an error."""

    text: str | None = None
    message: str | None = None
    generation_id: str | None = None
    finish_reason: str | None = None
    tool_calls: list[Call] | None = None
    citations: list[msgspec.Raw] | None = None
    documents: list[dict[str, object]] | None = None
    meta: Usage | None = None


class _Citation(msgspec.Struct, gc=False):
    start: int = 0
    end: int = 0
    document_ids: list[str] = []


class Citations(msgspec.Struct):
    """What an answer cites: all of it in Cohere's form, and documents with a URL or an id in OpenAI's too."""

    raw: list[msgspec.Raw] = []
    annotations: list[Annotation] = []

    @classmethod
    def of(cls, citations: Iterable[msgspec.Raw], documents: Iterable[dict[str, object]]) -> Citations:
        """What is no object is passed over."""
        found = cls()
        known = {document.get("id"): document for document in documents if isinstance(document.get("id"), str)}
        for citation in citations:
            try:
                # Written anew: in a stream a line feed between two members would end the event.
                found.raw.append(msgspec.Raw(msgspec.json.encode(_object_decoder.decode(citation))))
                cited = _citation_decoder.decode(citation)
            except NOT_DECODED:
                continue
            for document_id in cited.document_ids:
                document = known.get(document_id, {})
                url, title = document.get("url"), document.get("title")
                place = UrlCitation(
                    cited.start,
                    cited.end,
                    title if isinstance(title, str) else "",
                    url if isinstance(url, str) and url else f"source:{document_id}",
                )
                found.annotations.append(Annotation("url_citation", place))
        return found


_object_decoder = msgspec.json.Decoder(dict[str, object])
_citation_decoder = msgspec.json.Decoder(_Citation)
