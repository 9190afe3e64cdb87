"""What a caller hears of a model that does not exist."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.routing.near import near_names, unknown_model_message

NAMES = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "claude-3-5-sonnet", "gpt-4o-2024-08-06"]


def test_the_likest_come_first_and_at_most_three() -> None:
    assert near_names("gpt-4o-min", NAMES)[0] == "gpt-4o-mini"
    assert len(near_names("gpt-4", NAMES)) == 3


def test_case_does_not_count_but_is_kept() -> None:
    assert near_names("LLAMA-3", ["Llama-3"]) == ["Llama-3"]


def test_the_message_is_litellms_with_near_names_added() -> None:
    message = unknown_model_message("claude-sonnet", NAMES)
    assert message == (
        "litellm.BadRequestError: You passed in model=claude-sonnet. There are no healthy deployments for this model."
        " Did you mean claude-3-5-sonnet?"
    )


def test_without_near_names_it_is_litellms_alone() -> None:
    message = unknown_model_message("nope-model", NAMES)
    assert message == (
        "litellm.BadRequestError: You passed in model=nope-model. There are no healthy deployments for this model"
    )


@given(st.text(max_size=1000), st.lists(st.text(max_size=20), max_size=10))
def test_any_name_gets_an_answer_of_bounded_size(asked: str, names: list[str]) -> None:
    message = unknown_model_message(asked, names)
    assert "There are no healthy deployments for this model" in message
    assert len(message) < 500
    assert set(near_names(asked, names)) <= set(names)
