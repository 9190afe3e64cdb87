"""Dispatch ids: UUIDv7 that rise, whatever the clock does."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ids import IdMint, from_text, lowest_at, millis_of, to_text

millis = st.integers(min_value=1, max_value=2**47)


def ids_at(times: list[int], randomness: Callable[[int], bytes]) -> list[bytes]:
    """One id at each of the given milliseconds."""
    clock = iter(times)
    mint = IdMint(clock=lambda: next(clock) / 1000, randomness=randomness)
    return [mint.new() for _ in times]


@given(st.lists(millis, min_size=1, max_size=50), st.randoms(use_true_random=False))
def test_ids_rise_even_when_the_clock_goes_back(times: list[int], random: object) -> None:
    ids = ids_at(times, random.randbytes)  # type: ignore[attr-defined]
    assert ids == sorted(set(ids))


def test_ids_rise_when_the_counter_of_a_millisecond_is_full() -> None:
    """The worst randomness there is: 2^73 - 1 to begin with and steps of 2^32; so filled by hand here."""
    mint = IdMint(clock=lambda: 5.0, randomness=lambda size: b"\xff" * size)
    first = mint.new()
    mint._tail = (1 << 74) - 1
    second = mint.new()
    assert second > first
    assert (millis_of(first), millis_of(second)) == (5000, 5001)
    assert uuid.UUID(bytes=second).version == 7


@given(millis, st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7_with_its_millisecond(at: int, noise: bytes) -> None:
    (new,) = ids_at([at], lambda size: noise[:size])
    parsed = uuid.UUID(bytes=new)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert abs(millis_of(new) - at) <= 1, "the clock counts seconds in floats"


@given(st.binary(min_size=16, max_size=16))
def test_text_and_bytes_are_the_same_id(dispatch_id: bytes) -> None:
    assert from_text(to_text(dispatch_id)) == dispatch_id
    assert from_text(dispatch_id.hex()) == dispatch_id


@pytest.mark.parametrize("text", ["", "chatcmpl-1", "0" * 31, "g" * 32])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"hexadecimal|invalid literal"):
        from_text(text)


@given(millis, st.binary(min_size=10, max_size=10))
def test_lowest_at_bounds_its_millisecond_from_below(at: int, noise: bytes) -> None:
    (new,) = ids_at([at], lambda size: noise[:size])
    assert lowest_at(millis_of(new)) <= new < lowest_at(millis_of(new) + 1)


def test_two_mints_in_one_millisecond_do_not_meet() -> None:
    mints = [IdMint(clock=lambda: 1.0) for _ in range(2)]
    ids = {mint.new() for mint in mints for _ in range(2000)}
    assert len(ids) == 4000
