"""How much money a call needs: what it may cost at most, the least that is worth holding, and what a part buys.

A streamed answer of which every token is seen is held for by slices: the first is placed here, and the router extends
the hold as the answer grows. Any other answer is held for whole.
"""

from __future__ import annotations

import msgspec

from services.money import MAX_BUDGET_NANO_USD, MTOK

# The answer's bound when neither the caller nor the catalog states one. Longer answers are rare; it is imposed on the
# provider, so that none comes.
DEFAULT_OUTPUT_TOKENS = 16_384

# What a model can read when the catalog does not say: most can by now.
DEFAULT_INPUT_TOKENS = 200_000

# The first slice of a streamed answer: longer than most chat answers, so that few are extended at all.
SLICE_OUTPUT_TOKENS = 1_024

# Fewer output tokens than this are no answer: a call that cannot even pay for these is refused, not cut.
SMALLEST_OUTPUT_TOKENS = 16

# More than any budget has left, and exact in the script's doubles: larger bounds need not be told apart.
_MORE_THAN_ANY_BUDGET = MAX_BUDGET_NANO_USD + 1


class Prices(msgspec.Struct, frozen=True, gc=False):
    """The dearest rates of a model group. Rates are nano-USD per million tokens; max_output_tokens 0: unknown.

    shows_all_output: nothing is generated that a stream does not show. All zero for a group of which nothing is known:
    nothing is held for it.
    """

    input_nano_usd_per_mtok: int = 0
    output_nano_usd_per_mtok: int = 0
    request_nano_usd: int = 0
    max_output_tokens: int = 0
    shows_all_output: bool = False
    max_input_tokens: int = 0


def ceiling(input_tokens_bound: int, prices: Prices) -> int:
    """The most input tokens of a call that may read more than it says: what the model can read, if that is known."""
    return max(input_tokens_bound, prices.max_input_tokens or DEFAULT_INPUT_TOKENS)


class Size(msgspec.Struct, frozen=True, gc=False):
    """Bounds of a call's cost in nano-USD, and what is needed to turn a partial hold into a limit."""

    full_nano_usd: int
    smallest_nano_usd: int
    # To be held at first: the full amount, or the first slice of a stream.
    first_nano_usd: int
    # What it was sized for: output tokens of each choice, and choices.
    output_tokens: int
    choices: int
    # What the call costs before the first token of output, in nano-USD times MTOK.
    _base: int
    # What one token more of every answer costs, in the same unit.
    _step: int
    # Neither the caller nor the model bounds the answer.
    _has_open_end: bool

    def is_slice(self, held_nano_usd: int) -> bool:
        """Whether this hold is the first slice of a stream, and may grow."""
        return self.first_nano_usd <= held_nano_usd < self.full_nano_usd

    def output_tokens_limit(self, held_nano_usd: int) -> int:
        """The limit on each answer that a hold pays for; 0, none, when that is the call's own bound, or may grow."""
        if self.is_slice(held_nano_usd):
            return 0
        if held_nano_usd >= self.full_nano_usd:
            return self.output_tokens if self._has_open_end and self._step else 0
        return (held_nano_usd * MTOK - self._base) // self._step


def size(
    prices: Prices,
    *,
    input_tokens_bound: int,
    output_tokens_limit: int,
    choices: int,
    stream: bool = False,
    generates: bool = True,
    requests_bound: int = 1,
) -> Size:
    """The size of a call of at most so much input, so many output tokens a choice (0: not stated), and choices.

    stream: the answer's pieces can be counted as they come. generates: False for operations that only read.
    requests_bound: how often the fixed price is charged at most.
    """
    known_tokens = output_tokens_limit or prices.max_output_tokens
    output_tokens = (known_tokens or DEFAULT_OUTPUT_TOKENS) if generates else 0
    requests = max(1, requests_bound)
    base = input_tokens_bound * prices.input_nano_usd_per_mtok + requests * prices.request_nano_usd * MTOK
    choices = max(1, choices)
    step = choices * prices.output_nano_usd_per_mtok if generates else 0

    def bound(tokens: int) -> int:
        return min(-(-(base + tokens * step) // MTOK), _MORE_THAN_ANY_BUDGET)

    grows = stream and prices.shows_all_output and known_tokens > 0
    first_tokens = min(output_tokens, SLICE_OUTPUT_TOKENS) if grows else output_tokens
    return Size(
        full_nano_usd=bound(output_tokens),
        smallest_nano_usd=bound(min(output_tokens, SMALLEST_OUTPUT_TOKENS)),
        first_nano_usd=bound(first_tokens),
        output_tokens=output_tokens,
        choices=choices,
        _base=base,
        _step=step,
        _has_open_end=generates and not known_tokens,
    )
