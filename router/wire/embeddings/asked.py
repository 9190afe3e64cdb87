"""What callers of embeddings ask for, for the wires that translate."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import HttpRequest
from router.wire.http import post
from router.wire.members import INTEGER, TEXT, Members, invalid

# As many inputs as any provider takes in one call; it bounds the memory of one call.
MAX_INPUTS = 2048

# What the gateway says itself, and whose call it is, which these providers do not ask.
_IGNORED = frozenset(("model", "user"))
# What the vectors are for: Cohere's, Voyage's and NVIDIA's words, and Google's for the same.
_PURPOSES: Mapping[str, str] = {
    "search_document": "RETRIEVAL_DOCUMENT",
    "document": "RETRIEVAL_DOCUMENT",
    "passage": "RETRIEVAL_DOCUMENT",
    "search_query": "RETRIEVAL_QUERY",
    "query": "RETRIEVAL_QUERY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}

_input_decoder = msgspec.json.Decoder(str | list[str | int | list[int]])


class Asked:
    """A caller's body, member by member."""

    def __init__(self, body: bytes, deployment: Deployment, provider: str) -> None:
        """provider: how errors call it. Raises GatewayError (INVALID_REQUEST), as all of this does."""
        self.members = Members(body, deployment)
        self._deployment = deployment
        self._provider = provider

    def texts(self) -> list[str]:
        """The inputs. Token numbers, which are OpenAI's own, are refused."""
        given = self.members.take("input", _input_decoder)
        texts = [given] if isinstance(given, str) else given or []
        if not texts:
            raise invalid("The member 'input' is missing or empty.", "input")
        if len(texts) > MAX_INPUTS:
            raise invalid(f"At most {MAX_INPUTS} inputs a call.", "input")
        found = [text for text in texts if isinstance(text, str)]
        if len(found) != len(texts):
            raise invalid(f"{self._provider} takes texts, not token numbers, as input.", "input")
        return found

    def only_text(self) -> str:
        """The input, where the model takes one a call."""
        texts = self.texts()
        if len(texts) != 1:
            raise invalid(
                f"{self._deployment.provider_model} takes one input a call; {len(texts)} were given.", "input"
            )
        return texts[0]

    def dimensions(self) -> int | None:
        """How long the vectors shall be."""
        dimensions = self.members.take("dimensions", INTEGER)
        if dimensions is not None and not 0 < dimensions < 1 << 31:
            raise invalid("The member 'dimensions' must be a positive whole number.", "dimensions")
        return dimensions

    def task_type(self) -> str | None:
        """What the vectors are for, in Google's words."""
        own = self.members.take("task_type", TEXT)
        purpose = self.members.take("input_type", TEXT)
        return own or (None if purpose is None else _PURPOSES.get(purpose.lower(), purpose))

    def request(self, url: str, sent: Mapping[str, object], *, also: Collection[str] = ()) -> HttpRequest:
        """The request with these members, nulls left out. also: members that are sent as they are, where given.

        What nobody has taken is refused, or left out where `drop_params` says so.
        """
        members = self.members
        if members.take("encoding_format", TEXT) not in (None, "float", "base64"):
            raise invalid("Invalid encoding_format: it must be float or base64.", "encoding_format")
        body = {**sent, **members.take_raws(also)}
        members.leave_out(self._provider, members.untaken({}, _IGNORED))
        dropped = tuple(members.dropped)
        return post(url, msgspec.json.encode(members.completed(body)), self._deployment, stream=False, dropped=dropped)
