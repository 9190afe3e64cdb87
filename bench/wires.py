"""What each wire costs: a request made, a whole answer read, and a chunk of a stream passed on, without any network.

    python -m bench.wires

Answers are of one text, told in each provider's language; a figure is printed only after what came out was found to
hold that text and that usage.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.catalog import Deployment
from router.wire import WIRES
from router.wire.base import Wire
from tests.aws_events import chunk as aws_chunk
from tests.aws_events import event as aws_event
from tests.aws_events import message as aws_message

# One piece is about what providers send at once: a token.
PIECES = tuple(f" word-{number}" for number in range(20))
TEXT = "".join(PIECES)
USAGE = (12, 20)
ROUNDS = 400

ASKED = {
    "model": "bench",
    "messages": [
        {"role": "system", "content": "Answer in few words."},
        {"role": "user", "content": "What is the capital of France, and what is it known for?" * 8},
    ],
    "max_tokens": 200,
    "temperature": 0.5,
    # Some take no tools.
    "drop_params": True,
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "look_up",
                "description": "Looks a city up.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            },
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Told:
    """One text in a provider's language: whole, and as the events of a stream."""

    model: str
    answer: Any
    events: Sequence[bytes]


def _sse(*events: Any) -> list[bytes]:
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]


def _named(*events: dict[str, Any]) -> list[bytes]:
    return [b"event: %s\ndata: %s\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events]


def _lines(*events: Any) -> list[bytes]:
    return [json.dumps(event).encode() + b"\n" for event in events]


def _openai() -> Told:
    usage = {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)}
    message = {"role": "assistant", "content": TEXT}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in PIECES]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    events = _sse(
        *({**head, "choices": [choice]} for choice in (*deltas, end)), {**head, "choices": [], "usage": usage}
    )
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Told("gpt-example", {**answer, "choices": choices}, [*events, b"data: [DONE]\n\n"])


def _anthropic_events() -> list[dict[str, Any]]:
    usage = {"input_tokens": USAGE[0], "output_tokens": USAGE[1]}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in PIECES
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]


def _anthropic(model: str, write: Callable[..., list[bytes]]) -> Told:
    usage = {"input_tokens": USAGE[0], "output_tokens": USAGE[1]}
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    content = [{"type": "text", "text": TEXT}]
    return Told(model, {**answer, "content": content, "usage": usage}, write(*_anthropic_events()))


def _gemini() -> Told:
    usage = {"promptTokenCount": USAGE[0], "candidatesTokenCount": USAGE[1], "totalTokenCount": sum(USAGE)}

    def candidate(text: str) -> dict[str, Any]:
        return {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}

    last = {"candidates": [{**candidate(PIECES[-1]), "finishReason": "STOP"}], "usageMetadata": usage}
    events = _sse(*({"candidates": [candidate(piece)]} for piece in PIECES[:-1]), last)
    answer = {"candidates": [{**candidate(TEXT), "finishReason": "STOP"}], "usageMetadata": usage}
    return Told("gemini-example", answer, events)


def _converse() -> Told:
    usage = {"inputTokens": USAGE[0], "outputTokens": USAGE[1], "totalTokens": sum(USAGE)}
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}}, "stopReason": "end_turn"}
    events = [
        aws_event("messageStart", role="assistant"),
        *(aws_event("contentBlockDelta", contentBlockIndex=0, delta={"text": piece}) for piece in PIECES),
        aws_event("contentBlockStop", contentBlockIndex=0),
        aws_event("messageStop", stopReason="end_turn"),
        aws_event("metadata", usage=usage),
    ]
    return Told("amazon.nova-example-v1:0", {**answer, "usage": usage}, events)


def _invoke() -> Told:
    def write(*events: Any) -> list[bytes]:
        return [aws_chunk(json.dumps(event).encode()) for event in events]

    return _anthropic("invoke/anthropic.claude-example-v1:0", write)


def _cohere() -> Told:
    usage = {
        "billed_units": {"input_tokens": USAGE[0], "output_tokens": USAGE[1]},
        "tokens": {"input_tokens": USAGE[0], "output_tokens": USAGE[1]},
    }
    message = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
    begun = {"message": {"role": "assistant", "content": []}}
    events = [
        {"type": "message-start", "id": "m", "delta": begun},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        *(
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
            for piece in PIECES
        ),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ]
    answer = {"id": "m", "finish_reason": "COMPLETE", "message": message, "usage": usage}
    return Told("command-example", answer, _named(*events))


