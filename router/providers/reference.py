"""Writes docs/reference/providers.md from the rows of providers.toml.

    python -m router.providers.reference > docs/reference/providers.md

A test fails when the page and the rows differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from router.providers.provider import NOT_SERVED_YET, PROVIDERS, Provider
from router.providers.quirks import Quirks

_OPENING = """\
# Providers

A deployment names its provider in `model: PROVIDER/MODEL`, with LiteLLM's names. `api_base` and `api_key` of its
`litellm_params` win over the variables, of which the first that is set counts, and over the address. For a server that
is not listed and speaks OpenAI's language, write `openai_like/MODEL` (or `openai/MODEL`) and an `api_base`.

Offers: the operations that it can be asked for. Of the others, deployments of it are not asked.

What is claimed: **conformance-tested**: requests, answers, streams and errors are held to traffic recorded from the
provider, as far as there are recordings of each, and to cases written from its documentation. **row**: its address, its
key's variable and its departures from OpenAI's language are those that LiteLLM or its documentation state; nobody has
called it from here.

Not taken: members of a call that the provider does not have. They are refused with status 400 and their names, or
left out where `drop_params` says so; the header `x-tollhouse-dropped-params` of the answer tells which. A value that
asks for nothing, such as `n: 1`, is left out without a word. `allowed_openai_params` sends them all the same.
"""

_MODELS = """\
The patterns are held against the whole name of the model, and that of `model_info.base_model`: a deployment on Azure,
whose name can be anything, is known for what it is by the latter.
"""

_TABLE = """\
| provider | claim | offers | address | key | not taken |
| --- | --- | --- | --- | --- | --- |"""


def render() -> str:
    """The page."""
    rows = [_row(provider) for _, provider in sorted(PROVIDERS.items())]
    models = [line for _, provider in sorted(PROVIDERS.items()) for line in _models(provider)]
    names = ", ".join(f"`{name}`" for name in sorted(NOT_SERVED_YET))
    return "\n".join(
        [
            _OPENING,
            f"{len(PROVIDERS)} providers.\n",
            _TABLE,
            *rows,
            "",
            "## What depends on the model\n",
            _MODELS,
            *models,
            "",
            "## Not served\n",
            f"Deployments of these are left out, and the start says so: {names}.",
            "",
        ]
    )


def _row(provider: Provider) -> str:
    claim = "conformance-tested" if provider.recorded else "row"
    address = f"`{provider.api_base}`" if provider.api_base else "`api_base` is needed"
    if provider.api_base_variables:
        address += f"; {_variables(provider.api_base_variables)}"
    needed = [
        f"`{name}` ({_variables(option.variables)})"
        for name, option in provider.options.items()
        if _is_needed(provider, name)
    ]
    if needed:
        address += f"; needs {', '.join(needed)}"
    key = _variables(provider.api_key_variables) or "none"
    offers = ", ".join(_offers(provider))
    return f"| `{provider.name}` | {claim} | {offers} | {address} | {key} | {_untaken(provider.quirks)} |"


def _offers(provider: Provider) -> Iterator[str]:
    if provider.wire:
        yield "chat"
    if provider.embeddings is not None:
        yield "embeddings"
    if provider.rerank is not None:
        yield "rerank"


def _is_needed(provider: Provider, option: str) -> bool:
    return not provider.options[option].default and f"{{{option}}}" in provider.api_base + provider.path


def _models(provider: Provider) -> Iterator[str]:
    for each in provider.model_quirks:
        said = []
        if each.quirks.drop:
            said.append(f"not taken: {_untaken(each.quirks)}")
        said += [f"`{name}` is sent as `{own}`" for name, own in each.quirks.rename.items()]
        if said:
            yield f"- `{provider.name}`, models like `{each.models}`: {'; '.join(said)}."


def _untaken(quirks: Quirks) -> str:
    # What the gateway asks for itself is nobody's to be refused.
    return ", ".join(f"`{name}`" for name in quirks.drop if name != "stream_options")


def _variables(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(render())
