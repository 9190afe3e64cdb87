"""The golden suite of costs: what `tests/price_suite.py` reckons from published prices, to the nano-dollar."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateway.v1 import common_pb2

from router.providers.price_table import PriceTable
from router.providers.prices import ListPrice, load_price_table, price_from
from services.markups import Markup
from services.money import nano_from_usd
from tests import price_suite

FILE = Path(__file__).with_name("price_cases.json")
SUITE: dict[str, Any] = json.loads(FILE.read_text())
# When the cards were read, and the table of this version has them.
READ = datetime(2026, 11, 1, tzinfo=UTC)
TIERS = {
    "": common_pb2.SERVICE_TIER_UNSPECIFIED,
    "flex": common_pb2.SERVICE_TIER_FLEX,
    "priority": common_pb2.SERVICE_TIER_PRIORITY,
    "fast": common_pb2.SERVICE_TIER_FAST,
    "batch": common_pb2.SERVICE_TIER_BATCH,
}


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return load_price_table(READ)


def cost(case: dict[str, Any], costs: dict[str, str], listed: ListPrice | None) -> int:
    given = case["markup"]
    markup = Markup(
        discount=int(Decimal(given.get("discount", 0)) * 10**9),
        margin=int(Decimal(given.get("margin", 0)) * 10**9),
        fee_nano_usd=nano_from_usd(given.get("fee", 0)),
    )
    price = price_from({name: Decimal(usd) for name, usd in costs.items()}, listed, markup)
    assert price is not None
    usage = common_pb2.TokenUsage(service_tier=TIERS[case["tier"]], **case["usage"])
    charged = price.rates.cost(usage)
    assert charged <= price.ceiling_rates.ceiling(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    return charged


def test_the_file_is_what_the_script_makes() -> None:
    assert FILE.read_text() == price_suite.render()
    assert len(SUITE["cases"]) >= 150


@pytest.mark.parametrize("card", SUITE["cards"])
def test_configured_prices_cost_what_the_suite_says(card: str) -> None:
    cases = [case for case in SUITE["cases"] if case["card"] == card]
    found = [cost(case, SUITE["cards"][card]["costs"], None) for case in cases]
    assert found == [case["cost_nano_usd"] for case in cases]


@pytest.mark.parametrize("card", [name for name, card in SUITE["cards"].items() if card["table"]])
def test_listed_prices_cost_what_the_suite_says(card: str, table: PriceTable) -> None:
    listed = table.find(*SUITE["cards"][card]["table"])
    cases = [case for case in SUITE["cases"] if case["card"] == card]
    found = [cost(case, {}, listed) for case in cases]
    assert found == [case["cost_nano_usd"] for case in cases]