def _cohere_v1() -> Told:
    meta = {"billed_units": {"input_tokens": USAGE[0], "output_tokens": USAGE[1]}}
    answer = {"generation_id": "g", "text": TEXT, "finish_reason": "COMPLETE", "meta": meta}
    events = [
        {"event_type": "stream-start", "generation_id": "g"},
        *({"event_type": "text-generation", "text": piece} for piece in PIECES),
        {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": answer},
    ]
    return Told("v1/command-example", answer, _lines(*events))


def _ollama() -> Told:
    counts = {"prompt_eval_count": USAGE[0], "eval_count": USAGE[1], "done_reason": "stop", "done": True}
    head = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}

    def said(text: str) -> dict[str, Any]:
        return {**head, "message": {"role": "assistant", "content": text}}

    events = _lines(*({**said(piece), "done": False} for piece in PIECES), {**said(""), **counts})
    return Told("example", {**said(TEXT), **counts}, events)


def _tgi() -> Told:
    details = {"finish_reason": "eos_token", "generated_tokens": USAGE[1], "input_length": USAGE[0]}
    events = _sse(
        *({"index": at, "token": {"text": piece, "special": False}} for at, piece in enumerate(PIECES)),
        {"token": {"text": "</s>", "special": True}, "generated_text": TEXT, "details": details},
    )
    return Told("org/example", {"generated_text": TEXT, "details": details}, events)


def _in_parts(told: Told) -> Told:
    """In the envelope of SageMaker."""
    headers = {":message-type": "event", ":event-type": "PayloadPart"}
    return Told("endpoint", told.answer, [aws_message(headers, event) for event in told.events])


def _replicate() -> Told:
    metrics = {"input_token_count": USAGE[0], "output_token_count": USAGE[1]}
    answer = {"id": "p", "status": "succeeded", "output": list(PIECES), "metrics": metrics}
    return Told("owner/example", answer, [json.dumps(answer).encode()])


TOLD: dict[str, Callable[[], Told]] = {
    "openai": _openai,
    "anthropic": lambda: _anthropic("claude-example-4-5", _named),
    "anthropic-hosted": lambda: _anthropic("claude-example-4-5", _named),
    "anthropic-vertex": lambda: _anthropic("claude-example-4-5", _named),
    "bedrock": _converse,
    "bedrock_invoke": _invoke,
    "cohere": _cohere,
    "cohere-v1": _cohere_v1,
    "gemini": _gemini,
    "gemini-vertex": _gemini,
    "ollama": _ollama,
    "replicate": _replicate,
    "sagemaker": lambda: _in_parts(_tgi()),
    "sagemaker-chat": lambda: _in_parts(_openai()),
    "tgi": _tgi,
    "watsonx": _openai,
}


def measure(name: str) -> tuple[float, float, float]:
    """Microseconds a request, a whole answer, and a chunk. AssertionError when what comes out is not what was told."""
    told = TOLD[name]()
    wire: Wire = WIRES[name](lambda: 1.0)
    url = "https://provider.example/ml/v1/text/chat"
    deployment = Deployment("d", "bench", name, told.model, "https://provider.example", "key", wire=name, chat_url=url)
    body = json.dumps(ASKED).encode()
    streamed = json.dumps({**ASKED, "stream": True, "stream_options": {"include_usage": True}}).encode()
    answer = json.dumps(told.answer).encode()
    request = wire.encode(streamed, deployment, stream=True, output_tokens_limit=0)

    def stream() -> tuple[bytes, Any]:
        decoder = wire.stream(request, deployment)
        out = b"".join(decoder.feed(event).out for event in told.events)
        end = decoder.close()
        return out + end.out, end.usage

    whole = wire.decode(answer, deployment)
    _verify(json.loads(whole.body)["choices"][0]["message"]["content"], whole.usage)
    out, usage = stream()
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in out.split(b"\n\n") if event[:7] == b"data: {"]
    texts = (choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    _verify("".join(texts), usage)
    return (
        _microseconds(lambda: wire.encode(body, deployment, stream=False, output_tokens_limit=0)),
        _microseconds(lambda: wire.decode(answer, deployment)),
        _microseconds(stream) / len(told.events),
    )


def _verify(text: str, usage: Any) -> None:
    assert text == TEXT, text
    assert (usage.input_tokens, usage.output_tokens) == USAGE, usage


def _microseconds(do: Callable[[], object]) -> float:
    """The median of some rounds: what else the machine does falls out."""
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        do()
        took.append(time.perf_counter() - begun)
    return sorted(took)[ROUNDS // 2] * 1e6


def main() -> None:
    """Print a row a wire."""
    print(f"{'wire':<18} {'us/request':>11} {'us/answer':>10} {'us/chunk':>9}")
    for name in TOLD:
        print("{:<18} {:>11.1f} {:>10.1f} {:>9.1f}".format(name, *measure(name)), flush=True)


if __name__ == "__main__":
    main()
