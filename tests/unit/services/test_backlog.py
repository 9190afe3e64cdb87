"""A backlog's batches are what protobuf itself writes, in order, and none is too large."""

from __future__ import annotations

import pytest
from gateway.v1 import router_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.backlog import Backlog
from services.link import MAX_BATCH_BYTES, MAX_FRAME_BYTES


def frame(call: int, size: int) -> router_pb2.EdgeFrame:
    return router_pb2.EdgeFrame(call=call, data=router_pb2.Data(body=b"x" * size))


def drained(backlog: Backlog) -> list[bytes]:
    batches = []
    while backlog:
        batches.append(backlog.take())
    return batches


# A length takes one byte up to 127, two up to 16,383, three up to 2,097,151.
SIZES = st.one_of(
    st.integers(0, 300), st.integers(16_300, 16_500), st.sampled_from([60 * 1024, 400_000, MAX_FRAME_BYTES - 64])
)


@given(st.lists(SIZES, max_size=12))
def test_every_frame_arrives_once_in_order_and_no_batch_is_too_large(sizes: list[int]) -> None:
    frames = [frame(call, size) for call, size in enumerate(sizes, start=1)]
    backlog = Backlog()
    for each in frames:
        backlog.add(each)
    waiting = backlog.size
    batches = drained(backlog)
    assert sum(map(len, batches)) == waiting
    assert backlog.size == 0
    assert all(0 < len(batch) <= MAX_BATCH_BYTES for batch in batches)
    assert [each for batch in batches for each in router_pb2.EdgeBatch.FromString(batch).frames] == frames


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=12))
def test_a_batch_has_the_bytes_of_the_message(sizes: list[int]) -> None:
    frames = [frame(call, size) for call, size in enumerate(sizes, start=1)]
    backlog = Backlog()
    for each in frames:
        backlog.add(each)
    assert backlog.take() == router_pb2.EdgeBatch(frames=frames).SerializeToString()


def test_a_frame_that_is_too_large_is_refused_and_harms_no_other() -> None:
    backlog = Backlog()
    backlog.add(frame(1, 10))
    with pytest.raises(ValueError, match="exceeds"):
        backlog.add(frame(2, MAX_FRAME_BYTES))
    backlog.add(frame(3, 10))
    assert [each.call for each in router_pb2.EdgeBatch.FromString(backlog.take()).frames] == [1, 3]


def test_what_is_forgotten_does_not_go_out() -> None:
    backlog = Backlog()
    backlog.add(frame(1, 10))
    backlog.clear()
    assert not backlog
    assert backlog.size == 0
