"""Money: integers of nano-USD, always.

Prices are nano-USD per million tokens, read as Decimal from the text of the configuration. A float never meets money;
one becomes of it only where a JSON answer shows dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from gateway.v1.common_pb2 import TokenUsage

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


def half_even(part: int, unit: int) -> int:
    """`part / unit`, neither below 0, to the nearest whole, by integers alone: this is on the path of every call."""
    whole, rest = divmod(part, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole & 1))


# What a class of tokens costs that nobody prices: as the first of these that somebody does.
PART_OF: Mapping[str, tuple[str, ...]] = {
    "input": (),
    "output": (),
    "cache_read": ("input",),
    "cache_write": ("input",),
    "request": (),
    "cache_write_1h": ("cache_write", "input"),
    "cache_read_audio": ("cache_read", "input_audio", "input"),
    "input_audio": ("input",),
    "input_image": ("input",),
    "reasoning": ("output",),
    "output_audio": ("output",),
    "output_image": ("output",),
}


@dataclass(frozen=True, slots=True)
class Rates:
    """What a deployment charges: nano-USD per million tokens, and nano-USD per call, or search (`request`).

    The classes are disjoint here: `input` is for text neither read from nor written to a cache, `cache_write` for what
    is kept five minutes, `output` for text that the caller sees. Nothing is filled in; `Rates.of` does that.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    request: int = 0
    cache_write_1h: int = 0
    cache_read_audio: int = 0
    input_audio: int = 0
    input_image: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    # The most that a token can cost, whatever it is; reckoned once, for every call asks several times.
    dearest_input: int = field(init=False, repr=False, compare=False)
    dearest_output: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        inputs = (self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.cache_read_audio)
        dearest_input = max(*inputs, self.input_audio, self.input_image)
        dearest_output = max(self.output, self.reasoning, self.output_audio, self.output_image)
        object.__setattr__(self, "dearest_input", dearest_input)
        object.__setattr__(self, "dearest_output", dearest_output)

    @classmethod
    def of(cls, **stated: int) -> Rates:
        """The rates that are stated, by the names of the members, and what follows from them for the others."""
        return cls(
            **{
                name: next((stated[each] for each in (name, *others) if each in stated), 0)
                for name, others in PART_OF.items()
            }
        )

    def stated(self) -> dict[str, int]:
        """The fewest rates that `of` makes these of."""
        stated: dict[str, int] = {}
        # What others follow from comes first.
        for name in sorted(PART_OF, key=lambda name: len(PART_OF[name])):
            rate = getattr(self, name)
            if rate != next((stated[each] for each in PART_OF[name] if each in stated), 0):
                stated[name] = rate
        return stated

    def cost(self, usage: TokenUsage) -> int:
        """Nano-USD of one call, rounded once, half-even."""
        return half_even(self.weigh_input(usage) + self.weigh_output(usage), MTOK) + self.fixed(usage)

    def fixed(self, usage: TokenUsage) -> int:
        """What the call itself costs, or its searches, in nano-USD."""
        return self.request * max(1, usage.requests)

    def weigh_input(self, usage: TokenUsage) -> int:
        """What the input costs, in nano-USD times MTOK.

        More cached tokens than input do not make a refund. Sound and pictures beyond what the caches leave are taken
        for cached: some providers count both, and do not say what was cached.
        """
        # Each member of a message is read once: that takes longer than the sums.
        read, written = usage.cache_read_tokens, usage.cache_write_tokens
        left = max(0, usage.input_tokens - read - written)
        audio = min(usage.input_audio_tokens, left)
        image = min(usage.input_image_tokens, left - audio)
        hour = min(usage.cache_write_1h_tokens, written)
        heard = min(usage.cache_read_audio_tokens, read)
        return (
            (left - audio - image) * self.input
            + audio * self.input_audio
            + image * self.input_image
            + (read - heard) * self.cache_read
            + heard * self.cache_read_audio
            + (written - hour) * self.cache_write
            + hour * self.cache_write_1h
        )

    def weigh_output(self, usage: TokenUsage) -> int:
        """What the output costs, in nano-USD times MTOK. Its parts are never more than the whole."""
        left = usage.output_tokens
        left -= (audio := min(usage.output_audio_tokens, left))
        left -= (image := min(usage.output_image_tokens, left))
        left -= (reasoning := min(usage.reasoning_tokens, left))
        return left * self.output + audio * self.output_audio + image * self.output_image + reasoning * self.reasoning

    def ceiling(self, *, input_tokens: int, output_tokens: int, requests: int = 1) -> int:
        """The most that a call of at most these tokens and fixed prices can cost, rounded up."""
        weighed = input_tokens * self.dearest_input + output_tokens * self.dearest_output
        return -(-weighed // MTOK) + self.request * requests
