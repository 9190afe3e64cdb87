"""From configuration to deployments, and what edges and keystores are told of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest
from gateway.v1 import common_pb2

from router.catalog import Catalog, Deployment, Prices, build
from router.providers.prices import ListPrice
from router.providers.provider import PROVIDERS
from router.wire import WIRES
from services.config import ConfigError, parse
from services.costs import PriceOf
from services.money import Rates

LISTED = ListPrice(
    {PriceOf("input"): 100, PriceOf("output"): 200, PriceOf("cache_read"): 50},
    {"input": 1000, "output": 2000, "cache_read": 1000},
    128_000,
)
LISTED_RATES = Rates.of(input=100, output=200, cache_read=50)
LISTED_CEILING = Rates.of(input=1000, output=2000)


class FewPrices:
    """A table of one price: OpenAI's gpt-4o."""

    def find(self, provider: str, model: str) -> ListPrice | None:
        return LISTED if (provider, model) == ("openai", "gpt-4o") else None

    def provider_of(self, model: str) -> str | None:
        return {
            "gpt-4o": "openai",
            "gpt-new": "openai",
            "claude": "anthropic",
            "nova": "of-the-table",
            "command": "cohere",
            "gemini": "google",
        }.get(model)


def catalog_of(text: str, environ: Mapping[str, str] | None = None) -> Catalog:
    environ = environ or {}
    return build(parse(text, name="f.yaml", environ=environ), environ, FewPrices)


def deployment_of(
    params: str, info: str = "{}", rest: str = "", environ: Mapping[str, str] | None = None
) -> Deployment:
    text = f"model_list:\n- model_name: g\n  litellm_params: {{{params}}}\n  model_info: {info}\n{rest}"
    (deployment,) = catalog_of(text, environ).groups["g"]
    return deployment


def error_of(params: str, info: str = "{}") -> str:
    with pytest.raises(ConfigError) as caught:
        deployment_of(params, info)
    return str(caught.value)


def left_out_of(params: str, info: str = "{}", name: str = "g") -> tuple[str, ...]:
    catalog = catalog_of(f"model_list:\n- model_name: '{name}'\n  litellm_params: {{{params}}}\n  model_info: {info}")
    assert not catalog.groups
    return catalog.left_out


