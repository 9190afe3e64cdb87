"""Makes the golden suite of costs, from published prices, without a line of the gateway's.

    python tests/price_suite.py > tests/unit/router/providers/price_cases.json

Each card is one model's prices in USD per million tokens, as its provider publishes them (`source`). The formula is
LiteLLM's and the providers' own: every token is of one class, a call is priced whole at the longest step that its input
exceeds, and what a card does not price costs what it is part of. Everything is Decimal; the one rounding is to whole
nano-dollars, half to even.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

OPENAI = "https://developers.openai.com/api/docs/pricing"
ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing"
GOOGLE = "https://ai.google.dev/gemini-api/docs/pricing"
PERPLEXITY = "https://docs.perplexity.ai/getting-started/pricing"
XAI = "https://docs.x.ai/docs/models"

# By class of token: a price, or `{length above which it holds: price}`. `tiers`: what differs at a service tier.
# `table`: the provider and the model by genai-prices' names, where the price is to be found there too.
CARDS: list[dict[str, Any]] = [
    {
        "name": "GPT-5.1",
        "source": OPENAI,
        "table": ["openai", "gpt-5.1"],
        "prices": {"input": "1.25", "cache_read": "0.125", "output": "10"},
        "tiers": {
            "flex": {"input": "0.625", "cache_read": "0.0625", "output": "5"},
            "priority": {"input": "2.5", "cache_read": "0.25", "output": "20"},
            "batch": {"input": "0.625", "cache_read": "0.0625", "output": "5"},
        },
    },
    {
        "name": "GPT-5.5",
        "source": OPENAI,
        "table": ["openai", "gpt-5.5"],
        "prices": {
            "input": {"0": "5", "272000": "10"},
            "cache_read": {"0": "0.5", "272000": "1"},
            "output": {"0": "30", "272000": "45"},
        },
        "tiers": {
            "flex": {
                "input": {"0": "2.5", "272000": "5"},
                "cache_read": {"0": "0.25", "272000": "0.5"},
                "output": {"0": "15", "272000": "22.5"},
            },
            "priority": {"input": "12.5", "cache_read": "1.25", "output": "75"},
            "fast": {"input": "12.5", "cache_read": "1.25", "output": "75"},
        },
    },
    {
        "name": "GPT Realtime",
        "source": OPENAI,
        "table": ["openai", "gpt-realtime"],
        "prices": {
            "input": "4",
            "cache_read": "0.4",
            "output": "16",
            "input_audio": "32",
            "cache_read_audio": "0.4",
            "output_audio": "64",
            "input_image": "5",
        },
    },
    {
        "name": "Claude Opus 4.5",
        "source": ANTHROPIC,
        "table": ["anthropic", "claude-opus-4-5"],
        "prices": {
            "input": "5",
            "cache_write": "6.25",
            "cache_write_1h": "10",
            "cache_read": "0.5",
            "output": "25",
        },
        "tiers": {
            "batch": {
                "input": "2.5",
                "cache_write": "3.125",
                "cache_write_1h": "5",
                "cache_read": "0.25",
                "output": "12.5",
            }
        },
    },
    {
        "name": "Claude Opus 4.8, fast mode too",
        "source": ANTHROPIC,
        "prices": {
            "input": "5",
            "cache_write": "6.25",
            "cache_write_1h": "10",
            "cache_read": "0.5",
            "output": "25",
        },
        "tiers": {
            "fast": {
                "input": "10",
                "cache_write": "12.5",
                "cache_write_1h": "20",
                "cache_read": "1",
                "output": "50",
            }
        },
    },
    {
        "name": "Claude with a context of a million tokens, as it was priced until 2026",
        "source": ANTHROPIC,
        "prices": {
            "input": {"0": "3", "200000": "6"},
            "cache_write": {"0": "3.75", "200000": "7.5"},
            "cache_write_1h": {"0": "6", "200000": "12"},
            "cache_read": {"0": "0.3", "200000": "0.6"},
            "output": {"0": "15", "200000": "22.5"},
        },
        "tiers": {
            "batch": {
                "input": {"0": "1.5", "200000": "3"},
                "cache_write": {"0": "1.875", "200000": "3.75"},
                "cache_write_1h": {"0": "3", "200000": "6"},
                "cache_read": {"0": "0.15", "200000": "0.3"},
                "output": {"0": "7.5", "200000": "11.25"},
            }
        },
    },
    {
        "name": "Gemini 2.5 Pro",
        "source": GOOGLE,
        "prices": {
            "input": {"0": "1.25", "200000": "2.5"},
            "cache_read": {"0": "0.125", "200000": "0.25"},
            "output": {"0": "10", "200000": "15"},
        },
        "tiers": {"batch": {"input": {"0": "0.625", "200000": "1.25"}, "output": {"0": "5", "200000": "7.5"}}},
    },
    {
        "name": "Gemini 2.5 Flash",
        "source": GOOGLE,
        "prices": {
            "input": "0.3",
            "cache_read": "0.03",
            "output": "2.5",
            "input_audio": "1",
            "cache_read_audio": "0.1",
        },
        "tiers": {"batch": {"input": "0.15", "output": "1.25", "input_audio": "0.5"}},
    },
    {
        "name": "Gemini 2.5 Flash Live",
        "source": GOOGLE,
        "table": ["google", "gemini-live-2.5-flash"],
        "prices": {
            "input": "0.5",
            "output": "2",
            "input_audio": "3",
            "output_audio": "12",
            "input_image": "3",
        },
    },
    {
        "name": "Gemini 2.5 Flash Image",
        "source": GOOGLE,
        "prices": {"input": "0.3", "output": "2.5", "output_image": "30"},
    },
    {
        "name": "Sonar Pro, high context",
        "source": PERPLEXITY,
        "table": ["perplexity", "sonar-pro"],
        "prices": {"input": "3", "output": "15"},
        "request": "0.014",
    },
    {
        "name": "Sonar Deep Research",
        "source": PERPLEXITY,
        "table": ["perplexity", "sonar-deep-research"],
        "prices": {"input": "2", "output": "8", "reasoning": "3"},
    },
    {
        "name": "Grok 3",
        "source": XAI,
        "table": ["x-ai", "grok-3"],
        "prices": {"input": "3", "cache_read": "0.75", "output": "15"},
    },
]

# Counts of disjoint classes.
USAGES: list[dict[str, int]] = [
    {"input": 11, "output": 5},
    {"input": 7, "cache_read": 4, "output": 5},
    {"input": 1, "output": 1},
    {"input": 12_345, "cache_read": 67_891, "output": 2_468, "reasoning": 1_357},
    {"input": 1_000, "cache_write": 2_000, "cache_write_1h": 3_000, "cache_read": 4_000, "output": 500},
    {"input": 1_001, "input_audio": 333, "input_image": 777, "output": 99, "output_audio": 55, "output_image": 1_290},
    {"input": 500, "cache_read": 40, "cache_read_audio": 60, "input_audio": 7, "output": 3, "reasoning": 4},
    # Up to the steps, and one token beyond.
    {"input": 150_000, "cache_read": 50_000, "output": 1_000},
    {"input": 150_001, "cache_read": 50_000, "output": 1_000},
    {"input": 2, "cache_read": 260_000, "cache_write": 11_998, "output": 8_191, "reasoning": 1},
    {"input": 3, "cache_read": 260_000, "cache_write": 11_998, "output": 8_191, "reasoning": 1},
    {"input": 900_000, "cache_write": 1, "cache_write_1h": 1, "output": 64_000, "reasoning": 63_999},
    {"output": 7},
    {},
]

# What a class costs that has no price of its own.
PART_OF = {
    "cache_read": ["input"],
    "cache_read_audio": ["cache_read", "input_audio", "input"],
    "cache_write": ["input"],
    "cache_write_1h": ["cache_write", "input"],
    "input_audio": ["input"],
    "input_image": ["input"],
    "reasoning": ["output"],
    "output_audio": ["output"],
    "output_image": ["output"],
}
INPUT = ("input", "cache_read", "cache_read_audio", "cache_write", "cache_write_1h", "input_audio", "input_image")

# LiteLLM's names.
COSTS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_read_audio": "cache_read_input_audio_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "input_audio": "input_cost_per_audio_token",
    "input_image": "input_cost_per_image_token",
    "reasoning": "output_cost_per_reasoning_token",
    "output_audio": "output_cost_per_audio_token",
    "output_image": "output_cost_per_image_token",
}
SUFFIXES = {"flex": "_flex", "priority": "_priority", "fast": "_fast", "batch": "_batches"}

# Discount, margin and fee: none, LiteLLM's documented example, and one that does not come out even.
MARKUPS: list[dict[str, str]] = [
    {},
    {"discount": "0.05", "margin": "0.10"},
    {"discount": "0.333333333", "margin": "0.07", "fee": "0.001"},
]
MTOK = Decimal(1_000_000)


def steps_of(price: str | dict[str, str]) -> dict[int, Decimal]:
    """The prices of one class by the length above which they hold."""
    named = price if isinstance(price, dict) else {"0": price}
    return {int(start): Decimal(usd) for start, usd in named.items()}


def price_at(card: dict[str, Any], kind: str, tier: str, length: int) -> Decimal:
    """USD per million tokens of a class, at a tier, in a call whose input is so long."""
    for each in (kind, *PART_OF.get(kind, ())):
        for prices in (card.get("tiers", {}).get(tier, {}), card["prices"]):
            if each in prices:
                steps = steps_of(prices[each])
                return steps[max(start for start in steps if start == 0 or length > start)]
    raise AssertionError(f"{card['name']} has no price for {kind}")


def cost_of(card: dict[str, Any], counts: dict[str, int], tier: str, markup: dict[str, str]) -> int:
    """Whole nano-dollars."""
    length = sum(counts.get(kind, 0) for kind in INPUT)
    with localcontext() as context:
        context.prec = 60
        usd = sum((price_at(card, kind, tier, length) * count / MTOK for kind, count in counts.items()), Decimal(0))
        usd += Decimal(card.get("request", "0"))
        usd *= 1 - Decimal(markup.get("discount", "0"))
        usd *= 1 + Decimal(markup.get("margin", "0"))
        usd += Decimal(markup.get("fee", "0"))
        return int((usd * 10**9).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def costs_of(card: dict[str, Any]) -> dict[str, str]:
    """The card as a configuration states it: USD per token, by LiteLLM's names."""
    costs = {"input_cost_per_request": card["request"]} if "request" in card else {}
    for tier, prices in {"": card["prices"], **card.get("tiers", {})}.items():
        for kind, price in prices.items():
            for start, usd in steps_of(price).items():
                above = f"_above_{start // 1000}k_tokens" if start else ""
                costs[f"{COSTS[kind]}{above}{SUFFIXES.get(tier, '')}"] = f"{usd / MTOK:f}"
    return costs


