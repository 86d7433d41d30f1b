"""The text of a COCO run-length encoding, written for many masks at once and read back.

A mask's *counts* are the lengths of its runs down the columns, off and on in turn, beginning with
off. pycocotools keeps them as a compressed text; this is the same text, bit by bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .colors import IntArray


def compress(counts: IntArray, offsets: IntArray) -> tuple[bytes, list[int]]:
    """Write all counts as pycocotools does (``rleToString``), and say where each text ends.

    From the fourth on, a count is written as its difference to the one before the last. A number
    takes as many characters of five bits as it needs, lowest first, with 32 added to all but the
    last, and 48 to each.
    """
    values = counts.copy()
    values[2:] -= counts[:-2]
    first = (offsets[:-1, None] + np.arange(3)).ravel()
    first = first[first < offsets[1:].repeat(3)]
    values[first] = counts[first]
    magnitude = values ^ values >> 63  # ~value of a negative one
    highest = int(magnitude.max())
    sizes = np.ones(values.size, np.int64)
    limit = 1 << 4
    while highest >= limit:
        sizes += magnitude >= limit
        limit <<= 5
    ends = np.zeros(values.size + 1, np.int64)
    sizes.cumsum(out=ends[1:])
    text = np.empty(int(ends[-1]), np.uint8)
    at = ends[:-1]
    while True:
        more = sizes > 1
        text[at] = (values & 31) + (more * 32 + 48)
        unfinished = more.nonzero()[0]
        if not unfinished.size:
            return text.tobytes(), ends[offsets].tolist()
        at, sizes, values = at[unfinished] + 1, sizes[unfinished] - 1, values[unfinished] >> 5


def parse_counts(text: bytes) -> IntArray:
    """Read back what `compress` wrote for one mask: its COCO counts, off and on in turn."""
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = (characters < 32).nonzero()[0]
    begins = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(characters.size) - begins.repeat(ends - begins + 1)
    counts = np.add.reduceat((characters & 31) << 5 * place, begins)
    # The highest of the five last bits is the sign.
    negative = characters[ends] & 16 != 0
    counts -= np.where(negative, 1 << 5 * (ends - begins + 1), 0)
    counts[1::2] = counts[1::2].cumsum()
    counts[2::2] = counts[2::2].cumsum()
    return counts


def decode_box(text: bytes, bbox: tuple[int, int, int, int], height: int) -> NDArray[np.uint8]:
    """Return the pixels of a mask within its box: (rows, columns) uint8 of 0 and 1, Fortran order.

    ``text``: the compressed counts for an image ``height`` pixels high; ``bbox``: x, y, width and
    height in pixels, the smallest box around the mask. No more than the box is decoded.
    """
    x, y, width, rows = bbox
    edges = parse_counts(text).cumsum()
    begin, end = edges[:-1:2], edges[1::2]
    # A run leaves its column only if it touches top and bottom: then the box is as high as the
    # image, and a column is as long here as there.
    column, row = np.divmod(begin, height)
    inside = (column - x) * rows + (row - y)
    bounds = np.stack([inside, inside + end - begin], axis=1).ravel()
    lengths = np.diff(bounds, prepend=0, append=width * rows)
    on = (np.arange(lengths.size) & 1).astype(np.uint8)
    box: NDArray[np.uint8] = on.repeat(lengths).reshape(width, rows).T
    return box