class TestTarget:
    """Which provider and model a text means."""

    @pytest.mark.parametrize(
        ("params", "provider", "model"),
        [
            ("model: openai/gpt-4o", "openai", "gpt-4o"),
            ("model: openai/mistralai/Mistral-7B-Instruct-v0.3", "openai", "mistralai/Mistral-7B-Instruct-v0.3"),
            ("model: gpt-4o", "openai", "gpt-4o"),
            ("model: gpt-new", "openai", "gpt-new"),
            ("model: anything, custom_llm_provider: openai", "openai", "anything"),
            ("model: openai/x, custom_llm_provider: openai", "openai", "x"),
            ("model: org/x, custom_llm_provider: hosted_vllm, api_base: http://h", "hosted_vllm", "org/x"),
            ("model: hosted_vllm/org/x, api_base: http://h", "hosted_vllm", "org/x"),
            ("model: openai_like/x, api_base: http://h", "openai_like", "x"),
            ("model: custom_openai/x, api_base: http://h", "custom_openai", "x"),
            ("model: anthropic/claude", "anthropic", "claude"),
            ("model: claude", "anthropic", "claude"),
            ("model: cohere/command", "cohere", "command"),
            ("model: cohere_chat/command", "cohere_chat", "command"),
            ("model: command", "cohere", "command"),
            ("model: 'ollama/qwen3:4b'", "ollama", "qwen3:4b"),
            ("model: ollama_chat/hf.co/org/x", "ollama_chat", "hf.co/org/x"),
            ("model: gemini/gemini-pro", "gemini", "gemini-pro"),
            ("model: vertex_ai/gemini-pro", "vertex_ai", "gemini-pro"),
            ("model: gemini", "vertex_ai", "gemini"),
            ("model: groq/openai/gpt-oss", "groq", "openai/gpt-oss"),
            ("model: my-model, api_base: http://own/v1", "openai_like", "my-model"),
            ("model: my-model, api_base: https://api.groq.com/openai/v1", "groq", "my-model"),
            ("model: gpt-4o, api_base: http://own/v1", "openai", "gpt-4o"),
        ],
    )
    def test_it_is_found(self, params: str, provider: str, model: str) -> None:
        deployment = deployment_of(params)
        assert (deployment.provider, deployment.provider_model) == (provider, model)

    def test_a_provider_says_which_language_it_speaks(self) -> None:
        assert deployment_of("model: openai/gpt-4o").wire == "openai"
        claude = deployment_of("model: anthropic/claude", environ={"ANTHROPIC_API_KEY": "k"})
        assert (claude.wire, claude.api_base, claude.api_key) == ("anthropic", "https://api.anthropic.com", "k")
        elsewhere = {"ANTHROPIC_BASE_URL": "http://url", "ANTHROPIC_API_BASE": "http://base"}
        assert deployment_of("model: anthropic/claude", environ=elsewhere).api_base == "http://base"
        command = deployment_of("model: cohere_chat/command", environ={"CO_API_KEY": "k"})
        assert (command.wire, command.api_base, command.api_key) == ("cohere", "https://api.cohere.com", "k")
        assert deployment_of("model: cohere/v1/command").wire == "cohere-v1"
        local = deployment_of("model: ollama/qwen3", environ={"OLLAMA_API_BASE": "http://gpu:11434"})
        assert (local.wire, local.api_base, local.api_key) == ("ollama", "http://gpu:11434", "")
        assert deployment_of("model: ollama_chat/qwen3").api_base == "http://localhost:11434"
        spoken = {wire for provider in PROVIDERS.values() for wire in (provider.wire, *provider.wires.values())}
        assert spoken - {""} <= WIRES.keys()

    def test_a_provider_may_speak_another_language_for_some_models(self) -> None:
        wires = {model: deployment_of(f"model: vertex_ai/{model}").wire for model in ("gemini-x", "claude-x", "7")}
        assert wires == {"gemini-x": "gemini-vertex", "claude-x": "anthropic-vertex", "7": "gemini-vertex"}
        spoken = {wire for provider in PROVIDERS.values() for wire in provider.wires.values()}
        assert spoken - {""} <= WIRES.keys()

    def test_a_name_that_no_provider_has_is_an_error_with_near_ones(self) -> None:
        message = error_of("model: opnai/gpt-4o")
        assert message.startswith(
            "f.yaml:2: model_list[0].litellm_params.model: no provider is called 'opnai' (is it openai"
        )

    def test_a_model_of_nobody_is_an_error_that_says_where_the_providers_are_listed(self) -> None:
        message = error_of("model: my-model")
        assert "'my-model' does not say whose model it is; write PROVIDER/my-model" in message
        assert "docs/reference/providers.md lists the providers" in message

    @pytest.mark.parametrize(
        ("params", "info", "name", "reason"),
        [
            ("model: predibase/llama", "{}", "g", "the provider predibase is not served yet"),
            ("model: nova", "{}", "g", "the provider of-the-table is not served yet"),
            (
                "model: openai/text-embedding-3-small",
                "{mode: image_generation}",
                "g",
                "the mode image_generation is not served yet",
            ),
            ("model: openai/*", "{}", "openai/*", "wildcards are not served yet"),
        ],
    )
    def test_what_is_not_served_yet_is_left_out_and_named(self, params: str, info: str, name: str, reason: str) -> None:
        assert left_out_of(params, info, name) == (f"f.yaml:2: model_list[0]: {name} is left out: {reason}",)


