"""What quirks make of a request."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.providers.provider import PROVIDERS
from router.providers.quirks import Quirks
from router.wire.base import HttpRequest
from router.wire.openai.adapt import NEUTRAL
from router.wire.openai.request import encode
from services.errors import GatewayError, Reason

ROWS = sorted(name for name, row in PROVIDERS.items() if row.wire == "openai")


def request_for(
    deployment: Deployment, quirks: Quirks | None, body: dict[str, Any], *, limit: int = 0, **config: Any
) -> HttpRequest:
    quirky = dataclasses.replace(deployment, quirks=quirks, **config)
    return encode(json.dumps(body).encode(), quirky, stream=body.get("stream") is True, output_tokens_limit=limit)


def sent(deployment: Deployment, quirks: Quirks | None, body: dict[str, Any], **config: Any) -> dict[str, Any]:
    members = json.loads(request_for(deployment, quirks, body, **config).body)
    assert members.pop("model") == "gpt-4o-mini"
    assert isinstance(members, dict)
    return members


def messages_sent(deployment: Deployment, quirk: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    quirks = Quirks(messages=(quirk,))  # type: ignore[arg-type]
    result = sent(deployment, quirks, {"messages": messages})["messages"]
    assert isinstance(result, list)
    return result


class TestDrop:
    """What the host does not take."""

    quirks = Quirks(drop=("seed", "tool_choice=required"))

    def test_it_is_refused_by_name(self, deployment: Deployment) -> None:
        with pytest.raises(GatewayError) as caught:
            request_for(deployment, self.quirks, {"seed": 1, "tool_choice": "required"})
        assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
        assert caught.value.param == "seed"
        assert "openai does not take these parameters: seed, tool_choice" in caught.value.message

    @pytest.mark.parametrize("how", ["config", "caller"])
    def test_or_left_out_and_told_where_that_is_wanted(self, deployment: Deployment, how: str) -> None:
        body: dict[str, Any] = {"seed": 1, "tool_choice": "required", "top_p": 0.5}
        config = {"drop_params": True} if how == "config" else {}
        body |= {"drop_params": True} if how == "caller" else {}
        request = request_for(deployment, self.quirks, body, **config)
        assert json.loads(request.body) == {"model": "gpt-4o-mini", "top_p": 0.5}
        assert request.dropped == ("seed", "tool_choice")

    def test_null_and_values_that_are_taken_pass_without_a_word(self, deployment: Deployment) -> None:
        request = request_for(deployment, self.quirks, {"seed": None, "tool_choice": "auto"})
        assert json.loads(request.body) == {"model": "gpt-4o-mini", "tool_choice": "auto"}
        assert request.dropped == ()

    @pytest.mark.parametrize("name", sorted(NEUTRAL))
    def test_a_value_that_asks_for_nothing_is_left_out_without_a_word(self, deployment: Deployment, name: str) -> None:
        request = request_for(deployment, Quirks(drop=(name,)), {name: NEUTRAL[name]})
        assert json.loads(request.body) == {"model": "gpt-4o-mini"}
        assert request.dropped == ()

    @pytest.mark.parametrize("how", ["config", "caller", "extra_body"])
    def test_what_is_allowed_is_sent_all_the_same(self, deployment: Deployment, how: str) -> None:
        config = {"allowed_openai_params": ("seed",)} if how == "config" else {}
        body: dict[str, Any] = {"seed": 1}
        if how == "caller":
            body["allowed_openai_params"] = ["seed"]
        if how == "extra_body":
            body = {"extra_body": {"seed": 1}}
        assert sent(deployment, self.quirks, body, **config) == {"seed": 1}

    def test_usage_is_not_asked_of_a_host_that_would_refuse_the_question(self, deployment: Deployment) -> None:
        body = {"stream": True, "stream_options": {"include_usage": True}}
        request = request_for(deployment, Quirks(drop=("stream_options",)), body)
        assert "stream_options" not in json.loads(request.body)
        assert request.show_usage
        assert request.dropped == ()


class TestDropInAnyCase:
    """`additional_drop_params`, of a deployment or of the caller."""

    def test_members_are_left_out_with_no_quirks_at_all(self, deployment: Deployment) -> None:
        request = request_for(
            deployment,
            None,
            {"seed": 1, "user": "u", "top_p": 1, "additional_drop_params": ["user"]},
            additional_drop_params=("seed", "absent"),
        )
        assert json.loads(request.body) == {"model": "gpt-4o-mini", "top_p": 1}
        assert request.dropped == ("seed", "user")

    def test_so_are_members_of_members(self, deployment: Deployment) -> None:
        tools = [{"type": "function", "function": {"name": "f", "strict": True}}]
        found = sent(deployment, None, {"tools": tools}, additional_drop_params=("tools[*].function.strict",))
        assert found == {"tools": [{"type": "function", "function": {"name": "f"}}]}

    def test_a_caller_cannot_lift_the_limit_that_the_hold_pays_for(self, deployment: Deployment) -> None:
        body = {"max_tokens": 5, "additional_drop_params": ["max_tokens"]}
        assert sent(deployment, None, body) == {"max_tokens": 5}
        assert sent(deployment, None, body, additional_drop_params=("max_tokens",)) == {}

    def test_what_was_admitted_stays(self, deployment: Deployment) -> None:
        kept = ("model", "messages", "stream", "n")
        body = {"messages": [], "stream": True, "n": 2}
        assert sent(deployment, None, body, additional_drop_params=kept).keys() >= {"messages", "stream", "n"}


class TestMembers:
    """What is sent in another form."""

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"max_completion_tokens": 5}, {"max_tokens": 5}),
            ({"max_completion_tokens": 5, "max_tokens": 3}, {"max_tokens": 5}),
            ({"max_completion_tokens": None, "max_tokens": 3}, {"max_tokens": 3}),
            ({"max_completion_tokens": 5, "max_tokens": None}, {"max_tokens": 5}),
            ({"max_tokens": 3}, {"max_tokens": 3}),
            ({}, {}),
        ],
    )
    def test_a_member_is_called_what_the_host_calls_it(
        self, deployment: Deployment, given: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert sent(deployment, Quirks(rename={"max_completion_tokens": "max_tokens"}), given) == expected

    def test_a_limit_that_the_hold_imposes_is_too(self, deployment: Deployment) -> None:
        quirks = Quirks(rename={"max_tokens": "max_completion_tokens"})
        assert sent(deployment, quirks, {}, limit=50) == {"max_completion_tokens": 50}
        assert sent(deployment, quirks, {"max_tokens": 80}, limit=50) == {"max_completion_tokens": 50}

    @pytest.mark.parametrize(
        ("given", "expected"), [(2, 1), (1, 1), (0.5, 0.5), (-1, 0), ("hot", "hot"), (True, True), (None, None)]
    )
    def test_a_number_is_kept_within_bounds(self, deployment: Deployment, given: object, expected: object) -> None:
        assert sent(deployment, Quirks(clamp={"temperature": (0, 1)}), {"temperature": given}) == {
            "temperature": expected
        }

    def test_values_have_the_hosts_own_words(self, deployment: Deployment) -> None:
        quirks = Quirks(values={"tool_choice": {"required": "any"}})
        assert sent(deployment, quirks, {"tool_choice": "required"}) == {"tool_choice": "any"}
        assert sent(deployment, quirks, {"tool_choice": "auto"}) == {"tool_choice": "auto"}
        assert sent(deployment, quirks, {"tool_choice": {"type": "function"}}) == {"tool_choice": {"type": "function"}}

    def test_defaults_yield_and_what_is_forced_does_not(self, deployment: Deployment) -> None:
        quirks = Quirks(default={"top_k": 4, "seed": 1}, force={"store": False})
        assert sent(deployment, quirks, {"seed": 2, "store": True}) == {"seed": 2, "top_k": 4, "store": False}

    def test_a_deployments_extra_body_has_the_last_word(self, deployment: Deployment) -> None:
        quirks = Quirks(drop=("seed",), force={"store": False})
        assert sent(deployment, quirks, {}, extra_body={"seed": 7, "store": True}) == {"seed": 7, "store": True}


class TestMessages:
    """Messages as hosts take them."""

    def test_a_developer_is_a_system(self, deployment: Deployment) -> None:
        given = {"role": "developer", "content": "x"}, {"role": "user", "content": "developer"}
        assert messages_sent(deployment, "developer_as_system", *given) == [
            {"role": "system", "content": "x"},
            given[1],
        ]

    def test_a_list_of_texts_is_one_text(self, deployment: Deployment) -> None:
        texts = {"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}
        image = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "u"}]}
        assert messages_sent(deployment, "flatten_content", texts, image) == [{"role": "user", "content": "a b"}, image]

    def test_names_are_left_out_but_for_tools(self, deployment: Deployment) -> None:
        given = {"role": "user", "name": "ann", "content": "x"}, {"role": "tool", "name": "f", "content": "y"}
        assert messages_sent(deployment, "no_names", *given) == [{"role": "user", "content": "x"}, given[1]]

    def test_cache_marks_are_left_out_everywhere(self, deployment: Deployment) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        body = {
            "messages": [{"role": "user", **mark, "content": [{"type": "text", "text": "a", **mark}]}],
            "tools": [{"type": "function", **mark, "function": {"name": "f", **mark}}],
        }
        assert sent(deployment, Quirks(messages=("no_cache_control",)), body) == {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        }

    @pytest.mark.parametrize(
        ("quirks", "expected"),
        [
            (("reasoning",), {"content": "a", "thinking_blocks": [], "reasoning": "why"}),
            (("reasoning", "no_reasoning"), {"content": "a", "reasoning": "why"}),
            (("no_reasoning",), {"content": "a"}),
            (
                ("no_reasoning", "reasoning_as_part"),
                {
                    "content": [
                        {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]},
                        {"type": "text", "text": "a"},
                    ]
                },
            ),
        ],
    )
    def test_reasoning_goes_back_in_the_hosts_form(
        self, deployment: Deployment, quirks: Any, expected: dict[str, Any]
    ) -> None:
        message = {"role": "assistant", "content": "a", "reasoning_content": "why", "thinking_blocks": []}
        result = sent(deployment, Quirks(messages=quirks), {"messages": [message]})
        assert result["messages"] == [{"role": "assistant", **expected}]

    def test_what_another_provider_gave_and_wants_back_is_left_out(self, deployment: Deployment) -> None:
        own = {"provider_specific_fields": {"thought_signature": "s"}, "extra_content": {"google": {}}}
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"images": "citations"}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        other = {"role": "user", "content": [{"type": "text", "text": "x", "citations": {"enabled": True}}]}
        given = {**message, **own, "citations": [{}], "images": [], "tool_calls": [{**call, **own}]}, other
        assert messages_sent(deployment, "no_extensions", *given) == [message, other]

    def test_of_openais_answers_only_the_words_go_back_to_hosts_that_are_strict(self, deployment: Deployment) -> None:
        nulls = dict.fromkeys(("audio", "function_call", "tool_calls"))
        part = {"type": "refusal", "refusal": "No."}
        given = (
            {"role": "assistant", "content": None, "refusal": "No.", "annotations": [{}], **nulls},
            {"role": "assistant", "content": "So", "refusal": None, "parsed": {"a": 1}},
            {"role": "assistant", "content": [{"type": "text", "text": "So"}, part]},
            {"role": "assistant", "content": "", "refusal": "No.", "function_call": {"name": "f", "arguments": ""}},
        )
        assert messages_sent(deployment, "words_only", *given) == [
            {"role": "assistant", "content": "No."},
            {"role": "assistant", "content": "So"},
            {"role": "assistant", "content": [{"type": "text", "text": "So"}, {"type": "text", "text": "No."}]},
            {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": ""}},
        ]

    def test_messages_without_anything_to_change_keep_their_bytes(self, deployment: Deployment) -> None:
        quirks = PROVIDERS["mistral"].quirks
        messages = b'[ {"role":"user" , "content":"\\u0041 developer"} ]'
        body = b'{"model":"g","messages":' + messages + b"}"
        request = encode(body, dataclasses.replace(deployment, quirks=quirks), stream=False, output_tokens_limit=0)
        assert messages in request.body

    @pytest.mark.parametrize(
        "messages", ["developer", {"role": "developer"}, [1, "developer"], [{"role": ["developer"]}]]
    )
    def test_what_are_no_messages_is_left_for_the_host_to_refuse(
        self, deployment: Deployment, messages: object
    ) -> None:
        quirks = Quirks(messages=("developer_as_system", "no_cache_control", "flatten_content"))
        assert sent(deployment, quirks, {"messages": messages}) == {"messages": messages}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("role", "content", "type", "text", "name", "reasoning_content", "cache_control", "function"),
                    *("tool_calls", "extra_content", "images", "refusal", "annotations", "audio"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
ANY_ROWS = (
    *("messages", "tools", "temperature", "seed", "n", "stop", "tool_choice", "max_completion_tokens", "extra_body"),
    *("additional_drop_params", "allowed_openai_params", "stream_options", "response_format", "reasoning"),
)


def spoken_of(row: str) -> list[str]:
    """The members of which a row's quirks speak, beside those that matter for all."""
    quirks = PROVIDERS[row].quirks
    own = {*quirks.clamp, *quirks.rename, *quirks.values, *(entry.partition("=")[0] for entry in quirks.drop)}
    return sorted({*ANY_ROWS, *own})


