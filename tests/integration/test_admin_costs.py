"""Costs without a call, as LiteLLM shapes them: the edge's half and the router's, over a deployment of known prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gateway.v1 import common_pb2, keystore_pb2

from router.providers.tariff import Band, Tariff
from services.costs import STANDARD
from services.markups import Markup
from services.money import Rates
from tests.edge_scene import PRICED, Scene


async def post(scene: Scene, path: str, body: object, key: str | None = None) -> tuple[int, Any]:
    async with scene.client(key) if key else scene.client() as client:
        answer = await client.post(path, json=body)
        return answer.status_code, answer.json()


async def test_an_estimate_has_litellms_shape(scene: Scene) -> None:
    """LiteLLM's answer for gpt-4o, whose prices these are."""
    status, body = await post(scene, "/cost/estimate", {"model": "m", "input_tokens": 1000, "output_tokens": 500})
    parts = ("input", "output", "margin", "cache_read", "cache_creation", "reasoning")
    assert status == 200
    assert body == {
        "model": "m",
        "input_tokens": 1000,
        "output_tokens": 500,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "reasoning_tokens": 0,
        "num_requests_per_day": None,
        "num_requests_per_month": None,
        "cost_per_request": 0.0075,
        **{f"{part}_cost_per_request": 0.0 for part in parts},
        "input_cost_per_request": 0.0025,
        "output_cost_per_request": 0.005,
        **{f"{period}_cost": None for period in ("daily", "monthly")},
        **{f"{period}_{part}_cost": None for period in ("daily", "monthly") for part in parts},
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-06,
        "cache_creation_input_token_cost": 2.5e-06,
        "output_cost_per_reasoning_token": 1e-05,
        "provider": "openai",
    }


async def test_an_estimate_tells_its_parts_and_what_many_calls_come_to(scene: Scene) -> None:
    scene.deployment = replace(
        PRICED,
        rates=Tariff(
            {STANDARD: (Band(1000, Rates.of(input=8 * 10**9, output=0)), Band(-1, PRICED.ceiling_rates))},
            Markup(discount=500_000_000, margin=200_000_000, fee_nano_usd=7),
        ),
    )
    asked = {
        "model": "openai/priced-model",
        "input_tokens": 2000,
        "cache_read_input_tokens": 500,
        "output_tokens": 10,
        "num_requests_per_day": 10,
        "num_requests_per_month": 300,
    }
    _, body = await post(scene, "/cost/estimate", asked)
    # 16,000,000 nano-dollars, half of it, and a fifth on that; the margin is 1,600,000 and 7.
    assert body["cost_per_request"] == 0.009600007
    assert (body["input_cost_per_request"], body["cache_read_cost_per_request"]) == (0.016, 0.004)
    assert body["margin_cost_per_request"] == 0.001600007
    assert (body["daily_cost"], body["monthly_margin_cost"]) == (0.09600007, 0.4800021)


async def test_messages_and_answers_are_priced_as_litellm_does(scene: Scene) -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert await post(scene, "/spend/calculate", {"model": "m", "messages": messages}) == (200, {"cost": 2e-05})
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    answer = {"id": "x", "model": "priced-model", "choices": [{"index": 0}], "usage": usage}
    assert await post(scene, "/spend/calculate", {"completion_response": answer}) == (200, {"cost": 0.00075})
    usage["prompt_tokens_details"] = {"cached_tokens": 40, "audio_tokens": None}  # type: ignore[assignment]
    assert await post(scene, "/spend/calculate", {"model": "m", "completion_response": {**answer, "model": "?"}}) == (
        200,
        {"cost": 0.0007},
    )


async def test_the_tier_of_an_answer_is_priced(scene: Scene) -> None:
    bands = {
        STANDARD: (Band(-1, Rates.of(input=10**9, output=0)),),
        common_pb2.SERVICE_TIER_FLEX: (Band(-1, Rates.of(input=5 * 10**8, output=0)),),
    }
    scene.deployment = replace(PRICED, rates=Tariff(bands))
    answer = {"model": "m", "usage": {"prompt_tokens": 1000}, "service_tier": "flex"}
    assert (await post(scene, "/spend/calculate", {"completion_response": answer}))[1] == {"cost": 0.0005}
    answer["service_tier"] = "default"
    assert (await post(scene, "/spend/calculate", {"completion_response": answer}))[1] == {"cost": 0.001}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/cost/estimate", {"model": "other"}, "neither a model group nor a model of one"),
        ("/cost/estimate", {}, "missing required field `model`"),
        ("/cost/estimate", {"model": "m", "input_tokens": -1}, "input_tokens"),
        ("/cost/estimate", {"model": "m", "input_tokens": 1 << 41}, "input_tokens"),
        ("/spend/calculate", {"model": "m"}, "Give a model and its messages"),
        ("/spend/calculate", {"messages": []}, "neither a model group nor a model of one"),
    ],
)
async def test_what_cannot_be_priced_is_refused_by_name(scene: Scene, path: str, body: object, words: str) -> None:
    status, answer = await post(scene, path, body)
    assert status == 400
    assert words in answer["error"]["message"]


async def test_an_unknown_price_is_no_price_of_nothing(scene: Scene) -> None:
    scene.deployment = replace(PRICED, rates=Rates(), unpriced=True)
    status, answer = await post(scene, "/cost/estimate", {"model": "m", "input_tokens": 1})
    assert status == 400
    assert "Nobody knows what 'm' costs" in answer["error"]["message"]


async def test_what_comes_to_more_than_can_be_said_is_refused(scene: Scene) -> None:
    scene.deployment = replace(PRICED, rates=Rates.of(input=10**18, output=0))
    assert (await post(scene, "/cost/estimate", {"model": "m", "input_tokens": 1 << 40}))[0] == 400


async def test_a_key_asks_about_its_own_models_only(scene: Scene) -> None:
    scene.add_key("sk-own", keystore_pb2.Key(key_id="k1", terms=keystore_pb2.Terms(models=["m"])))
    scene.add_key("sk-other", keystore_pb2.Key(key_id="k2", terms=keystore_pb2.Terms(models=["org/large"])))
    scene.add_key("sk-blocked", keystore_pb2.Key(key_id="k3", blocked=True))
    asked = {"model": "m", "input_tokens": 1000}
    assert (await post(scene, "/cost/estimate", asked, "sk-own"))[1]["cost_per_request"] == 0.0025
    assert (await post(scene, "/cost/estimate", asked, "sk-other"))[0] == 403
    for key in ("sk-blocked", "sk-unknown"):
        assert (await post(scene, "/spend/calculate", {"model": "m", "messages": []}, key))[0] == 401
