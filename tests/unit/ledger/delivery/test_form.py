"""Entries as those get them who have them delivered."""

from __future__ import annotations

import json

from gateway.v1 import common_pb2, ledger_pb2
from hypothesis import given
from hypothesis import strategies as st

from ledger.delivery.form import lines_of, object_of, parts_of
from services.entry_columns import COLUMNS

ENTRIES = st.lists(
    st.builds(
        ledger_pb2.Entry,
        dispatch_id=st.binary(min_size=16, max_size=16),
        call_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
        cost_nano_usd=st.integers(0, (1 << 63) - 1),
    ),
    max_size=8,
)


@given(ENTRIES, st.integers(1, 5000))
def test_parts_are_all_entries_in_their_order_and_none_is_too_long(
    entries: list[ledger_pb2.Entry], most_bytes: int
) -> None:
    parts = list(parts_of(entries, most_bytes))
    read = [json.loads(part) for part in parts]
    assert [each for part in read for each in part] == [object_of(entry) for entry in entries]
    assert all(len(part) <= most_bytes + 2 or len(found) == 1 for part, found in zip(parts, read, strict=True))


@given(ENTRIES)
def test_lines_are_an_entry_each(entries: list[ledger_pb2.Entry]) -> None:
    lines = lines_of(entries).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == [object_of(entry) for entry in entries]


def test_an_object_has_the_columns_of_exports_money_exactly_and_tags_as_a_list() -> None:
    entry = ledger_pb2.Entry(
        dispatch_id=(1767225600341).to_bytes(6, "big") + bytes(10),
        cost_nano_usd=(1 << 63) - 1,
        principal=common_pb2.Principal(tags=["a", "=b"]),
    )
    members = object_of(entry)
    assert list(members) == [column.name for column in COLUMNS]
    assert members["cost_usd"] == "9223372036.854775807"
    assert members["started_at"] == "2026-01-01T00:00:00.341Z"
    assert members["tags"] == ["a", "=b"]
