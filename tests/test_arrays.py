"""The places of bytes that are not zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask import arrays
from datumaro_segmask.arrays import places_of_nonzero

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
