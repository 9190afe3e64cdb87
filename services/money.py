"""Money: integers of nano-USD, always.

Prices are nano-USD per million tokens, read as Decimal from the text of the configuration. A float never meets money;
one becomes of it only where a JSON answer shows dollars.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

NANO_USD = 1_000_000_000
MTOK = 1_000_000

_ONE_NANO_USD = Decimal("1e-9")
# Not the thread's context, which others may set. `quantize` rounds once, and refuses what has more than 28 digits.
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])

# Lua numbers are doubles, exact below 2^53; $9,000,000 in nano-USD is just below it.
MAX_BUDGET_NANO_USD = 9_000_000 * NANO_USD


def nano_from_usd(usd: Decimal | int | str) -> int:
    """Dollars to nano-USD, half-even. Raises ValueError for what is no finite amount below 1e19 dollars."""
    try:
        return int(Decimal(usd).quantize(_ONE_NANO_USD, context=_CONTEXT).scaleb(9, context=_CONTEXT))
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"{usd!r} is not an amount of money") from error


def usd_from_nano(nano_usd: int) -> float:
    """Nano-USD to dollars, to show; never to reckon with."""
    return nano_usd / NANO_USD


def usd_text(nano_usd: int) -> str:
    """Nano-USD as exact dollars for messages and headers: `0.0000725`."""
    sign = "-" if nano_usd < 0 else ""
    dollars, rest = divmod(abs(nano_usd), NANO_USD)
    return f"{sign}{dollars}.{rest:09d}".rstrip("0").rstrip(".")


def _half_even(weighed: int) -> int:
    """Nano-USD of a sum in nano-USD times MTOK, by integers alone: this is on the path of every call."""
    whole, rest = divmod(weighed, MTOK)
    return whole + (2 * rest > MTOK or (2 * rest == MTOK and whole & 1))


@dataclass(frozen=True, slots=True)
class Rates:
    """What a deployment charges: nano-USD per million tokens, and nano-USD per call.

    The token classes are disjoint here: `input` is for tokens neither read from nor written to a cache.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    request: int = 0

    def cost(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        requests: int = 1,
    ) -> int:
        """Nano-USD of one call, rounded once, half-even. `input_tokens` includes the cached ones, as OpenAI counts.

        requests: how often the fixed price is charged.
        """
        plain = max(0, input_tokens - cache_read_tokens - cache_write_tokens)
        weighed = (
            plain * self.input
            + output_tokens * self.output
            + cache_read_tokens * self.cache_read
            + cache_write_tokens * self.cache_write
        )
        return _half_even(weighed) + self.request * requests

    def ceiling(self, *, input_tokens: int, output_tokens: int, requests: int = 1) -> int:
        """The most that a call of at most these tokens and fixed prices can cost, rounded up."""
        dearest_input = max(self.input, self.cache_read, self.cache_write)
        weighed = input_tokens * dearest_input + output_tokens * self.output
        return -(-weighed // MTOK) + self.request * requests