class TestAddressAndKey:
    """The entry's own, else the environment's, else the provider's."""

    def test_the_entrys_own(self) -> None:
        environ = {"OPENAI_API_KEY": "env", "OPENAI_BASE_URL": "http://env"}
        deployment = deployment_of("model: openai/x, api_base: http://own/v1/, api_key: own", environ=environ)
        assert (deployment.api_base, deployment.api_key) == ("http://own/v1", "own")

    def test_the_environments(self) -> None:
        environ = {"OPENAI_API_KEY": "env", "OPENAI_API_BASE": "http://env"}
        deployment = deployment_of("model: openai/x, api_key: os.environ/NOT_SET", environ=environ)
        assert (deployment.api_base, deployment.api_key) == ("http://env", "env")

    def test_the_providers(self) -> None:
        deployment = deployment_of("model: openai/x")
        assert (deployment.api_base, deployment.api_key) == ("https://api.openai.com/v1", "")

    def test_an_address_has_the_options_in_it(self) -> None:
        home = "aiplatform.googleapis.com"
        assert deployment_of("model: vertex_ai/x").api_base == f"https://us-central1-{home}"
        environ = {"VERTEXAI_PROJECT": "p", "VERTEX_LOCATION": "eu"}
        own = "model: vertex_ai/x, vertex_location: us-east5, vertex_credentials: secret-of-mine"
        there = deployment_of(own, environ=environ)
        assert there.api_base == f"https://us-east5-{home}"
        assert there.options == {
            "vertex_project": "p",
            "vertex_location": "us-east5",
            "vertex_credentials": "secret-of-mine",
        }
        assert (there.auth, "secret-of-mine" in repr(there)) == ("google", False)
        assert deployment_of("model: vertex_ai_beta/x", environ=environ).api_base == f"https://eu-{home}/v1beta1"

    def test_a_key_goes_where_the_provider_wants_it(self) -> None:
        environ = {"GEMINI_API_KEY": "gemini", "GOOGLE_API_KEY": "google"}
        deployment = deployment_of("model: gemini/x", environ=environ)
        assert (deployment.api_key, deployment.auth) == ("google", "header:x-goog-api-key")

    def test_a_server_of_ones_own_needs_an_address(self) -> None:
        assert error_of("model: hosted_vllm/x") == (
            "f.yaml:2: model_list[0].litellm_params.api_base: is missing: hosted_vllm has no address of its own"
        )

    def test_an_account_that_the_address_needs_is_asked_for(self) -> None:
        assert error_of("model: cloudflare/x") == (
            "f.yaml:2: model_list[0].litellm_params.account_id: is missing: the address of cloudflare needs it"
        )

    def test_a_mocked_one_needs_none(self) -> None:
        for model in ("hosted_vllm/x", "azure/x", "cloudflare/x"):
            assert deployment_of(f"model: {model}, mock_response: hello").mock_response == "hello"

    def test_credentials_are_not_in_the_repr(self) -> None:
        params = "model: openai/x, api_key: sk-key, extra_headers: {a: sk-key}, extra_body: {b: sk-key}"
        assert "sk-key" not in repr(deployment_of(params))


