"""Whole answers of `/generate` as chat completions. Some servers put the one answer into a list."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Message, answer_id, answer_of
from router.wire.tgi.answered import FINISH_REASONS, Details, Generated
from router.wire.tgi.errors import decode_stream_error

_decoder = msgspec.json.Decoder(Generated | list[Generated])


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which TGI does not tell."""
    said = read_answer(_decoder, body, deployment, "a generated text")
    answered = said if isinstance(said, Generated) else said[0] if said else Generated()
    text = answered.text()
    if answered.error is not None:
        raise decode_stream_error(body, deployment)
    if text is None:
        raise invalid_response(deployment, "it has no text")
    details = answered.details or Details()
    choice = Choice(0, Message(text), FINISH_REASONS.get(details.finish_reason or "", "stop"))
    completion = Completion(answer_id(b"%d" % created + body), created, deployment.provider_model, [choice])
    return answer_of(completion, details.usage())
