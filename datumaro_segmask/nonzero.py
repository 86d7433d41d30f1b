"""Finds the few bytes that are not zero among many that are: where a mask changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colors import IntArray


def places_of_nonzero(data: NDArray[np.uint8] | NDArray[np.bool_]) -> IntArray:
    """Return the places of the bytes that are not zero: (n,) contiguous bytes -> sorted integers.

    Looks at eight bytes at a time first, which halves the time where most of them are zero.
    """
    whole = data.size & ~7
    busy = np.flatnonzero(data[:whole].view(np.uint64) != 0)
    inner = np.flatnonzero(data[:whole].view(np.uint64)[busy].view(np.uint8) != 0)
    places = busy[inner >> 3]
    places <<= 3
    places |= inner & 7
    rest = np.flatnonzero(data[whole:])
    return np.concatenate([places, rest + whole]) if rest.size else places
