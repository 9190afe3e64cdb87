"""The tokens of a usage, class by class, as `money.Rates` prices them: disjoint, and together all of them. Pure."""

from __future__ import annotations

from gateway.v1.common_pb2 import TokenUsage


def token_classes(usage: TokenUsage) -> dict[str, int]:
    """Tokens by the names of the members of `Rates`; classes without any are left out.

    `Rates.weigh_input` and `weigh_output` do the same with less; a test holds them together.
    """
    left = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    input_audio = min(usage.input_audio_tokens, left)
    input_image = min(usage.input_image_tokens, left - input_audio)
    hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    heard = min(usage.cache_read_audio_tokens, usage.cache_read_tokens)
    output_audio = min(usage.output_audio_tokens, usage.output_tokens)
    output_image = min(usage.output_image_tokens, usage.output_tokens - output_audio)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens - output_audio - output_image)
    classes = {
        "input": left - input_audio - input_image,
        "input_audio": input_audio,
        "input_image": input_image,
        "cache_read": usage.cache_read_tokens - heard,
        "cache_read_audio": heard,
        "cache_write": usage.cache_write_tokens - hour,
        "cache_write_1h": hour,
        "output": usage.output_tokens - output_audio - output_image - reasoning,
        "output_audio": output_audio,
        "output_image": output_image,
        "reasoning": reasoning,
    }
    return {name: tokens for name, tokens in classes.items() if tokens}
