"""Which partitions are missing."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from ledger.partitions import DAYS_AHEAD, Partition, missing
from services.ids import IdMint

DAYS = st.integers(min_value=1, max_value=60_000)


def test_a_first_start_makes_today_and_three_days():
    assert missing(None, 100) == [Partition(100, 101), Partition(101, 102), Partition(102, 103), Partition(103, 104)]


def test_each_day_makes_one():
    assert missing(104, 101) == [Partition(104, 105)]


def test_days_missed_share_one():
    assert missing(104, 110)[0] == Partition(104, 110)
    assert len(missing(104, 110)) == 1 + DAYS_AHEAD + 1


@given(end=st.none() | DAYS, today=DAYS)
def test_they_lie_side_by_side_and_reach_far_enough(end, today):
    made = missing(end, today)
    edges = [today if end is None else end]
    for partition in made:
        assert partition.first_day == edges[-1] < partition.end_day
        edges.append(partition.end_day)
    assert edges[-1] >= today + DAYS_AHEAD + 1
    assert len(made) <= DAYS_AHEAD + 2
    assert missing(edges[-1], today) == []


def test_an_id_of_a_day_is_within_its_partition():
    partition = Partition(20_783, 20_784)
    assert partition.name == "entries_20261126"
    for second in (20_783 * 86_400, 20_784 * 86_400 - 0.001):
        made = uuid.UUID(bytes=IdMint(clock=lambda second=second: second).new())
        assert partition.first_id <= made < partition.end_id
    assert uuid.UUID(bytes=IdMint(clock=lambda: 20_784 * 86_400).new()) >= partition.end_id
