"""config.yaml: what LiteLLM's users wrote must load, exactly, or fail in one line that says where and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.config import MAX_FILE_BYTES, Config, ConfigError, GeneralSettings, load, parse

SECRET = "sk-a-secret-of-the-environment"


def read(text: str, environ: Mapping[str, str] | None = None) -> Config:
    return parse(text, name="config.yaml", environ=environ or {})


def error_of(text: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, environ)
    return str(caught.value)


def entry_text(params: str, info: str = "{}") -> str:
    return (
        f"model_list:\n  - model_name: m\n    litellm_params: {{model: openai/m, {params}}}\n    model_info: {info}\n"
    )


# The configurations of the user's guide, whole.
GUIDE = {path.stem: path.read_text() for path in sorted((Path(__file__).parents[2] / "guide").glob("*.yaml"))}


@pytest.mark.parametrize("text", GUIDE.values(), ids=GUIDE)
def test_every_configuration_of_the_guide_loads_and_has_no_unknown_key(text: str) -> None:
    assert [key for key in read(text).ignored if not key.known] == []


def test_the_guides_server_is_understood() -> None:
    config = read(GUIDE["server"], {"OPENAI_API_KEY": SECRET})
    assert [entry.model_name for entry in config.model_list] == [
        "gpt-4o",
        "gpt-4o-mini",
        "claude-3-5-sonnet",
        "mistral-7b-local",
        "fast-model",
    ]
    first, _, claude, local, fast = config.model_list
    assert (first.params.model, first.params.api_key) == ("openai/gpt-4o", SECRET)
    assert claude.params.api_key is None, "a variable that is not set"
    assert (local.params.api_base, local.params.api_key) == ("http://localhost:8080/v1", "none")
    assert fast.info.mode == "chat"
    assert config.litellm_settings.request_timeout == 60
    assert config.litellm_settings.drop_params is True
    assert config.router_settings.num_retries == 3
    assert config.general_settings == GeneralSettings(master_key="sk-my-secret-master-key")


def test_an_empty_file_is_a_configuration() -> None:
    config = read("")
    assert config == Config()
    assert config.litellm_settings.request_timeout == 600
    assert config.litellm_settings.budget_exceeded_status_code == 422


def test_what_nothing_acts_on_is_named() -> None:
    text = entry_text("num_retries: 2, temperature: 1", "{supports_vision: true, mode: chat}")
    text += "    tags: [a]\nrouter_settings: {retry_policy: {}}\nlitellm_settings: {cache_params: {ttl: 1}}\n"
    text += "mystery: {a: 1}\nguardrails: []\n"
    assert [(key.path, key.known) for key in read(text).ignored] == [
        ("model_list[].tags", True),
        ("model_list[].litellm_params.num_retries", True),
        ("model_list[].model_info.supports_vision", True),
        ("litellm_settings.cache_params", True),
        ("router_settings.retry_policy", True),
        ("mystery", False),
        ("guardrails", True),
    ]


class TestEnvironmentVariables:
    """They count for the rest of the file, and win over what is in the environment."""

    def test_they_are_given_on_and_used(self) -> None:
        text = "environment_variables: {BASE: http://b, KEY: os.environ/GIVEN, RETRIES: 4, GONE: os.environ/NOT_SET}\n"
        text += "router_settings: {num_retries: os.environ/RETRIES}\n"
        text += entry_text("api_base: os.environ/BASE, api_key: os.environ/KEY")
        config = read(text, {"GIVEN": SECRET, "BASE": "http://of-the-environment"})
        assert config.environment_variables == {"BASE": "http://b", "KEY": SECRET, "RETRIES": "4"}
        assert config.router_settings.num_retries == 4
        assert (config.model_list[0].params.api_base, config.model_list[0].params.api_key) == ("http://b", SECRET)
        assert SECRET not in repr(config)

    def test_the_environment_given_is_left_as_it_is(self) -> None:
        environ: dict[str, str] = {}
        read("environment_variables: {A: b}", environ)
        assert environ == {}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{'A=B': c}", "environment_variables.A=B: is no name of a variable: letters, digits and _ make one"),
            ("{A: [b]}", "environment_variables.A: expected a text, found a list"),
            ('{A: "b\\0"}', "environment_variables.A: holds a NUL, which no variable can"),
            ("[A]", "environment_variables: expected a mapping, found a list"),
        ],
    )
    def test_what_can_be_no_variable_is_an_error(self, text: str, message: str) -> None:
        assert error_of(f"environment_variables: {text}") == f"config.yaml:1: {message}"


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("False", False), ("'TRUE'", True), ("os.environ/DROP", True), ("''", None)]
)
def test_a_boolean_may_be_a_text(written: str, value: bool | None) -> None:
    assert read(entry_text(f"drop_params: {written}"), {"DROP": "true"}).model_list[0].params.drop_params is value


def test_a_text_cannot_include_a_file() -> None:
    assert error_of("include: more.yaml") == "config.yaml:1: include: a text that is no file cannot include one"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-7", "1e-7"),
        ("3e-06", "3e-06"),
        ("0.000003", "0.000003"),
        ("0.1", "0.1"),
        ("1.5E-06", "0.0000015"),
        ("'2.5e-6'", "0.0000025"),
        (".5", "0.5"),
        ("1", "1"),
        ("0", "0"),
        ("os.environ/COST", "0.25"),
    ],
)
def test_a_cost_is_the_decimal_of_its_text(written: str, value: str) -> None:
    costs = read(entry_text(f"input_cost_per_token: {written}"), {"COST": "0.25"}).model_list[0].costs
    assert costs == {"input_cost_per_token": Decimal(value)}


@given(st.decimals(min_value=0, max_value=1000, places=15))
def test_any_cost_survives_being_written(cost: Decimal) -> None:
    assert read(entry_text(f"output_cost_per_token: {cost}")).model_list[0].costs == {"output_cost_per_token": cost}


def test_costs_of_params_win_over_those_of_info_one_by_one() -> None:
    info = "{input_cost_per_token: 1, output_cost_per_token: 2, cache_read_input_token_cost: 3}"
    costs = read(entry_text("input_cost_per_token: 0", info)).model_list[0].costs
    assert costs == {
        "input_cost_per_token": Decimal(0),
        "output_cost_per_token": Decimal(2),
        "cache_read_input_token_cost": Decimal(3),
    }


def test_costs_above_a_length_and_at_a_service_tier_are_read() -> None:
    config = read(entry_text("input_cost_per_token_above_200k_tokens_flex: 1e-6", "{input_cost_per_token_batches: 2}"))
    assert config.model_list[0].costs == {
        "input_cost_per_token_above_200k_tokens_flex": Decimal("1e-6"),
        "input_cost_per_token_batches": Decimal(2),
    }
    assert not config.ignored


def test_body_members_are_defaults_with_plain_json_values() -> None:
    text = entry_text("temperature: 0.7, max_tokens: 5, stop: [a], seed: null, n: 3, extra_body: {top_k: [1.5, x]}")
    config = read(text)
    params = config.model_list[0].params
    assert params.defaults == {"temperature": 0.7, "max_tokens": 5, "stop": ["a"]}
    assert type(params.defaults["temperature"]) is float
    assert params.extra_body == {"top_k": [1.5, "x"]}
    assert [key.path for key in config.ignored] == ["model_list[].litellm_params.n"]


def test_base_url_is_another_word_for_api_base() -> None:
    assert read(entry_text("base_url: http://a")).model_list[0].params.api_base == "http://a"
    assert read(entry_text("base_url: http://a, api_base: http://b")).model_list[0].params.api_base == "http://b"


def test_variables_are_filled_in_anywhere_and_braces_are_left_alone() -> None:
    text = entry_text(
        "api_base: 'http://os.environ/HOST:1/v1', api_key: '${KEY}', "
        "extra_headers: {A: 'Bearer os.environ/KEY', B: os.environ/NOT_SET, C: 3}, extra_body: {k: [os.environ/KEY]}"
    )
    params = read(text, {"HOST": "h", "KEY": "k"}).model_list[0].params
    assert params.api_base == "http://h:1/v1"
    assert params.api_key == "${KEY}"
    assert params.extra_headers == {"A": "Bearer k", "C": "3"}
    assert params.extra_body == {"k": ["k"]}


def test_no_secret_is_in_a_repr() -> None:
    text = entry_text(f"api_key: {SECRET}, extra_headers: {{authorization: {SECRET}}}, extra_body: {{k: {SECRET}}}")
    text += f"general_settings: {{master_key: {SECRET}, database_url: 'postgresql://u:{SECRET}@h/d'}}"
    assert SECRET not in repr(read(text))


class TestIds:
    """A deployment without an id of its own is named by what is written of it."""

    def ids(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        return [entry.info.id for entry in read(text, environ).model_list]

    def test_the_files_id_wins(self) -> None:
        assert self.ids(entry_text("rpm: 1", "{id: mine}")) == ["mine"]

    def test_they_are_sha256_and_stable(self) -> None:
        assert self.ids(entry_text("rpm: 1, tpm: 1.5e3")) == self.ids(entry_text("tpm: 1.5e3, rpm: 1"))
        # Of `["m",{"model":"openai/m","rpm":1}]`: entries in the ledger name deployments so for years.
        assert self.ids(entry_text("rpm: 1")) == ["bda273f44262fb3039d3af516f75d56e8afba4ff27962b786fea248fa791a35a"]

    def test_another_parameter_or_group_is_another_id(self) -> None:
        assert len({*self.ids(entry_text("rpm: 1")), *self.ids(entry_text("rpm: 2"))}) == 2
        assert len(set(self.ids(GUIDE["server"]))) == 5, "fast-model and gpt-4o-mini have the same parameters"

    def test_twins_differ(self) -> None:
        assert len(set(self.ids(GUIDE["load-balancing"]))) == 2

    def test_a_rotated_credential_changes_nothing(self) -> None:
        assert self.ids(entry_text("api_key: sk-1")) == self.ids(entry_text("api_key: sk-2"))
        text = entry_text("api_base: os.environ/BASE")
        assert self.ids(text, {"BASE": "http://a"}) == self.ids(text, {"BASE": "http://b"})

    def test_one_id_for_two_is_an_error(self) -> None:
        item = "{model_name: a, litellm_params: {model: openai/a}, model_info: {id: x}}"
        assert error_of(f"model_list:\n- {item}\n- {item}") == (
            "config.yaml:3: model_list[1].model_info.id: is already that of model_list[0]"
        )


BROKEN = {
    "not a number": (
        "model_list:\n- model_name: a\n  litellm_params:\n    model: openai/a\n    rpm: many",
        "config.yaml:5: model_list[0].litellm_params.rpm: expected a whole number, found 'many'",
    ),
    "a boolean for a number": (
        entry_text("rpm: true"),
        "config.yaml:3: model_list[0].litellm_params.rpm: expected a whole number, found True",
    ),
    "a fraction for a count": (
        entry_text("rpm: 1.5"),
        "config.yaml:3: model_list[0].litellm_params.rpm: expected a whole number, found 1.5",
    ),
    "a negative price": (
        entry_text("input_cost_per_token: -1e-7"),
        "config.yaml:3: model_list[0].litellm_params.input_cost_per_token: "
        "expected a number between 0 and 1000, found -1E-7",
    ),
    "no number at all": (
        entry_text("output_cost_per_token: .nan"),
        "config.yaml:3: model_list[0].litellm_params.output_cost_per_token: expected a number, found '.nan'",
    ),
    "a number that is none": (
        "litellm_settings: {max_budget: nan}",
        "config.yaml:1: litellm_settings.max_budget: expected a number between 0 and 9000000, found 'nan'",
    ),
    "a number for a text": (
        "model_list:\n- model_name: 4\n  litellm_params: {model: a}",
        "config.yaml:2: model_list[0].model_name: expected a text in quotes, found 4",
    ),
    "no model": (
        "model_list:\n- model_name: a\n",
        "config.yaml:2: model_list[0].litellm_params.model: is missing, or names a variable that is not set",
    ),
    "a list for a mapping": (
        "general_settings: [a]",
        "config.yaml:1: general_settings: expected a mapping, found a list",
    ),
    "a mapping for a list": ("model_list: {a: 1}", "config.yaml:1: model_list: expected a list, found a mapping"),
    "a text for the file": ("hello", "config.yaml:1: expected a mapping, found 'hello'"),
    "a budget beyond Redis": (
        "litellm_settings:\n  max_budget: 9000001",
        "config.yaml:2: litellm_settings.max_budget: expected a number between 0 and 9000000, found 9000001",
    ),
    "a timeout of nothing": (
        "litellm_settings: {request_timeout: 0}",
        "config.yaml:1: litellm_settings.request_timeout: expected a number between 0.001 and 86400, found 0",
    ),
    "a status that is no error": (
        "litellm_settings: {budget_exceeded_status_code: 200}",
        "config.yaml:1: litellm_settings.budget_exceeded_status_code: "
        "expected a whole number between 400 and 599, found 200",
    ),
    "neither true nor false": (
        "litellm_settings: {drop_params: maybe}",
        "config.yaml:1: litellm_settings.drop_params: expected true or false, found 'maybe'",
    ),
    "headers in headers": (
        entry_text("extra_headers: {a: [b]}"),
        "config.yaml:3: model_list[0].litellm_params.extra_headers.a: expected a text, found a list",
    ),
    "a number too large for JSON": (
        entry_text("temperature: 1e999"),
        "config.yaml:3: model_list[0].litellm_params.temperature: holds a number too large for JSON",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_mistake_is_one_line_with_file_line_and_key(text: str, message: str) -> None:
    assert error_of(text) == message


@pytest.mark.parametrize(
    "text",
    [
        entry_text("rpm: os.environ/KEY"),
        entry_text(f"timeout: {SECRET}"),
        entry_text(f"rpm: 1, api_key: [{SECRET}]"),
        f"general_settings: {SECRET}",
        "general_settings: {master_key: 123456}",
    ],
)
def test_an_error_shows_no_secret(text: str) -> None:
    message = error_of(text, {"KEY": SECRET})
    assert SECRET not in message
    assert "123456" not in message


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "config.yaml"
        path.write_bytes(content)
        return path

    return write


class TestLoad:
    """What can be wrong with the file itself."""

    def error_of(self, path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        return str(caught.value).replace(str(path), "F")

    def test_it_reads_utf8_with_or_without_a_mark(self, write: Callable[[bytes], Path]) -> None:
        text = "model_list: [{model_name: 德国, litellm_params: {model: openai/m}}]"
        for encoding in ("utf-8", "utf-8-sig"):
            assert load(write(text.encode(encoding)), {}).model_list[0].model_name == "德国"

    def test_a_missing_file_says_so(self, tmp_path: Path) -> None:
        assert self.error_of(tmp_path / "none.yaml") == "F: cannot be read: No such file or directory"

    def test_other_encodings_are_refused_with_their_line(self, write: Callable[[bytes], Path]) -> None:
        assert self.error_of(write(b"a: 1\nb: \xe9\n")) == "F:2: is not UTF-8"

    def test_a_file_of_the_limit_is_read_and_one_byte_more_is_not(self, write: Callable[[bytes], Path]) -> None:
        content = b"a: 1 #" + b"." * (MAX_FILE_BYTES - 6)
        assert [key.path for key in load(write(content), {}).ignored] == ["a"]
        assert self.error_of(write(content + b".")) == f"F: is larger than {MAX_FILE_BYTES} bytes"


@pytest.mark.parametrize(
    ("text", "kept_seconds"),
    [("1d", 86_400), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600), ("1mo", 2_678_400)],
)
def test_how_long_entries_are_kept(text: str, kept_seconds: int) -> None:
    config = read(f"general_settings: {{maximum_spend_logs_retention_period: {text}}}")
    assert config.general_settings.maximum_spend_logs_retention_seconds == kept_seconds


def test_entries_are_kept_for_ever_unless_told() -> None:
    assert read("general_settings: {}").general_settings.maximum_spend_logs_retention_seconds is None


@pytest.mark.parametrize("value", ["30", '"30"', "forever", "0d", "12h", "30 days", "-1d", "200000w"])
def test_what_is_no_time_to_keep_entries_is_named(value: str) -> None:
    error = error_of(f"general_settings:\n  maximum_spend_logs_retention_period: {value}\n")
    assert error.startswith("config.yaml:2: general_settings.maximum_spend_logs_retention_period: ")
