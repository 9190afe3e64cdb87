"""The headers of an answer that went well: who answered, what it cost, how long it took. Pure.

Each has LiteLLM's name and, for clients of ours, the same under `x-tollhouse-`. Nothing here is a secret, or a hash of
one. What is not known when the head goes out is left out: the cost of a stream stands in the ledger.
"""

from __future__ import annotations

import re

from gateway.v1 import router_pb2

# Whose behaviour the LiteLLM names follow.
LITELLM_VERSION = "1.106.2"

# Of what a header may list: servers before us refuse heads of more than 8 KiB.
MAX_LISTED_CHARACTERS = 1024
_NOT_IN_A_HEADER = re.compile(r"[^\x20-\x7e]")


def success_lines(
    head: router_pb2.Head, *, call_id: str, version: str, duration_ms: float, cost: str = "", key_spend: str = ""
) -> bytes:
    """What every answer says of itself, as whole lines of HTTP.

    version: the gateway's own. duration_ms: since the request came. cost: of this call, in dollars; key_spend: of the
    key, with this call if its cost is known; empty: not known.
    """
    facts = (
        ("call-id", call_id),
        ("model-id", plain(head.deployment_id)),
        ("model-name", plain(head.provider_model)),
        ("model-group", plain(head.model_group)),
        ("model-api-base", plain(head.api_base)),
        ("attempted-retries", str(head.attempted_retries)),
        ("attempted-fallbacks", str(head.attempted_fallbacks)),
        ("response-duration-ms", f"{duration_ms:.3f}"),
        ("overhead-duration-ms", f"{max(0.0, duration_ms - head.provider_latency_us / 1000):.3f}"),
        ("response-cost", cost),
        ("key-spend", key_spend),
    )
    lines = [f"x-litellm-version: {LITELLM_VERSION}\r\nx-tollhouse-version: {version}\r\n"]
    lines += [f"x-litellm-{name}: {value}\r\nx-tollhouse-{name}: {value}\r\n" for name, value in facts if value]
    if head.provider_headers:
        lines += [f"llm_provider-{plain(each)}\r\n" for each in head.provider_headers.split("\n")]
    if head.dropped_params:
        lines.append(f"x-tollhouse-dropped-params: {plain(', '.join(head.dropped_params))}\r\n")
    return "".join(lines).encode()


def plain(text: str) -> str:
    """A text that others may have chosen, as the value of a header: nothing in it can begin another."""
    if not (text.isascii() and text.isprintable()):
        text = _NOT_IN_A_HEADER.sub("?", text)
    return text[:MAX_LISTED_CHARACTERS]
