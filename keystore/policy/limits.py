"""Limits: what a call is estimated at, and how they are read. Pure."""

from __future__ import annotations

from keystore.policy.operations import Limit, Rate, Use

# More than anybody's traffic, and exact in the script's doubles however often it is added.
MAX_LIMIT = 1_000_000_000_000

# OpenAI's and Anthropic's rule of thumb for English, as in the router's own estimates.
BYTES_PER_TOKEN = 4
# Of an answer without a limit of the caller's: about the median of chat answers.
USUAL_OUTPUT_TOKENS = 256


def tokens_estimate(input_tokens_bound: int, output_tokens_limit: int, max_output_tokens: int, choices: int) -> int:
    """What a call counts for until it has ended: a token for every 4 bytes of input, and the longest answers that the
    caller allows; without a limit of his, usual ones (limits 0: not known)."""
    output_tokens = output_tokens_limit or min(max_output_tokens or USUAL_OUTPUT_TOKENS, USUAL_OUTPUT_TOKENS)
    return min(-(-input_tokens_bound // BYTES_PER_TOKEN) + max(1, choices) * output_tokens, MAX_LIMIT)


def rows(limit: Limit, use: Use) -> dict[Rate, tuple[int | None, int]]:
    """The most that may be of each, and what is used."""
    return {
        Rate.REQUESTS: (limit.requests, use.requests),
        Rate.TOKENS: (limit.tokens, use.tokens),
        Rate.PARALLEL: (limit.parallel, use.parallel),
    }
