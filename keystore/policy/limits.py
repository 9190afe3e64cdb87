"""Limits of keys and of the gateway: which apply to a call, what it is estimated at, and how they are told. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keystore.policy.access import GATEWAY_SCOPE, key_scope
from keystore.policy.operations import Limit, Limited, Rate, Use
from keystore.policy.owners import Key
from services.errors import GatewayError, Reason

# More than anybody's traffic, and exact in the script's doubles however often it is added.
MAX_LIMIT = 1_000_000_000_000

# OpenAI's and Anthropic's rule of thumb for English, as in the router's own estimates.
BYTES_PER_TOKEN = 4
# Of an answer without a limit of the caller's: about the median of chat answers.
USUAL_OUTPUT_TOKENS = 256

# LiteLLM's words for them, which clients look for.
NAMES = {Rate.REQUESTS: "requests", Rate.TOKENS: "tokens", Rate.PARALLEL: "max_parallel_requests"}

# When a call ends is not known; sooner than this it is not worth asking.
PARALLEL_RETRY_SECONDS = 1.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def limit_of(key: Key | None) -> Limit | None:
    """The limit of a key; None when nothing of it is limited."""
    if key is None or not key.terms.has_limit:
        return None
    terms = key.terms
    return Limit(key_scope(key.key_id), terms.rpm_limit, terms.tpm_limit, terms.max_parallel_requests)


def limits_of(key: Key | None, gateway: Limit | None) -> tuple[Limit, ...]:
    """The limits that apply to a call with this key, in the order in which they are told as reached."""
    return tuple(limit for limit in (limit_of(key), gateway) if limit is not None)


def gateway_limit(parallel: int | None) -> Limit | None:
    """Of all calls together."""
    return None if parallel is None else Limit(GATEWAY_SCOPE, parallel=parallel)


def tokens_estimate(input_tokens_bound: int, output_tokens_limit: int, max_output_tokens: int, choices: int) -> int:
    """What a call counts for until it has ended: a token for every 4 bytes of input, and the longest answers that the
    caller allows; without a limit of his, usual ones (limits 0: not known)."""
    output_tokens = output_tokens_limit or min(max_output_tokens or USUAL_OUTPUT_TOKENS, USUAL_OUTPUT_TOKENS)
    return min(-(-input_tokens_bound // BYTES_PER_TOKEN) + max(1, choices) * output_tokens, MAX_LIMIT)


def limit_refusal(limited: Limited, key: Key | None, tokens: int, now_ms: int) -> GatewayError:
    """Why a call has to wait, and for how long, in LiteLLM's words, with the key's name where it has a hash."""
    limit, rate, left_ms = limited.limit, limited.rate, limited.use.left_ms
    whose = f"api_key: {key.key_name}" if key is not None and limit == limit_of(key) else "the whole gateway"
    most, used = rows(limit, limited.use)[rate]
    text = (
        f"Rate limit exceeded for {whose}. Limit type: {NAMES[rate]}. Current limit: {most}, "
        f"Remaining: {max(0, (most or 0) - used)}."
    )
    retry_after_seconds: float | None = left_ms / 1000
    if not most:
        retry_after_seconds = None  # it never lets anything pass
    elif rate is Rate.PARALLEL:
        text += " A call has to end first."
        retry_after_seconds = PARALLEL_RETRY_SECONDS
    else:
        resets = _EPOCH + timedelta(seconds=round((now_ms + left_ms) / 1000))
        text += f" Limit resets at: {resets:%Y-%m-%d %H:%M:%S} UTC"
        if rate is Rate.TOKENS:
            text += f". This call is estimated at {tokens} tokens."
    return GatewayError(Reason.ERROR_REASON_RATE_LIMITED, text, retry_after_seconds=retry_after_seconds)


def rows(limit: Limit, use: Use) -> dict[Rate, tuple[int | None, int]]:
    """The most that may be of each, and what is used."""
    return {
        Rate.REQUESTS: (limit.requests, use.requests),
        Rate.TOKENS: (limit.tokens, use.tokens),
        Rate.PARALLEL: (limit.parallel, use.parallel),
    }
