"""The youngest entries in memory: bounded, in order, and never with a gap."""

from __future__ import annotations

from gateway.v1 import ledger_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.outbox.tail import Tail

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40)),
        st.tuples(st.just("add"), st.integers(20, 40)),
        st.tuples(st.just("drop"), st.integers(0, 60)),
        st.tuples(st.just("read"), st.integers(0, 60), st.integers(1, 200)),
    ),
    min_size=20,
    max_size=60,
)


@given(steps)
def test_what_is_read_is_what_was_added_without_a_gap(given_steps) -> None:
    """Sequences rise by two: the odd ones are `opened` records, which are not here."""
    tail = Tail(max_bytes=100)
    sizes: dict[int, int] = {}
    for kind, *values in given_steps:
        if kind == "add":
            sequence = 2 * (len(sizes) + 1)
            sizes[sequence] = values[0]
            tail.add(sequence, ledger_pb2.Entry(duration_ms=sequence), values[0])
        elif kind == "drop":
            tail.drop(values[0])
        else:
            after = max(values[0], tail.after)
            read = tail.read(after, values[1])
            expected = [sequence for sequence in sizes if sequence > after]
            assert [sequence for sequence, _ in read] == expected[: len(read)]
            assert [entry.duration_ms for _, entry in read] == expected[: len(read)]
            assert bool(read) == bool(expected)
            total = sum(sizes[sequence] for sequence, _ in read)
            assert len(read) <= 1 or total <= values[1]
            assert len(read) == len(expected) or total + sizes[expected[len(read)]] > values[1]
        assert sum(size for sequence, size in sizes.items() if sequence > tail.after) <= 100
