"""Which headers of a provider's answer callers get to see. Pure.

A closed list: what else a provider says (cookies, accounts, servers) is between it and the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

# Where providers tell what is left of a limit, and what a call was called: what callers ask a provider's support by.
PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-")
NAMES = frozenset(
    (
        "request-id",
        "x-request-id",
        "x-amzn-requestid",
        "apim-request-id",
        "openai-processing-ms",
        "x-ms-region",
        "retry-after",
    )
)

# Anthropic sends the most, 16 of them; none is longer than a moment in ISO 8601 or an id.
MAX_HEADERS = 32
MAX_VALUE_CHARS = 128


def passed_on(headers: Mapping[str, str]) -> str:
    """A line each, `name: value`, of headers whose names are in lower case; a value that is too long is left out.

    One text, for a message of pairs costs a call ten times as much.
    """
    found = [
        f"{name}: {value}"
        for name, value in headers.items()
        if (name.startswith(PREFIXES) or name in NAMES) and len(value) <= MAX_VALUE_CHARS and value.isprintable()
    ]
    return "\n".join(found[:MAX_HEADERS])


def shown_base(api_base: str) -> str:
    """A provider's address for callers: without its query; empty when there is a user or a password in it."""
    return "" if "@" in api_base else api_base.partition("?")[0]
