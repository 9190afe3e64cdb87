"""What the router tells of a group's prices is enough for the keystore to hold what a call can cost."""

from __future__ import annotations

from gateway.v1 import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.holds import Prices, size
from router.catalog import Catalog, Deployment
from services.money import MAX_BUDGET_NANO_USD, Rates


@given(
    st.lists(st.builds(Rates, *(st.integers(0, 10**12) for _ in range(12))), min_size=1, max_size=3),
    st.integers(0, 10**6),
    st.integers(1, 10**5),
    st.integers(0, 100),
    st.data(),
)
def test_a_hold_that_is_sized_by_a_groups_row_pays_for_any_class_at_any_of_its_deployments(
    several: list[Rates], input_tokens: int, output_tokens: int, searches: int, data: st.DataObject
) -> None:
    """The keystore sizes it, and knows the row only."""
    group = tuple(
        Deployment(str(at), "g", "openai", "m", "", rates=each, ceiling_rates=each) for at, each in enumerate(several)
    )
    (row,) = Catalog({"g": group}).to_proto().models
    prices = Prices(row.input_nano_usd_per_mtok, row.output_nano_usd_per_mtok, row.request_nano_usd)
    needed = size(
        prices,
        input_tokens_bound=input_tokens,
        output_tokens_limit=output_tokens,
        choices=1,
        requests_bound=searches,
    )
    cached = data.draw(st.integers(0, input_tokens))
    usage = common_pb2.TokenUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cached,
        requests=data.draw(st.integers(0, searches)),
        cache_write_tokens=data.draw(st.integers(0, input_tokens - cached)),
    )
    for name in ("cache_write_1h", "cache_read_audio", "input_audio", "input_image"):
        setattr(usage, f"{name}_tokens", data.draw(st.integers(0, input_tokens)))
    for name in ("reasoning", "output_audio", "output_image"):
        setattr(usage, f"{name}_tokens", data.draw(st.integers(0, output_tokens)))
    dearest = max(deployment.rates.cost(usage) for deployment in group)
    assert needed.full_nano_usd >= min(dearest, MAX_BUDGET_NANO_USD + 1)