class TestPrice:
    """Configured, else listed, else unknown and marked."""

    def test_a_listed_price(self) -> None:
        deployment = deployment_of("model: openai/gpt-4o")
        assert (deployment.rates, deployment.ceiling_rates) == (LISTED_RATES, LISTED_CEILING)
        assert (deployment.unpriced, deployment.max_input_tokens) == (False, 128_000)

    def test_a_mocked_deployment_costs_what_the_model_it_names_costs(self) -> None:
        assert deployment_of("model: openai/gpt-4o, mock_response: x").rates == LISTED_RATES

    def test_a_configured_price_wins_and_needs_no_table(self) -> None:
        def no_table() -> Prices:
            raise AssertionError("loaded for nothing")

        text = """model_list: [{model_name: g, litellm_params:
          {model: openai/gpt-4o, input_cost_per_token: 1e-6, output_cost_per_token: 0}}]"""
        (deployment,) = build(parse(text, name="f", environ={}), {}, no_table).groups["g"]
        assert deployment.rates == Rates.of(input=10**9, output=0)
        assert deployment.unpriced is False

    def test_base_model_says_what_it_is(self) -> None:
        assert deployment_of("model: openai/my-name", "{base_model: gpt-4o}").rates == LISTED_RATES
        vllm = "model: hosted_vllm/x, api_base: http://h"
        assert deployment_of(vllm, "{base_model: openai/gpt-4o}").rates == LISTED_RATES
        assert deployment_of(vllm, "{base_model: gpt-4o}").rates == LISTED_RATES

    def test_a_providers_discount_and_margin_are_part_of_its_price(self) -> None:
        settings = "litellm_settings: {cost_discount_config: {openai: 0.5}, cost_margin_config: {global: 0.1}}"
        usage = common_pb2.TokenUsage(input_tokens=10**6, output_tokens=10**6)
        deployment = deployment_of("model: openai/gpt-4o", rest=settings)
        assert deployment.rates.cost(usage) == 165, "300 at half the price, and a tenth on it"
        assert (deployment.ceiling_rates.input, deployment.ceiling_rates.output) == (550, 1100)
        other = deployment_of("model: groq/x, input_cost_per_token: 1e-6, output_cost_per_token: 0", rest=settings)
        assert other.rates.cost(usage) == 1_100_000_000

    def test_an_unknown_price_is_marked(self) -> None:
        deployment = deployment_of("model: openai/unheard-of")
        assert (deployment.unpriced, deployment.rates, deployment.ceiling_rates) == (True, Rates(), Rates())

    def test_a_price_of_zero_is_known(self) -> None:
        assert not deployment_of("model: openai/x, input_cost_per_token: 0, output_cost_per_token: 0").unpriced

    def test_too_fine_a_cost_is_an_error_of_its_entry(self) -> None:
        message = error_of("model: openai/x, input_cost_per_token: 1e-16, output_cost_per_token: 0")
        assert message == (
            "f.yaml:2: model_list[0]: input_cost_per_token: 1E-16 USD a token has more than 15 decimal places"
        )


@pytest.mark.parametrize(
    ("params", "rest", "seconds"),
    [
        ("", "", (600, 600)),
        ("", "litellm_settings: {request_timeout: 60}", (60, 60)),
        ("", "litellm_settings: {request_timeout: 60}\nrouter_settings: {timeout: 50}", (50, 50)),
        ("", "router_settings: {timeout: 50, stream_timeout: 5}", (50, 5)),
        (", timeout: 40", "router_settings: {timeout: 50}", (40, 40)),
        (", timeout: 40, stream_timeout: 4", "router_settings: {timeout: 50, stream_timeout: 5}", (40, 4)),
    ],
)
def test_the_nearest_timeout_wins(params: str, rest: str, seconds: tuple[float, float]) -> None:
    deployment = deployment_of(f"model: openai/x{params}", rest=rest)
    assert (deployment.timeout_seconds, deployment.stream_timeout_seconds) == seconds


def test_limits_and_defaults_are_the_entrys() -> None:
    params = "model: openai/gpt-4o, temperature: 0.5, weight: 1.5, rpm: 2, tpm: 3"
    deployment = deployment_of(params, "{id: d1, max_tokens: 5, max_input_tokens: 7}")
    assert deployment.defaults == {"temperature": 0.5}
    assert (deployment.id, deployment.group) == ("d1", "g")
    assert (deployment.weight, deployment.rpm, deployment.tpm) == (1.5, 2, 3)
    assert (deployment.max_output_tokens, deployment.max_input_tokens) == (5, 7)
    assert deployment_of(params, "{max_tokens: 5, max_output_tokens: 6}").max_output_tokens == 6


