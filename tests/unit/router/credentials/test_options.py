"""From `litellm_params` to what a signer reads."""

from __future__ import annotations

import pytest

from router.catalog import build
from router.credentials import Credentials
from router.providers.price_table import PriceTable
from router.providers.provider import PROVIDERS, SIGNER_OPTIONS, Provider
from services.config import parse
from services.model_list import PROVIDER_OPTIONS


async def test_every_signer_has_its_options_and_none_is_listed_without_one() -> None:
    credentials = Credentials({})
    assert set(SIGNER_OPTIONS) == set(credentials.signers)
    await credentials.close()


def test_every_auth_of_a_provider_is_a_place_or_a_signer() -> None:
    for provider in PROVIDERS.values():
        where, _, name = provider.auth.partition(":")
        assert where in SIGNER_OPTIONS or where == "bearer" or (where in ("header", "query") and name), provider.name


@pytest.mark.parametrize("auth", SIGNER_OPTIONS)
def test_an_option_reaches_its_signer_and_is_never_shown(auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the row of the provider says of them."""
    monkeypatch.setattr("router.catalog.PROVIDERS", {"cloud": Provider("cloud", auth=auth)})
    options = {name: f"value-of-{name}" for name in SIGNER_OPTIONS[auth]}
    assert set(options) <= set(PROVIDER_OPTIONS)
    written = ", ".join(f"{name}: {value}" for name, value in options.items())
    text = (
        "model_list:\n- model_name: g\n  litellm_params: {model: cloud/m, api_base: 'https://h.example', "
        f"input_cost_per_token: 0, output_cost_per_token: 0, organization: other, {written}}}\n"
    )
    (deployment,) = build(parse(text, name="f.yaml", environ={}), {}, PriceTable).groups["g"]
    assert deployment.options == options
    assert "value-of-" not in repr(deployment)
