"""Retries, fallbacks, aliases and strategies: every form that LiteLLM's users write."""

from __future__ import annotations

import pytest

from services.config import Alias, Config, ConfigError, RouterSettings, parse
from services.router_settings import ROUTING_STRATEGIES


def read(text: str) -> RouterSettings:
    return whole(text).router_settings


def whole(text: str) -> Config:
    return parse(text, name="f.yaml", environ={"GROUP": "from-environment"})


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def test_without_any_they_are_litellms_defaults() -> None:
    settings = read("")
    assert settings == RouterSettings()
    assert (settings.num_retries, settings.retry_after, settings.max_fallbacks, settings.cooldown_time) == (2, 0, 5, 5)
    assert (settings.routing_strategy, settings.allowed_fails) == ("simple-shuffle", None)


BOTH = """
  num_retries: 0
  retry_after: 1.5
  fallbacks: [{a: [b, c]}, {d: e, "gpt-3.5": [os.environ/GROUP]}]
  default_fallbacks: [z]
  max_fallbacks: 3
  allowed_fails: 0
  cooldown_time: 0
"""
READ = RouterSettings(
    num_retries=0,
    retry_after=1.5,
    fallbacks=(("a", ("b", "c")), ("d", ("e",)), ("gpt-3.5", ("from-environment",))),
    default_fallbacks=("z",),
    max_fallbacks=3,
    allowed_fails=0,
    cooldown_time=0,
)


@pytest.mark.parametrize("section", ["litellm_settings", "router_settings"])
def test_both_sections_may_say_it(section: str) -> None:
    assert read(f"{section}:{BOTH}") == READ


def test_those_of_router_settings_win_one_by_one_also_when_they_are_nothing() -> None:
    text = f"litellm_settings:{BOTH}router_settings: {{num_retries: 7, fallbacks: [], retry_after: null}}"
    settings = read(text)
    assert (settings.num_retries, settings.fallbacks, settings.retry_after) == (7, (), 1.5)


def test_an_alias_is_a_group_a_list_of_groups_or_a_mapping() -> None:
    text = "{a: b, c: [d, e], 'f.g': {model: h, hidden: true}, i: {model: j}, k: os.environ/GROUP}"
    assert read(f"router_settings: {{model_group_alias: {text}}}").model_group_alias == {
        "a": Alias(("b",)),
        "c": Alias(("d", "e")),
        "f.g": Alias(("h",), hidden=True),
        "i": Alias(("j",)),
        "k": Alias(("from-environment",)),
    }


@pytest.mark.parametrize("strategy", ["least-busy", "simple-shuffle", "latency-based-routing"])
def test_the_guides_strategies_are_known(strategy: str) -> None:
    assert read(f"router_settings: {{routing_strategy: {strategy}}}").routing_strategy == strategy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{num_retries: -1}", "num_retries: expected a whole number between 0 and 100, found -1"),
        ("{num_retries: 1.5}", "num_retries: expected a whole number, found 1.5"),
        ("{cooldown_time: soon}", "cooldown_time: expected a number, found 'soon'"),
        ("{fallbacks: {a: [b]}}", "fallbacks: expected a list, found a mapping"),
        ("{fallbacks: [a]}", "fallbacks[0]: expected a mapping, found 'a'"),
        ("{fallbacks: [{a: [{b: c}]}]}", "fallbacks[0].a: expected a text in quotes, or a list of them, found a list"),
        ("{default_fallbacks: [1]}", "default_fallbacks: expected a text in quotes, or a list of them, found a list"),
        ("{model_group_alias: {a: []}}", "model_group_alias.a: names no model group"),
        ("{model_group_alias: {a: {hidden: true}}}", "model_group_alias.a: names no model group"),
        ("{model_group_alias: {a: 7}}", "model_group_alias.a: expected a text in quotes, or a list of them, found 7"),
        ("{model_group_alias: [a]}", "model_group_alias: expected a mapping, found a list"),
        (
            "{routing_strategy: least-bussy}",
            f"routing_strategy: no strategy is called 'least-bussy'; there are {', '.join(ROUTING_STRATEGIES)}",
        ),
    ],
)
def test_a_mistake_names_its_key(text: str, message: str) -> None:
    assert error_of(f"router_settings: {text}") == f"f.yaml:1: router_settings.{message}"


def test_they_are_acted_on() -> None:
    written = f"router_settings:{BOTH}  routing_strategy: least-busy\n  model_group_alias: {{a: b}}\n"
    assert whole(written).ignored == ()