# Of the rows that set or bound a member's value there are few.
READING = [row for row in ROWS if PROVIDERS[row].quirks.clamp or PROVIDERS[row].quirks.values]


@given(data=st.data(), row=st.sampled_from(READING) | st.sampled_from(ROWS), drops=st.booleans() | json_values)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_object_makes_it_raise_anything_else(
    deployment: Deployment, data: st.DataObject, row: str, drops: object
) -> None:
    quirks = PROVIDERS[row].quirks
    read = sorted({*quirks.clamp, *quirks.values}) or spoken_of(row)
    names = st.sampled_from(read) | st.sampled_from(spoken_of(row))
    body = data.draw(st.dictionaries(names, json_values, max_size=6))
    with contextlib.suppress(GatewayError):
        request_for(deployment, quirks, {"drop_params": drops, **body})


valid_bodies = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["system", "developer", "user", "assistant"]), "content": st.text()},
                optional={"name": st.text(), "reasoning_content": st.text()},
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "temperature": st.floats(0, 2),
        "seed": st.integers(0, 2**31),
        "max_completion_tokens": st.integers(1, 10_000),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "logprobs": st.booleans(),
    },
)


@given(row=st.sampled_from(ROWS), body=valid_bodies)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_params_are_dropped_no_row_refuses_a_valid_call(
    deployment: Deployment, row: str, body: dict[str, Any]
) -> None:
    """And what is neither told as dropped nor renamed nor neutral arrives."""
    quirks = PROVIDERS[row].quirks
    request = request_for(deployment, quirks, body, drop_params=True)
    result = json.loads(request.body)
    assert len(result["messages"]) == len(body["messages"])
    for name, value in body.items():
        if name == "messages" or name in request.dropped or NEUTRAL.get(name) == value:
            continue
        own = quirks.rename.get(name, name)
        least, greatest = quirks.clamp.get(name, (value, value))
        assert result[own] == min(max(value, least), greatest)


def test_what_cannot_be_read_is_left_for_the_host_to_refuse(deployment: Deployment) -> None:
    body = b'{"reasoning_effort": "\xff", "messages": [], "tools": [{"function": 3, "cache_control": {}}]}'
    quirks = Quirks(values={"reasoning_effort": {"none": "low"}}, messages=("no_cache_control",))
    quirky = dataclasses.replace(deployment, quirks=quirks)
    sent = encode(body, quirky, stream=False, output_tokens_limit=0).body
    assert b'"reasoning_effort":"\xff"' in sent
    assert b'"tools":[{"function":3}]' in sent
