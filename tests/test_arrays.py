"""The places of bytes that are not zero."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask import arrays
from datumaro_segmask.arrays import (
    cycles_of,
    ends_of,
    following,
    lasts_of_runs,
    lengths_of,
    places_of_nonzero,
    ranges,
    running_sums,
    spanning_forest,
    starts_of,
    starts_of_runs,
)

data = st.one_of(
    st.binary(max_size=100),
    st.lists(st.sampled_from([b"", b"\0" * 7, b"\1", b"\x80\0"])).map(b"".join),
)


@pytest.fixture(params=["few", "many"], autouse=True)
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many":
        monkeypatch.setattr(arrays, "_FEW", 1)


@given(data, st.integers(0, 9))
def test_against_numpy(content: bytes, skip: int) -> None:
    """Wherever in memory the bytes begin."""
    values = np.frombuffer(content, np.uint8)[skip:]
    places = places_of_nonzero(values)
    assert places.dtype == np.int64
    assert places.tolist() == np.flatnonzero(values).tolist()
    assert places_of_nonzero(values != 0).tolist() == places.tolist()


@pytest.mark.parametrize("at", range(20))
def test_each_place(at: int) -> None:
    values = np.zeros(20, np.uint8)
    values[at] = 255
    assert places_of_nonzero(values).tolist() == [at]


@given(st.lists(st.integers(0, 2), max_size=20))
def test_runs(values: list[int]) -> None:
    array = np.array(values, np.int64)
    groups = [len(list(group)) for _, group in itertools.groupby(values)]
    cuts = [0, *itertools.accumulate(groups)]
    pairs = [*itertools.pairwise(cuts)]
    starts = starts_of_runs(array)
    assert starts.tolist() == cuts[:-1]
    assert ends_of(starts, len(values)).tolist() == cuts[1:]
    assert lasts_of_runs(array).tolist() == [cut - 1 for cut in cuts[1:]]
    lengths = lengths_of(starts, len(values))
    assert lengths.tolist() == groups
    assert starts_of(lengths).tolist() == cuts[:-1]
    places = [place for length in groups for place in range(length)]
    assert ranges(0, lengths).tolist() == places
    spread = [10 * a + place for a, b in pairs for place in range(b - a)]
    assert ranges(10 * starts, lengths).tolist() == spread
    sums = [total for a, b in pairs for total in itertools.accumulate(values[a:b])]
    assert running_sums(array, starts).tolist() == sums
    after = [a + (place + 1) % (b - a) for a, b in pairs for place in range(b - a)]
    assert following(starts, len(values)).tolist() == after


@given(st.integers(0, 12).flatmap(lambda n: st.permutations(range(n))))
def test_cycles(permutation: list[int]) -> None:
    order, starts = cycles_of(np.array(permutation, np.int64))
    assert sorted(order.tolist()) == [*range(len(permutation))]
    firsts = order[starts].tolist()
    assert firsts == sorted(firsts)
    for cycle in np.split(order, starts[1:]):
        assert [permutation[at] for at in cycle] == [*cycle[1:], *cycle[:1]]
        assert cycle.size == 0 or cycle[0] == cycle.min()


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=12))
def test_spanning_forest(pairs: list[tuple[int, int]]) -> None:
    joining, first = spanning_forest(np.array(pairs, np.int64).reshape(-1, 2), 8)
    groups = {number: {number} for number in range(8)}
    expected = []
    for i, (a, b) in enumerate(pairs):
        if groups[a] is not groups[b]:
            expected.append(i)
            groups |= dict.fromkeys(groups[a] | groups[b], groups[a] | groups[b])
    assert joining.tolist() == expected
    assert first.tolist() == [min(groups[number]) for number in range(8)]
