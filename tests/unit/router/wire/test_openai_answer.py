"""What quirks make of an answer, whole and in a stream."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.providers.quirks import AnswerQuirk, Quirks
from router.wire.base import StreamEnd
from router.wire.openai.answer import FINISH_REASONS, MAX_TOOL_CALLS, AnswerFixes
from router.wire.openai.response import decode
from router.wire.openai.stream import ChatStream
from services.errors import GatewayError

ALL: tuple[AnswerQuirk, ...] = ("reasoning", "content_parts", "think_tags", "tool_calls", "words", "usage")


def with_quirks(deployment: Deployment, *answer: AnswerQuirk) -> Deployment:
    return dataclasses.replace(deployment, quirks=Quirks(answer=answer))


def whole(deployment: Deployment, message: dict[str, Any], *answer: AnswerQuirk, **choice: Any) -> dict[str, Any]:
    """The first choice of a whole answer with this message, after the quirks."""
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
    }
    result = json.loads(decode(json.dumps(body).encode(), with_quirks(deployment, *answer)).body)["choices"][0]
    assert isinstance(result, dict)
    return result


def event(delta: dict[str, Any], *, finish: str | None = None, index: int = 0, **members: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **members}).encode() + b"\n\n"


def run(deployment: Deployment, pieces: list[bytes], *answer: AnswerQuirk) -> tuple[list[Any], StreamEnd]:
    stream = ChatStream(with_quirks(deployment, *answer), show_usage=True)
    out = b"".join(stream.feed(piece).out for piece in pieces)
    end = stream.close()
    events = (out + end.out).decode().split("\n\n")
    return [json.loads(each.removeprefix("data: ")) for each in events if each.startswith("data: ")], end


def joined(events: list[Any], member: str, index: int = 0) -> str:
    deltas = [choice["delta"] for each in events for choice in each["choices"] if choice.get("index") == index]
    return "".join(delta.get(member) or "" for delta in deltas)


class TestReasoning:
    """`reasoning` is told as `reasoning_content`."""

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ({"reasoning": "why", "content": "a"}, {"content": "a", "reasoning_content": "why"}),
            ({"reasoning": "why", "reasoning_content": None}, {"reasoning_content": "why"}),
            ({"reasoning": "x", "reasoning_content": "why"}, {"reasoning_content": "why"}),
            ({"reasoning": None, "content": "a"}, {"content": "a"}),
            ({"reasoning": {"kept": 1}}, {"reasoning": {"kept": 1}}),
            ({"reasoning_details": [{"type": "x"}]}, {"reasoning_details": [{"type": "x"}]}),
        ],
    )
    def test_of_a_message(self, deployment: Deployment, message: dict[str, Any], expected: dict[str, Any]) -> None:
        assert whole(deployment, message, "reasoning")["message"] == expected

    def test_of_a_stream(self, deployment: Deployment) -> None:
        plain = event({"content": "a"})
        events, end = run(
            deployment,
            [event({"reasoning": "w"}), event({"reasoning": "hy"}) + plain, event({}, finish="stop")],
            "reasoning",
        )
        assert joined(events, "reasoning_content") == "why"
        assert joined(events, "reasoning") == ""
        assert end.content_bytes == len("why" + "a")


class TestContent:
    """Content is a text."""

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("a", {"content": "a"}),
            (None, {"content": None}),
            ([], {"content": ""}),
            ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"content": "ab"}),
            (["a", {"type": "text", "text": "b"}], {"content": "ab"}),
            (
                [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}, {"type": "text", "text": "a"}],
                {"content": "a", "reasoning_content": "why"},
            ),
            ([{"type": "thinking", "thinking": "why"}], {"content": None, "reasoning_content": "why"}),
            (
                [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why", "signature": "s"}]},
                    {"type": "text", "text": "a"},
                ],
                {"content": "a", "reasoning_content": "why"},
            ),
            ([{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}], {"content": "a"}),
            ({"name": "Ada"}, {"content": '{"name":"Ada"}'}),
            ([{"type": "text"}, 7, {"text": 7}], {"content": ""}),
        ],
    )
    def test_whatever_parts_it_came_in(self, deployment: Deployment, content: Any, expected: dict[str, Any]) -> None:
        assert whole(deployment, {"content": content}, "content_parts")["message"] == expected
        if isinstance(content, list | dict):
            events, _ = run(deployment, [event({"content": content}), event({}, finish="stop")], "content_parts")
            assert events[0]["choices"][0]["delta"] == expected


class TestThinkTags:
    """Thinking in tags at the start is told as `reasoning_content`."""

    CASES = (
        ("<think>why</think>\n\nbecause", "because", "why"),
        ("  \n<think>\nwhy\n</think>because", "because", "\nwhy\n"),
        ("<thinking>why</thinking>because", "because", "why"),
        ("<think></think>because", "because", ""),
        ("plain", "plain", ""),
        ("<this> is <think>no</think>", "<this> is <think>no</think>", ""),
        ("a <think>later</think>", "a <think>later</think>", ""),
        ("<think>a < b </thin> c</think>d", "d", "a < b </thin> c"),
        ("<th", "<th", ""),
        ("", "", ""),
    )

    @pytest.mark.parametrize(("content", "text", "thinking"), CASES)
    def test_whole(self, deployment: Deployment, content: str, text: str, thinking: str) -> None:
        message = whole(deployment, {"content": content}, "think_tags")["message"]
        assert (message["content"], message.get("reasoning_content", "")) == (text, thinking)

    def test_a_whole_answer_that_is_all_thinking_is_left_as_it_is(self, deployment: Deployment) -> None:
        message = {"content": "<think>cut off"}
        assert whole(deployment, message, "think_tags", finish_reason="length")["message"] == message

    @given(case=st.sampled_from(CASES), cuts=st.lists(st.integers(0, 40), max_size=6))
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_in_a_stream_however_it_is_cut(
        self, deployment: Deployment, case: tuple[str, str, str], cuts: list[int]
    ) -> None:
        content, text, thinking = case
        places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
        pieces = [event({"content": content[start:end]}) for start, end in itertools.pairwise(places)]
        events, end = run(deployment, [*pieces, event({}, finish="stop")], "think_tags")
        assert (joined(events, "content"), joined(events, "reasoning_content")) == (text, thinking)
        assert end.error is None

    def test_choices_do_not_disturb_one_another(self, deployment: Deployment) -> None:
        pieces = [
            event({"content": "<thi"}),
            event({"content": "<think>b"}, index=1),
            event({"content": "nk>a</think>A"}),
            event({"content": "</think>B"}, index=1),
            event({}, finish="stop") + event({}, finish="stop", index=1),
        ]
        events, _ = run(deployment, pieces, "think_tags")
        assert [joined(events, "content", index) for index in (0, 1)] == ["A", "B"]
        assert [joined(events, "reasoning_content", index) for index in (0, 1)] == ["a", "b"]

    def test_thinking_that_a_stream_never_ends_is_thinking(self, deployment: Deployment) -> None:
        events, _ = run(
            deployment, [event({"content": "<think>wh"}), event({"content": "y</th"}, finish="length")], "think_tags"
        )
        assert (joined(events, "content"), joined(events, "reasoning_content")) == ("", "why</th")


class TestToolCalls:
    """Calls have an index, an id, a type, and arguments that are a text of JSON."""

    def test_of_a_message(self, deployment: Deployment) -> None:
        calls = [
            {"function": {"name": "f", "arguments": {"a": 1}}},
            {"id": "x", "type": "function", "function": {"name": "g", "arguments": ""}},
            {"id": "y", "function": {"name": "h", "arguments": None}},
        ]
        message = whole(deployment, {"content": None, "tool_calls": calls}, "tool_calls")["message"]
        assert message["tool_calls"] == [
            {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "x", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            {"id": "y", "type": "function", "function": {"name": "h", "arguments": "{}"}},
        ]

    def test_of_a_stream(self, deployment: Deployment) -> None:
        pieces = [
            event({"tool_calls": [{"function": {"name": "f", "arguments": '{"a"'}}]}),
            event({"tool_calls": [{"function": {"arguments": ":1}"}}]}),
            event({"tool_calls": [{"id": "x", "function": {"name": "g", "arguments": ""}}]}),
            event({}, finish="tool_calls"),
        ]
        events, _ = run(deployment, pieces, "tool_calls")
        calls = [call for each in events for call in each["choices"][0]["delta"].get("tool_calls", ())]
        assert calls == [
            {"index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a"'}},
            {"index": 0, "function": {"arguments": ":1}"}},
            {"index": 1, "id": "x", "type": "function", "function": {"name": "g", "arguments": ""}},
            {"index": 1, "function": {"arguments": "{}"}},
        ]

    def test_a_call_that_the_limit_cut_off_gets_no_arguments(self, deployment: Deployment) -> None:
        started = event({"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f", "arguments": ""}}]})
        events, _ = run(deployment, [started, event({}, finish="length")], "tool_calls")
        assert "tool_calls" not in events[-1]["choices"][0]["delta"]

    @pytest.mark.parametrize("index", [-1, MAX_TOOL_CALLS, 10**30])
    def test_no_index_makes_it_grow_without_end(self, deployment: Deployment, index: int) -> None:
        call = {"index": index, "function": {"arguments": "x"}}
        events, _ = run(deployment, [event({"tool_calls": [call]})], "tool_calls")
        assert events[0]["choices"][0]["delta"]["tool_calls"] == [call]

    @pytest.mark.parametrize("index", ["0", None, 1.5])
    def test_an_index_that_is_none_is_that_of_the_last_call(self, deployment: Deployment, index: object) -> None:
        events, _ = run(
            deployment, [event({"tool_calls": [{"index": index, "function": {"arguments": "x"}}]})], "tool_calls"
        )
        assert [call["index"] for call in events[0]["choices"][0]["delta"]["tool_calls"]] == [0]


class TestWords:
    """The words of the frame are OpenAI's."""

    @pytest.mark.parametrize(
        ("given_reason", "reason"), [*FINISH_REASONS.items(), ("length", "length"), ("new", "new")]
    )
    def test_finish_reason(self, deployment: Deployment, given_reason: str, reason: str) -> None:
        assert whole(deployment, {"content": "a"}, "words", finish_reason=given_reason)["finish_reason"] == reason
        if given_reason:
            events, end = run(deployment, [event({"content": "a"}, finish=given_reason)], "words")
            assert events[0]["choices"][0]["finish_reason"] == end.finish_reason == reason

    def test_an_end_with_calls_is_told_as_such(self, deployment: Deployment) -> None:
        call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        assert whole(deployment, {"tool_calls": [call]}, "tool_calls")["finish_reason"] == "tool_calls"
        pieces = [event({"tool_calls": [{"index": 0, **call}]}), event({}, finish="stop")]
        assert run(deployment, pieces, "tool_calls")[1].finish_reason == "tool_calls"

    def test_service_tier_and_object(self, deployment: Deployment) -> None:
        pieces = [
            event({"content": "a"}, service_tier="on_demand", object="chat.completion.done"),
            event({}, finish="stop", service_tier="flex", object="chat.completion.chunk"),
        ]
        events, _ = run(deployment, pieces, "words")
        assert [each["service_tier"] for each in events] == ["default", "flex"]
        assert {each["object"] for each in events} == {"chat.completion.chunk"}


