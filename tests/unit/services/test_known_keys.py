"""The table of known keys is true: held to what is read, to what LiteLLM's users write, and to the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import ignored
from services.config import Config, parse
from services.config_reference import render
from services.known_keys import (
    ACCEPTED,
    ENTRY,
    GENERAL,
    INFO,
    LITELLM,
    PARAMS,
    READ,
    ROUTER,
    TOP,
    Standing,
    standing,
)
from services.section import Section

ROOT = Path(__file__).resolve().parents[3]
# Sections, which stand in others, and what has to have a value.
NESTED = {*READ, "model_list"}
REQUIRED = {(ENTRY, "model_name"): "m", (PARAMS, "model"): "openai/m"}


def read(text: str) -> Config:
    return parse(text, name="f.yaml", environ={})


def keys(section: str) -> Iterator[tuple[str, str]]:
    """All that are known of a section but for sections in it, as YAML."""
    for name in [*READ[section], *sorted(ACCEPTED[section])]:
        if (f"{section}.{name}" if section else name) not in NESTED:
            yield name, REQUIRED.get((section, name), "null")


def written(section: str) -> str:
    return ", ".join(f"{name}: {value}" for name, value in keys(section))


EVERYTHING = (
    f"model_list: [{{{written(ENTRY)}, litellm_params: {{{written(PARAMS)}}}, model_info: {{{written(INFO)}}}}}]\n"
    + "".join(f"{section}: {{{written(section)}}}\n" for section in (LITELLM, GENERAL, ROUTER))
    + "".join(f"{name}: {value}\n" for name, value in keys(TOP))
)


def test_what_is_read_and_what_the_table_says_is_read_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str]] = set()
    take = Section._take

    def note(self: Section, name: str) -> object:
        place = re.sub(r"\[\d+\]", "[]", self.place_of(name).key)
        section, _, last = place.rpartition(".")
        asked.add((section, last))
        return take(self, name)

    monkeypatch.setattr(Section, "_take", note)
    read(EVERYTHING)
    assert asked == {(section, name) for section, names in READ.items() for name in names}


def test_every_known_key_loads_and_those_that_nothing_acts_on_are_named() -> None:
    found = read(EVERYTHING).ignored
    assert [key for key in found if not key.known] == []
    expected = {(section, name) for section, names in ACCEPTED.items() for name in names}
    assert {key.path for key in found} == {f"{section}.{name}" if section else name for section, name in expected}


def test_no_key_is_in_both_tables() -> None:
    for section, names in READ.items():
        assert not ACCEPTED[section] & set(names)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (PARAMS, "input_cost_per_second"),
        (INFO, "search_context_cost_per_query"),
        (INFO, "output_cost_per_character_above_128k_tokens"),
        (INFO, "supports_vision"),
        (PARAMS, "aws_batch_role_arn"),
        (PARAMS, "vertex_gcs_bucket"),
        (PARAMS, "azure_username"),
    ],
)
def test_families_of_keys_are_known(section: str, name: str) -> None:
    assert standing(section, name) is Standing.NOT_YET


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "router_settings: {num_retires: 3}",
            "f.yaml:1: router_settings.num_retires: is unknown, perhaps a typo; known: num_retries",
        ),
        (
            "general_settings: {model_group_alias: {}}",
            "f.yaml:1: general_settings.model_group_alias: is unknown, perhaps a typo; "
            "known: router_settings.model_group_alias",
        ),
        ("mystery: 1", "f.yaml:1: mystery: is unknown, perhaps a typo"),
        (
            "model_list:\n- {model_name: a, litellm_params: {model: openai/a, input_cost_per_tokn: 1}}\n"
            "- {model_name: b, litellm_params: {model: openai/b, input_cost_per_tokn: 1}}",
            "f.yaml:2: model_list[0].litellm_params.input_cost_per_tokn: is unknown, perhaps a typo; "
            "known: input_cost_per_token, output_cost_per_token (2 times)",
        ),
    ],
)
def test_an_unknown_key_is_told_once_with_its_place_and_what_it_may_mean(text: str, line: str) -> None:
    assert ignored.unknown(read(text).ignored) == [line]


def test_of_many_unknown_keys_the_first_are_told() -> None:
    lines = ignored.unknown(read("".join(f"mystery_{number}: 1\n" for number in range(60))).ignored)
    assert len(lines) == 51
    assert lines[-1] == "and 10 more"


def test_every_key_is_documented() -> None:
    """Else: `python -m services.config_reference > docs/reference/config.md`."""
    page = (ROOT / "docs/reference/config.md").read_text()
    assert page == render()
    for section in READ:
        assert [name for name in (*READ[section], *ACCEPTED[section]) if f"`{name}`" not in page] == []
