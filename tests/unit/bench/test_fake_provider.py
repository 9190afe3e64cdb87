"""The fake provider's model names say how it answers."""

from __future__ import annotations

import json

import pytest

from bench.fake_provider import INPUT_TOKENS, plan


def body_of(response: bytes) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(response.partition(b"\r\n\r\n")[2])
    return parsed


def test_a_name_says_tokens_gap_delay_and_padding() -> None:
    answer = plan("fake-3x5-after50-pad40")
    assert (answer.tokens, answer.gap_seconds, answer.first_seconds) == (3, 0.005, 0.05)
    assert len(answer.events) == 3
    assert b"." * 40 in answer.events[0]
    assert body_of(answer.unary)["usage"] == {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": 3,
        "total_tokens": INPUT_TOKENS + 3,
    }


@pytest.mark.parametrize("name", ["gpt-4o", "fake-", "fake-3", "fake-3x5-after", "fake-3x5-often", "fake-99999x1"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not fake-"):
        plan(name)
