"""Writes docs/reference/config.md from the table of known keys.

    python -m services.config_reference > docs/reference/config.md

A test fails when the page and the table differ.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping

from services.known_keys import (
    ACCEPTED,
    ENTRY,
    GENERAL,
    INFO,
    LITELLM,
    PARAMS,
    READ,
    ROUTER,
    TEAMS,
    TOP,
    Key,
)
from services.router_settings import ROUTING_STRATEGIES

_LINE_CHARACTERS = 120

_OPENING = """\
# config.yaml

LiteLLM's format: a file that works with LiteLLM works here. `tollhouse check-config FILE` says what a start would say
of it, without starting: mistakes with file, line and key (exit status 1), what is left out, what has no effect.

- `os.environ/NAME` in any text stands for that environment variable. A text that names a variable which is not set
  counts as absent.
- Keys under "not acted on yet" are LiteLLM's, and are accepted. Any other key is unknown and may be a typo. The start
  names all of them in one warning; none is an error.
- Numbers may be written as texts. Prices are read as decimals, to the last digit.

What describes the process instead of models and budgets is in [settings.md](settings.md).
"""

_TITLES: Mapping[str, str] = {
    TOP: "The file",
    ENTRY: "model_list: an entry is a deployment",
    PARAMS: "model_list: litellm_params",
    INFO: "model_list: model_info",
    LITELLM: "litellm_settings",
    GENERAL: "general_settings",
    TEAMS: "general_settings: default_team_settings",
    ROUTER: "router_settings",
}

# Said under a section's table.
_NOTES: Mapping[str, str] = {
    PARAMS: "What a provider of your own wants beside these goes into `extra_body`. Prices of tokens also with\n"
    "`_above_{N}k_tokens`, for calls whose input is longer, with `_flex`, `_priority`, `_fast` or `_batches`, for\n"
    "calls that the provider has served so, and with both in this order; [what they come to](prices.md). Not acted on\n"
    "yet: LiteLLM's other prices (`*_cost_per_*`), `supports_*`, `mock_*`, what clouds want (`aws_*`, `azure_*`, ...).",
    INFO: "Prices as in `litellm_params`. Not acted on yet: LiteLLM's other prices (`*_cost_per_*`) and `supports_*`.",
    LITELLM: "What also stands in `router_settings` counts there first.",
    ROUTER: f"Strategies: {', '.join(f'`{name}`' for name in ROUTING_STRATEGIES)}. This version acts on\n"
    "`simple-shuffle` and `least-busy`; with the others it shuffles, and its log says so.",
}


def render() -> str:
    """The page."""
    return "\n".join([_OPENING, *(line for section in READ for line in _section(section))])


def _section(section: str) -> Iterator[str]:
    yield f"## {_TITLES[section]}\n"
    yield "| key | value | what |"
    yield "| --- | --- | --- |"
    for names, key in _rows(section):
        yield f"| {names} | {key.kind} | {key.what} |"
    yield ""
    if section in _NOTES:
        yield f"{_NOTES[section]}\n"
    accepted = ", ".join(f"`{name}`" for name in sorted(ACCEPTED[section]))
    if accepted:
        yield textwrap.fill(f"Not acted on yet: {accepted}.", _LINE_CHARACTERS, break_on_hyphens=False) + "\n"


def _rows(section: str) -> Iterator[tuple[str, Key]]:
    """The keys that are read; those of one meaning share a row."""
    rows: dict[Key, list[str]] = {}
    for name, key in READ[section].items():
        rows.setdefault(key, []).append(f"`{name}`")
    for key, names in rows.items():
        yield ", ".join(names), key


if __name__ == "__main__":
    sys.stdout.write(render())
