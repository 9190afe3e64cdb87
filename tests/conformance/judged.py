"""What a whole gateway made of the recorded traffic: each exchange sent through it, and what differs.

An exchange passes when the provider was asked for what the recording asked, and the caller is told what the
recording's `expect` says. The recordings' own README says what each member means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.reading import vectors_in
from tests.recordings import Exchange

# What a caller can see of an answer; of which operation, the answer itself says. What a recording knows beside it is
# about operations that are not served.
_SEEN = (
    "embedding_count",
    "dims",
    "first_values",
    "results",
    "text",
    "tool_calls",
    "finish_reason",
    "reasoning",
    "reasoning_text",
    "refusal",
    "n_choices",
    "choice_texts",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def free_members(exchange: Exchange) -> set[str]:
    """Of the request, what may differ from the recorded one, as JSON pointers."""
    asked = exchange["request"]["body"]
    # The gateway asks every stream for its usage: it is paid for.
    free = set() if "stream_options" in asked else {"/streamOptions"}
    # Azure's address names the deployment, and its body any model, or none.
    return free | {"/model"} if exchange["provider"] == "azure" else free


def problems_of(
    exchange: Exchange, status: int, headers: Mapping[str, str], body: bytes, seen: list[dict[str, Any]]
) -> list[str]:
    """Everything that differs, in words. seen: what the provider was asked."""
    free = free_members(exchange)
    different = [each for call in seen[:1] for each in call["diff"] or () if each["at"] not in free]
    problems = [f"asked: {each['at']}: {_short(each)}" for each in different]
    if not seen:
        problems.append("asked: nothing")
    expected = exchange["expect"]
    if "error" in expected:
        return problems + list(_wrong_error(expected["error"], status, headers, body))
    if status != 200:
        return [*problems, f"status {status}: {body[:200].decode(errors='replace')}"]
    facts, error = (_of_stream if exchange["stream"] else _of_answer)(body)
    if "stream_error" in expected:
        return problems if error else [*problems, "no error in the stream"]
    if error:
        return [*problems, f"error in the stream: {_short(error)}"]
    return problems + [
        f"{name}: {_short(facts.get(name))} for {_short(expected[name])}"
        for name in _SEEN
        if name in expected and facts.get(name) not in [expected[name], *expected.get(f"{name}_any", ())]
    ]


def _wrong_error(expected: dict[str, Any], status: int, headers: Mapping[str, str], body: bytes) -> Iterable[str]:
    if status not in (expected["status"], *expected.get("status_any", ())):
        yield f"error status: {status} for {expected['status']}"
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        yield f"error: {body[:200]!r}"
        return
    if error["type"] not in expected["openai_type_any"]:
        yield f"error type: {error['type']} for {expected['openai_type_any']}"
    words = (expected.get("message") or "")[:60]
    if words and words not in error["message"]:
        yield f"error message: {_short(error['message'])} for {_short(expected['message'])}"
    if "retry_after" in expected and "retry-after" not in headers:
        yield "error: no Retry-After"


def _of_answer(body: bytes) -> tuple[dict[str, Any], None]:
    answer = json.loads(body)
    if "results" in answer:
        rows = [{"index": row["index"], "score": row["relevance_score"]} for row in answer["results"]]
        return {"results": rows}, None
    if "data" in answer:
        return _vector_facts(answer), None
    choices = answer["choices"]
    return _facts(answer, [{**choice["message"], "finish_reason": choice["finish_reason"]} for choice in choices]), None


def _of_stream(body: bytes) -> tuple[dict[str, Any], Any]:
    """The answer that a caller puts together from a stream; or the error in it."""
    choices: dict[int, dict[str, Any]] = {}
    last: dict[str, Any] = {}
    for event in body.decode().split("\n\n"):
        # Lines that begin with a colon are comments: some providers keep a connection alive by them.
        data = "".join(line.removeprefix("data:") for line in event.split("\n") if line.startswith("data:")).strip()
        if not data or data == "[DONE]":
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            return {}, chunk["error"]
        last["model"] = chunk.get("model") or last.get("model")
        last["usage"] = chunk.get("usage") or last.get("usage")
        for choice in chunk["choices"]:
            _add(choices.setdefault(choice["index"], {"tool_calls": []}), choice)
    if b"data: [DONE]" not in body:
        return {}, "the stream has no end"
    return _facts(last, [choices[index] for index in sorted(choices)]), None


def _add(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    delta = choice.get("delta") or {}
    for name in ("content", "reasoning_content", "refusal"):
        if delta.get(name):
            whole[name] = whole.get(name, "") + delta[name]
    for call in delta.get("tool_calls") or ():
        calls = whole["tool_calls"]
        # As the OpenAI SDK does: by the index.
        while len(calls) <= call["index"]:
            calls.append({"function": {"name": "", "arguments": ""}})
        function = call.get("function") or {}
        for name in ("name", "arguments"):
            calls[call["index"]]["function"][name] += function.get(name) or ""
    whole["finish_reason"] = choice.get("finish_reason") or whole.get("finish_reason")


def _facts(answer: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    first = choices[0] if choices else {}
    usage = answer.get("usage") or {}
    reasoning = first.get("reasoning_content") or ""
    details = usage.get("prompt_tokens_details") or {}
    return {
        "text": first.get("content") or "",
        "tool_calls": [_call(call["function"]) for call in first.get("tool_calls") or ()],
        "finish_reason": first.get("finish_reason"),
        "reasoning": bool(reasoning),
        "reasoning_text": reasoning,
        "refusal": first.get("refusal"),
        "n_choices": len(choices),
        "choice_texts": [choice.get("content") or "" for choice in choices],
        "model": answer.get("model"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cached_tokens": details.get("cached_tokens") or 0,
        "cache_write_tokens": details.get("cache_creation_tokens") or usage.get("cache_creation_input_tokens") or 0,
        "reasoning_tokens": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    }


def _vector_facts(answer: dict[str, Any]) -> dict[str, Any]:
    vectors = vectors_in(answer)
    return {
        "embedding_count": len(vectors),
        "dims": len(vectors[0]),
        "first_values": vectors[0][:4],
        "prompt_tokens": answer["usage"]["prompt_tokens"],
    }


def _call(function: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"name": function["name"], "arguments": json.loads(function["arguments"] or "{}")}
    except ValueError:
        return {"name": function["name"], "arguments_text": function["arguments"]}


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:159]}…"
