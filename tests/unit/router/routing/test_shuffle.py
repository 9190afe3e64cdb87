"""simple-shuffle: at random, in proportion, never twice."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog import Deployment
from router.routing.shuffle import pick


def deployment(id: str, *, weight: float | None = None, rpm: int | None = None, tpm: int | None = None) -> Deployment:
    return Deployment(
        id=id,
        group="g",
        provider="openai",
        provider_model="m",
        api_base="http://h",
        weight=weight,
        rpm=rpm,
        tpm=tpm,
    )


class At:
    """Randomness that always says the same."""

    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value


def shares(*group: Deployment) -> dict[str, float]:
    """Which part of the numbers from 0 to 1 leads to whom, by a thousand of them."""
    picked = (pick(group, frozenset(), At(step / 1000)) for step in range(1000))
    counts = Counter(each.id for each in picked if each)
    return {id: count / 1000 for id, count in counts.items()}


def test_equal_without_any_weight() -> None:
    assert shares(deployment("a"), deployment("b")) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("measure", ["weight", "rpm", "tpm"])
def test_in_proportion_to_each_measure(measure: str) -> None:
    group = [deployment("a", **{measure: 9}), deployment("b", **{measure: 1})]
    assert shares(*group) == {"a": 0.9, "b": 0.1}


def test_weight_beats_rpm_and_rpm_beats_tpm() -> None:
    assert shares(deployment("a", weight=3, rpm=1), deployment("b", weight=1, rpm=9)) == {"a": 0.75, "b": 0.25}
    assert shares(deployment("a", rpm=3, tpm=1), deployment("b", rpm=1, tpm=9)) == {"a": 0.75, "b": 0.25}


def test_one_without_the_measure_is_not_chosen_until_the_others_are_tried() -> None:
    group = [deployment("a", rpm=5), deployment("b")]
    assert shares(*group) == {"a": 1.0}
    assert pick(group, {"a"}, At(0.5)) is group[1]


def test_a_measure_of_zeros_counts_as_absent() -> None:
    assert shares(deployment("a", weight=0, rpm=1), deployment("b", weight=0, rpm=1)) == {"a": 0.5, "b": 0.5}


def test_nobody_is_left() -> None:
    assert pick([], frozenset(), At(0)) is None
    assert pick([deployment("a")], {"a"}, At(0)) is None


_measure = st.none() | st.integers(min_value=0, max_value=10**12)


@given(
    st.lists(st.tuples(_measure, _measure, _measure), max_size=8),
    st.sets(st.integers(min_value=0, max_value=7)),
    st.randoms(use_true_random=False),
)
def test_whoever_is_picked_is_of_the_group_and_not_tried(
    measures: list[tuple[int | None, int | None, int | None]], tried: set[int], randomness: random.Random
) -> None:
    group = [
        deployment(str(index), weight=weight, rpm=rpm, tpm=tpm) for index, (weight, rpm, tpm) in enumerate(measures)
    ]
    picked = pick(group, {str(index) for index in tried}, randomness)
    left = [each for each in group if int(each.id) not in tried]
    assert picked in left if left else picked is None


@given(st.lists(st.floats(min_value=0, max_value=1e12), min_size=2, max_size=8))
def test_the_last_sliver_belongs_to_somebody_with_weight(weights: list[float]) -> None:
    group = [deployment(str(index), weight=weight) for index, weight in enumerate(weights)]
    picked = pick(group, frozenset(), At(1.0))
    assert picked is not None
    assert picked.weight or not any(weights)
