"""How a model shall choose its words: temperature, top_p and top_k, of which Claude takes less the newer it is.

What a model does not take is left for Anthropic to refuse in its own words, unless it asks for nothing, or the caller
has what is not taken dropped.
"""

from __future__ import annotations

from router.wire.anthropic.models import takes_one_sampler, takes_sampling
from router.wire.members import NUMBER, Members

# Below this, thinking and top_p do not go together.
_LEAST_TOP_P_OF_THINKING = 0.95


def given_sampling(members: Members) -> dict[str, int | float | None]:
    """`temperature`, `top_p` and `top_k` under these names, whatever the model takes of them.

    Raises GatewayError (INVALID_REQUEST).
    """
    temperature = members.take("temperature", NUMBER)
    top_p = members.take("top_p", NUMBER)
    top_k = members.take("top_k", NUMBER)
    return {
        # OpenAI's goes up to 2, Anthropic's and Bedrock's to 1.
        "temperature": None if temperature is None else min(temperature, 1),
        "top_p": None if top_p is None else min(top_p, 1),
        # Servers that have top_k take 0 and -1 for none.
        "top_k": top_k if top_k is not None and top_k > 0 else None,
    }


def sampling_of(members: Members, model: str, *, thinks: bool) -> dict[str, int | float | None]:
    """The same, of Claude. thinks: the model was told to think.

    Raises GatewayError (INVALID_REQUEST).
    """
    given = given_sampling(members)
    for name in _not_taken(given, model, thinks=thinks):
        if name == "top_p" and given[name] == 1:
            # Nothing is left out of 1: many callers send it with every request.
            given[name] = None
        elif members.drops:
            given[name] = None
            members.dropped.append(name)
    return given


def _not_taken(given: dict[str, int | float | None], model: str, *, thinks: bool) -> list[str]:
    temperature, top_p = given["temperature"], given["top_p"]
    refused: list[str] = []
    if (thinks or not takes_sampling(model)) and temperature not in (None, 1):
        refused.append("temperature")
    low = top_p is not None and top_p < _LEAST_TOP_P_OF_THINKING
    beside_another = temperature is not None and "temperature" not in refused and takes_one_sampler(model)
    if top_p is not None and (not takes_sampling(model) or beside_another or (thinks and low)):
        refused.append("top_p")
    if given["top_k"] is not None and (thinks or not takes_sampling(model)):
        refused.append("top_k")
    return refused
