"""IBM's watsonx.ai: OpenAI's Chat Completions, with the model, the stream and a choice among tools said otherwise.

model_id, project_id (or space_id)   of the request; a deployment of one's own has them in its address
.../text/chat, .../text/chat_stream  whether the answer is streamed; its usage comes unasked
tool_choice_option                   a choice that names no function
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, BrokenStream, HttpRequest, StreamEnd, StreamStep, invalid_response
from router.wire.http import post
from router.wire.openai import OpenAIWire
from router.wire.openai.request import chat_request
from router.wire.openai.stream import ChatStream
from router.wire.sse import Fields, Splitter, fields_of
from services.decoding import NOT_DECODED
from services.errors import GatewayError

# What the name of a deployment of one's own begins with.
_DEPLOYMENT = "deployment/"
_SAID_BY_THE_ADDRESS = ("model", "stream", "stream_options")
_MODEL, _CHOICES, _ERRORS = b'"model":', b'"choices"', b'"errors"'

_encode = msgspec.json.encode
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class WatsonxWire:
    """`router.wire.base.Wire` for text/chat and text/chat_stream."""

    def __init__(self) -> None:
        self._wire = OpenAIWire()

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        asked = chat_request(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)
        members = {name: value for name, value in asked.members.items() if name not in _SAID_BY_THE_ADDRESS}
        choice = members.get("tool_choice")
        if isinstance(choice, msgspec.Raw) and bytes(choice).startswith(b'"'):
            members["tool_choice_option"] = members.pop("tool_choice")
        return post(
            deployment.chat_url.replace("/text/chat", "/text/chat_stream", 1) if stream else deployment.chat_url,
            _encode({**members, **_place(deployment)}),
            deployment,
            stream=stream,
            show_usage=asked.show_usage,
            dropped=asked.dropped,
        )

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return self._wire.decode(_named(body, deployment, "chat.completion"), deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return self._wire.decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> WatsonxStream:
        return WatsonxStream(deployment, self._wire.stream(request, deployment))


class WatsonxStream:
    """`router.wire.base.StreamDecoder` over that of OpenAI's language: its events have numbers and names there."""

    def __init__(self, deployment: Deployment, inner: ChatStream) -> None:
        self._deployment = deployment
        self._inner = inner
        self._splitter = Splitter()
        self._step = StreamStep(b"", False)

    def feed(self, data: bytes) -> StreamStep:
        """The next bytes, as the network gave them."""
        if self._step.done or self._step.error is not None:
            return StreamStep(b"", self._step.has_content, self._step.error, self._step.done)
        try:
            events = self._splitter.feed(data)
        except BrokenStream as broken:
            error = invalid_response(self._deployment, broken.what)
            self._step = StreamStep(b"", self._step.has_content, error)
            return self._step
        self._step = self._inner.feed(b"".join(map(self._plain, events)))
        return self._step

    def close(self) -> StreamEnd:
        """The end, or as far as it got."""
        out = b""
        if not self._step.done and self._step.error is None:
            rest = self._splitter.rest()
            # A piece of an event stays one.
            self._step = self._inner.feed(self._plain(rest)[:-2] if rest else b"")
            out = self._step.out
        end = self._inner.close()
        error = self._step.error or end.error
        last = end.last if error is None else b""
        return msgspec.structs.replace(end, out=out + end.out, last=last, error=error)

    def _plain(self, event: bytes) -> bytes:
        """An event with nothing but its data, and the name of an error."""
        # Asked for a stream, a host may tell of its error in plain JSON.
        plain_error = event.startswith(b"{") and _ERRORS in event
        fields = Fields(b"", event) if plain_error else fields_of(event)
        data = fields.data
        if data is None:
            return b""
        failed = fields.event == b"error" or (_ERRORS in data and _CHOICES not in data)
        data = _named(data, self._deployment, "chat.completion.chunk").replace(b"\n", b" ")
        return (b"event: error\ndata: " if failed else b"data: ") + data + b"\n\n"


def _place(deployment: Deployment) -> dict[str, str]:
    """The model, and who pays for it."""
    if deployment.provider_model.startswith(_DEPLOYMENT):
        return {}
    options = deployment.options
    owner = next((name for name in ("project_id", "space_id") if options.get(name)), "")
    return {"model_id": deployment.provider_model, **({owner: options[owner]} if owner else {})}


def _named(body: bytes, deployment: Deployment, kind: str) -> bytes:
    """An answer with what OpenAI calls it and its model, which older versions of the API do not say."""
    if _MODEL in body:
        return body
    try:
        members = _members_decoder.decode(body)
    except NOT_DECODED:
        return body
    if "choices" not in members:
        return body
    return _encode({"object": kind, "model": members.get("model_id", deployment.provider_model), **members})
