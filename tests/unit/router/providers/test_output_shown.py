"""Which models show all that they generate."""

from __future__ import annotations

import pytest

from router.providers.output_shown import shows_all_output


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "openai/gpt-4.1", "claude-3-5-haiku-20241022", "GPT-4o", "llama-3.1-8b"]
)
def test_models_that_write_what_they_are_paid_for(model: str) -> None:
    assert shows_all_output(model)


@pytest.mark.parametrize(
    "model",
    [
        "o3",
        "gpt-5",
        "claude-3-7-sonnet-latest",
        "gpt-4o-audio-preview",
        "gemini-2.0-flash-thinking-exp",
        "unheard-of",
        "",
    ],
)
def test_models_that_reason_or_speak_and_those_nobody_knows_do_not(model: str) -> None:
    assert not shows_all_output(model)