def test_counts_that_are_not_known_yet_are_no_nulls(deployment: Deployment) -> None:
    running = {"prompt_tokens": 5, "completion_tokens": None, "total_tokens": None, "cost": None}
    events, end = run(deployment, [event({"content": "a"}, usage=running)], "usage")
    assert events[0]["usage"] == {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 0, "cost": None}
    assert end.usage is not None
    assert end.usage.input_tokens == 5


@pytest.mark.parametrize("word", ["num_cached_tokens", "prompt_cache_hit_tokens", "cached_tokens"])
def test_cached_input_is_told_where_openai_tells_it(deployment: Deployment, word: str) -> None:
    tokens = {"prompt_tokens": 5, "completion_tokens": 1, word: 4}
    events, end = run(deployment, [event({"content": "a"}, finish="stop", usage=tokens)], "usage")
    assert events[0]["usage"] == {**tokens, "prompt_tokens_details": {"cached_tokens": 4}}
    assert end.usage is not None
    assert end.usage.cache_read_tokens == 4
    told = {**tokens, "prompt_tokens_details": {"cached_tokens": 3}}
    assert run(deployment, [event({"content": "a"}, finish="stop", usage=told)], "usage")[0][0]["usage"] == told


def test_events_that_no_quirk_speaks_of_keep_their_bytes(deployment: Deployment) -> None:
    stream = ChatStream(with_quirks(deployment, "reasoning", "content_parts", "usage"), show_usage=True)
    events = b'data: {"choices": [ {"delta":{"content":"a"},"logprobs":1.0e0} ]}\n\n: note\n\n'
    assert stream.feed(events).out == events
    assert stream.feed(events).out == events


