"""How the model shall choose its words: what both versions of Cohere's Chat call the same."""

from __future__ import annotations

import msgspec

from router.wire.members import NUMBER, Members
from router.wire.params import stop_of

# The range that Cohere takes for `p`; OpenAI's usual 1 is beyond it.
_MIN_P, _MAX_P = 0.01, 0.99
# OpenAI's penalties go from -2 to 2, Cohere's from 0 to 1.
_MAX_PENALTY = 1
_PENALTIES = ("frequency_penalty", "presence_penalty")


class Sampling(msgspec.Struct):
    """sent: members of the request, None where nothing is asked. untaken: penalties that are a reward."""

    sent: dict[str, object]
    untaken: list[str]


def sampling_of(members: Members) -> Sampling:
    """Raises GatewayError (INVALID_REQUEST)."""
    top_p = members.take("top_p", NUMBER)
    top_k = members.take("top_k", NUMBER)
    sent: dict[str, object] = {
        "temperature": members.take("temperature", NUMBER),
        "p": None if top_p is None else min(max(top_p, _MIN_P), _MAX_P),
        # Servers that have top_k take 0 and -1 for none.
        "k": top_k if top_k is not None and top_k > 0 else None,
        "seed": members.take("seed", NUMBER),
        "stop_sequences": stop_of(members) or None,
    }
    untaken = []
    for name in _PENALTIES:
        value = members.take(name, NUMBER)
        if value is not None and value < 0:
            untaken.append(name)
        elif value is not None:
            sent[name] = min(value, _MAX_PENALTY)
    return Sampling(sent, untaken)
