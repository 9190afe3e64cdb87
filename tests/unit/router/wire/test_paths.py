from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.paths import remove

BODY = {"a": {"b": {"c": 1, "d": 2}}, "list": [{"x": 1, "y": 2}, {"x": 3}], "dotted.name": 1}


def raws(body: object) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("a", {"list": BODY["list"], "dotted.name": 1}),
        ("a.b.c", {**BODY, "a": {"b": {"d": 2}}}),
        ("list[*].x", {**BODY, "list": [{"y": 2}, {}]}),
        ("list[1].x", {**BODY, "list": [{"x": 1, "y": 2}, {}]}),
        ("dotted.name", {"a": BODY["a"], "list": BODY["list"]}),
    ],
)
def test_what_a_path_leads_to_is_gone(path: str, gone: object) -> None:
    members = raws(BODY)
    assert remove(members, path)
    assert json.loads(msgspec.json.encode(members)) == gone


@pytest.mark.parametrize(
    "path", ["z", "a.z", "a.b.c.d", "list[9].x", "list[*]", "list[0]", "list.x", "", "[*]", "a[0]"]
)
def test_a_path_to_nothing_changes_nothing(path: str) -> None:
    members = raws(BODY)
    assert not remove(members, path)
    assert json.loads(msgspec.json.encode(members)) == BODY


@given(path=st.text(alphabet="ab.[]*019\n", max_size=40))
def test_no_path_makes_it_raise(path: str) -> None:
    remove(raws({"a": [{"b": 1}], "b": {"a": [[1]]}}), path)


def test_what_cannot_be_read_is_left_alone() -> None:
    members = {"a": msgspec.Raw(b'{"b": "\xff"}')}
    assert not remove(members, "a.b")
    assert members == {"a": msgspec.Raw(b'{"b": "\xff"}')}