def test_usage_in_x_groq_counts_where_there_is_no_other(deployment: Deployment) -> None:
    tokens = {"prompt_tokens": 3, "completion_tokens": 4}
    _, end = run(deployment, [event({"content": "a"}, finish="stop", x_groq={"id": "r", "usage": tokens})])
    assert end.usage is not None
    assert (end.usage.input_tokens, end.usage.output_tokens) == (3, 4)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "<think>", "a", "stop"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "index",
                    "delta",
                    "message",
                    "content",
                    "reasoning",
                    "tool_calls",
                    "function",
                    "arguments",
                    "name",
                    "finish_reason",
                    "usage",
                    "type",
                    "text",
                    "thinking",
                    "summary",
                    "service_tier",
                    "x_groq",
                    "prompt_tokens",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


call = st.dictionaries(st.sampled_from(["index", "function"]), json_values)
part = st.fixed_dictionaries(
    {},
    optional={"content": json_values, "reasoning": json_values, "tool_calls": st.lists(call, max_size=3) | json_values},
)
choice = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("index", "finish_reason"), json_values),
        **dict.fromkeys(("delta", "message"), part | json_values),
    },
)
# What is nearly an answer, with anything in its places.
nearly = st.fixed_dictionaries(
    {"choices": st.lists(choice | json_values, max_size=3) | json_values},
    optional=dict.fromkeys(("usage", "service_tier", "x_groq"), json_values),
)


