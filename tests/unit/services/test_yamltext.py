"""YAML as configurations need it: exact numbers, no key twice, and an end to everything."""

from __future__ import annotations

from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.yamltext import MAX_DEPTH, MAX_VALUES, ConfigError, Value, read


def value_of(text: str) -> Value:
    return read(text, "f.yaml").root


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1e-7", Decimal("1e-7")),
        ("3e-06", Decimal("3e-06")),
        ("-1.5E3", Decimal(-1500)),
        ("1_0.5", Decimal("10.5")),
        ("0.1", Decimal("0.1")),
        ("1e5", Decimal("1e5")),
        ("5", 5),
        ("0x10", 16),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("''", ""),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
        ("'1e-7'", "1e-7"),
        ("!!str 1", "1"),
    ],
)
def test_scalars(written: str, expected: object) -> None:
    value = value_of(f"a: {written}")
    assert value == {"a": expected}
    assert isinstance(value, dict)
    assert type(value["a"]) is type(expected)


def test_keys_are_text() -> None:
    assert value_of("{50256: -100, yes: 1, 1.50: 2}") == {"50256": -100, "yes": 1, "1.50": 2}


def test_anchors_and_merges() -> None:
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 9, z: 3}\nuse: {x: 5, <<: [*b, *o]}\nlist: [*b]"
    value = value_of(text)
    assert isinstance(value, dict)
    assert value["use"] == {"x": 5, "y": 2, "z": 3}, "its own first, then the first that is merged"
    assert value["list"] == [{"x": 1, "y": 2}]


def test_lines_are_those_of_the_keys() -> None:
    document = read("a:\n  - b: 1\n    c:\n      2\n  - {d: 3}\n", "f.yaml")
    assert {key: document.place(key).line for key in ("a", "a[0].b", "a[0].c", "a[1]", "a[1].d")} == {
        "a": 1,
        "a[0].b": 2,
        "a[0].c": 3,
        "a[1]": 5,
        "a[1].d": 5,
    }
    assert document.place("a[1].absent.too").line == 5, "the nearest that is there"


BOMB = "a: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)

BROKEN = {
    "a key twice": ("a: 1\nb: 2\na: 3", "f.yaml:3: the key 'a' is given twice, first in line 1"),
    "a key twice, deeper": ("a:\n  b: {c: 1, c: 2}", "f.yaml:2: a.b: the key 'c' is given twice, first in line 2"),
    "no end": ("a: [1,\nb", "f.yaml:2: no valid YAML: expected ',' or ']', but got '<stream end>'"),
    "a tab": ("a:\n\t- b", "f.yaml:2: no valid YAML: found character '\\t' that cannot start any token"),
    "two documents": ("a: 1\n---\nb: 2", "f.yaml:2: no valid YAML: but found another document"),
    "an unknown alias": ("a: *x", "f.yaml:1: no valid YAML: found undefined alias 'x'"),
    "a forbidden character": ("a: 1\nb: \x00", "f.yaml:2: no valid YAML: a character that YAML does not allow"),
    "a tag": (
        "a: !!python/name:os.system",
        "f.yaml:1: a: the tag 'tag:yaml.org,2002:python/name:os.system' is not supported",
    ),
    "a list as key": ("? [a]\n: 1", "f.yaml:1: a key must be a text, not a list or a mapping"),
    "a forced number": ("a: !!float abc", "f.yaml:1: a: no float that can be read"),
    "a merge of a number": ("a: {<<: 1}", "f.yaml:1: a: `<<` merges mappings only"),
    "a number of 5,000 digits": ("a: " + "9" * 5000, "f.yaml:1: a: no int that can be read"),
    "an exponent without end": ("a: 1e" + "9" * 30, "f.yaml:1: a: no float that can be read"),
    "an alias of its parent": ("a: &a [*a]", f"f.yaml:1: nested more than {MAX_DEPTH} levels deep"),
    "a hundred thousand lists": ("[" * 100_000, f"f.yaml:1: no valid YAML: nested more than {MAX_DEPTH} levels deep"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_mistake_is_one_line(text: str, message: str) -> None:
    assert error_of(text) == message


def test_aliases_do_not_multiply_without_end() -> None:
    assert f"more than {MAX_VALUES} values" in error_of(BOMB)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_plain)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    assert value_of(yaml.safe_dump(value, default_style='"')) == value


@given(st.text(alphabet=st.sampled_from("a1e.-:{}[],&*!|>'\" \n\t#?<%@`~"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text, "f.yaml")
    except ConfigError as error:
        assert "\n" not in str(error)