class TestToProto:
    """A group as one row: dear and large enough for any of its deployments."""

    def row(self, *deployments: Deployment) -> common_pb2.CatalogModel:
        (model,) = Catalog({"g": deployments}).to_proto().models
        return model

    def one(
        self, *, rates: Rates | None = None, output: int = 0, window: int = 0, unpriced: bool = False
    ) -> Deployment:
        return Deployment(
            id="d",
            group="g",
            provider="openai",
            provider_model="m",
            api_base="http://h",
            ceiling_rates=rates or Rates(),
            max_output_tokens=output,
            max_input_tokens=window,
            unpriced=unpriced,
        )

    def test_the_dearest_of_each_kind(self) -> None:
        row = self.row(
            self.one(rates=Rates(1, 8, 2, 2, 1, input_audio=3)), self.one(rates=Rates(2, 4, 0, 0, 7, reasoning=9))
        )
        assert row == common_pb2.CatalogModel(
            name="g",
            operation=common_pb2.OPERATION_CHAT_COMPLETIONS,
            input_nano_usd_per_mtok=3,
            output_nano_usd_per_mtok=9,
            request_nano_usd=7,
        )

    def test_the_largest_limits(self) -> None:
        row = self.row(self.one(output=5, window=6), self.one(output=7, window=3))
        assert (row.max_output_tokens, row.max_input_tokens) == (7, 6)

    def test_one_unknown_limit_is_unknown(self) -> None:
        row = self.row(self.one(output=5, window=6), self.one(output=0, window=0))
        assert (row.max_output_tokens, row.max_input_tokens) == (0, 0)

    def test_one_unknown_price_marks_the_group(self) -> None:
        assert self.row(self.one(), self.one(unpriced=True)).unpriced
        assert not self.row(self.one()).unpriced

    def test_the_dearest_price_that_a_file_can_state_fits(self) -> None:
        params = "{model: openai/x, input_cost_per_token: 1000, output_cost_per_token: 1000}"
        text = f"model_list: [{{model_name: g, litellm_params: {params}}}]"
        (row,) = catalog_of(text).to_proto().models
        assert row.input_nano_usd_per_mtok == Decimal(1000) * 10**15


def test_groups_keep_the_files_order() -> None:
    names = ["z", "a", "z", "m"]
    items = "".join(
        f"- {{model_name: {name}, litellm_params: {{model: openai/x, rpm: {index}}}}}\n"
        for index, name in enumerate(names)
    )
    catalog = catalog_of(f"model_list:\n{items}")
    assert [(name, len(group)) for name, group in catalog.groups.items()] == [("z", 2), ("a", 1), ("m", 1)]
    assert [model.name for model in catalog.to_proto().models] == ["z", "a", "m"]


def test_a_group_shows_all_it_writes_only_if_every_deployment_does() -> None:
    entry = "- {model_name: %s, litellm_params: {model: openai/%s}}"
    items = [entry % each for each in (("a", "gpt-4o"), ("a", "gpt-4.1"), ("b", "gpt-4o"), ("b", "o3"), ("c", "new"))]
    models = catalog_of("\n".join(["model_list:", *items])).to_proto().models
    assert [(model.name, model.shows_all_output) for model in models] == [("a", True), ("b", False), ("c", False)]


def test_one_entry_that_cannot_be_served_yet_does_not_stop_the_others() -> None:
    left_out = "- {model_name: left-out, litellm_params: {model: predibase/llama}}"
    both = "- {model_name: both, litellm_params: {model: %s}}"
    catalog = catalog_of("\n".join(["model_list:", left_out, both % "predibase/llama", both % "openai/gpt-4o"]))
    assert {name: len(group) for name, group in catalog.groups.items()} == {"both": 1}
    assert len(catalog.left_out) == 2


@pytest.mark.parametrize(
    ("everywhere", "here", "dropped"),
    [("false", "null", False), ("true", "null", True), ("true", "false", False), ("false", "true", True)],
)
def test_what_a_deployment_says_of_dropping_parameters_wins(everywhere: str, here: str, dropped: bool) -> None:
    rest = f"litellm_settings: {{drop_params: {everywhere}}}\n"
    assert deployment_of(f"model: openai/x, drop_params: {here}", rest=rest).drop_params is dropped
