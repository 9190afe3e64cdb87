"""The largest answers of well-known models."""

import pytest

from router.providers.output_limits import OUTPUT_LIMITS, output_limit


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 16_384),
        ("gpt-4o-mini-2024-07-18", 16_384),
        ("openai/gpt-4o", 16_384),
        ("gpt-4-0613", 8_192),
        ("gpt-4-turbo-2024-04-09", 4_096),
        ("gpt-4.1-nano", 32_768),
        ("o1-mini", 65_536),
        ("o1-2024-12-17", 100_000),
        ("anthropic/claude-3-5-sonnet-20241022", 8_192),
        ("Qwen/Qwen2.5-7B-Instruct", 0),
        ("", 0),
    ],
)
def test_the_longest_beginning_decides(model: str, tokens: int) -> None:
    assert output_limit(model) == tokens


def test_no_beginning_is_listed_twice() -> None:
    beginnings = [beginning for beginning, _ in OUTPUT_LIMITS]
    assert len(beginnings) == len(set(beginnings))
