"""Finds the few bytes that are not zero among many that are: where a mask changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colors import IntArray

_FEW = 1 << 15  # bytes; below, two calls of NumPy are faster than ten


def places_of_nonzero(data: NDArray[np.uint8] | NDArray[np.bool_]) -> IntArray:
    """Return the places of the bytes that are not zero: (n,) contiguous bytes -> sorted integers.

    Of many, looks at eight at a time first, which halves the time where most are zero.
    """
    if data.size < _FEW:
        places: IntArray = (data != 0).nonzero()[0]
        return places
    whole = data.size & ~7
    words = data[:whole].view(np.uint64)
    busy = places_of_nonzero(words != 0)
    inner = (words[busy].view(np.uint8) != 0).nonzero()[0]
    places = busy.take(inner >> 3)
    places <<= 3
    places |= inner & 7
    rest = data[whole:].nonzero()[0]
    return np.concatenate([places, rest + whole]) if rest.size else places
