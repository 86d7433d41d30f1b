"""The pixels of an item as one array: a value for each, by the instance that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import Size
from ..regions import runs_of_texts


def plane_of(
    texts: Sequence[bytes], values: Sequence[int], size: Size, ground: int = 0
) -> NDArray[np.int32]:
    """Return the pixels of masks that do not overlap: (height, width) int32.

    ``texts``: the compressed counts of each mask, ``values``: what its pixels become; the others
    are ``ground``.
    """
    steps = np.zeros(size.pixels + 1, np.int32)
    if texts:
        runs = runs_of_texts(texts, size)
        rise = np.asarray(values, np.int32)[runs.shape - 1] - ground
        # A run begins where another ends, but no two begin, and no two end, at one place.
        steps[runs.begin] += rise
        steps[runs.end] -= rise
    steps[0] += ground
    plane: NDArray[np.int32] = steps[:-1].cumsum(dtype=np.int32).reshape(size.width, size.height).T
    return plane