def usage_of(counts: dict[str, int]) -> dict[str, int]:
    """The counts as OpenAI tells them: parts within their wholes."""

    def total(*kinds: str) -> int:
        return sum(counts.get(kind, 0) for kind in kinds)

    told = {
        "input_tokens": total(*INPUT),
        "output_tokens": total("output", "reasoning", "output_audio", "output_image"),
        "cache_read_tokens": total("cache_read", "cache_read_audio"),
        "cache_write_tokens": total("cache_write", "cache_write_1h"),
        "reasoning_tokens": total("reasoning"),
        "cache_write_1h_tokens": total("cache_write_1h"),
        "cache_read_audio_tokens": total("cache_read_audio"),
        "input_audio_tokens": total("input_audio"),
        "input_image_tokens": total("input_image"),
        "output_audio_tokens": total("output_audio"),
        "output_image_tokens": total("output_image"),
    }
    return {name: count for name, count in told.items() if count}


def cases() -> Iterator[dict[str, Any]]:
    """Every card at every tier with every usage; the markups in turn, the plain price twice as often."""
    at = 0
    for card in CARDS:
        for tier in ("", *card.get("tiers", {})):
            for counts in USAGES:
                markup = MARKUPS[(0, 1, 0, 2)[at % 4]]
                at += 1
                yield {
                    "card": card["name"],
                    "tier": tier,
                    "usage": usage_of(counts),
                    "markup": markup,
                    "cost_nano_usd": cost_of(card, counts, tier, markup),
                }


def suite() -> dict[str, Any]:
    """All of it, as it stands in the file."""
    cards = {
        card["name"]: {"source": card["source"], "table": card.get("table"), "costs": costs_of(card)} for card in CARDS
    }
    return {"cards": cards, "cases": list(cases())}


def render() -> str:
    """The file: a line for each card and each case."""
    made = suite()
    cards = ",\n".join(f"{json.dumps(name)}: {json.dumps(card)}" for name, card in made["cards"].items())
    lines = ",\n".join(json.dumps(case) for case in made["cases"])
    return f'{{"cards": {{\n{cards}\n}},\n"cases": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    sys.stdout.write(render())