@given(body=json_values | nearly)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_makes_it_raise_anything_else(deployment: Deployment, body: object) -> None:
    text = json.dumps(body).encode()
    with contextlib.suppress(GatewayError):
        decode(text, with_quirks(deployment, *ALL))
    run(deployment, [b"data: " + text + b"\n\n"], *ALL)


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_it_raise_anything_else(deployment: Deployment, body: bytes) -> None:
    with contextlib.suppress(GatewayError):
        decode(body, with_quirks(deployment, *ALL))
    stream = ChatStream(with_quirks(deployment, *ALL), show_usage=True)
    stream.feed(b'data: {"content": "' + body + b"\n\n")
    stream.close()


def test_what_is_out_of_form_is_passed_over() -> None:
    """Choices, messages, calls and functions that are no objects; a comment that looks like an answer."""
    fixes = AnswerFixes(ALL)
    comment = b': {"tool_calls": [{}]}\n\n'
    assert fixes.event(comment) == comment
    calls = [{"id": "d", "function": {"name": "g", "arguments": {"a": 1}}}, {"id": "c", "function": "f"}, 3]
    choices = [3, {"index": 0, "delta": None}, {"index": 1, "delta": {"tool_calls": calls}}]
    event = fixes.event(b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n")
    fixed = json.loads(event.removeprefix(b"data: "))["choices"]
    assert fixed[:2] == choices[:2]
    first, *others = fixed[2]["delta"]["tool_calls"]
    assert first["function"] == {"name": "g", "arguments": '{"a":1}'}
    assert others == calls[1:]
