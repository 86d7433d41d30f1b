"""What the text of a COCO run-length encoding says, read without decoding the whole image.

A mask's *counts* are the lengths of its runs down the columns, off and on in turn, beginning with
off. pycocotools writes them as a compressed text (``rleToString``). From the fourth on, a count is
written as its difference to the one before the last. A number takes as many characters of five
bits as it needs, lowest first, with 32 added to all but the last, and 48 to each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..colors import IntArray


def parse_counts(text: bytes) -> IntArray:
    """Return the COCO counts of one mask, off and on in turn."""
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
