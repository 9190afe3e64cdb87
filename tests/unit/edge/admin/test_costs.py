"""How many tokens messages are, about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.admin.costs import estimated_tokens
from tests.strategies import JSON

MESSAGE = st.dictionaries(st.sampled_from(["role", "name", "content"]) | st.text(), JSON, max_size=4)


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        ([], 3),
        ([{"role": "user", "content": "hi"}], 3 + 3 + 1 + 1),
        ([{"role": "user", "name": "ada", "content": "hi"}], 3 + 3 + 1 + 1 + 1 + 1),
        ([{"role": "user", "content": [{"type": "text", "text": "x" * 9}, {"type": "image_url"}]}], 3 + 3 + 1 + 3),
        ([{"role": "assistant", "content": None}], 3 + 3 + 3),
    ],
)
def test_four_bytes_are_a_token_and_the_format_has_its_own(messages: list[dict[str, object]], tokens: int) -> None:
    assert estimated_tokens(messages) == tokens


@given(st.lists(MESSAGE, max_size=6))
def test_any_messages_can_be_counted(messages: list[dict[str, object]]) -> None:
    assert estimated_tokens(messages) >= 3 + 3 * len(messages)
