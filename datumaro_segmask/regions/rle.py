"""COCO's run-length encoding: the text, the counts and the runs of one mask or of many at once.

A pixel's *position* is ``column * height + row``: runs go down the columns. A mask's *counts* are
the lengths of its runs, off and on in turn, beginning with off. pycocotools writes them as a text
(``rleToString``). From the fourth on, a count is written as its difference to the one before the
last. A number takes as many characters of five bits as it needs, lowest first, with 32 added to
all but the last, and 48 to each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arrays import (
    BoolArray,
    Bytes,
    IntArray,
    Size,
    ends_of,
    lengths_of,
    ranges,
    running_sums,
    starts_of_runs,
)
from ..errors import UnpaintableError, counted

_FIRST, _LAST = 48, 111  # the characters of a text: 48 + five bits + 32 unless the last
_LONGEST = 7  # characters of one number: 35 bits, more pixels than an image has
_CHARACTERS = bytes(range(_FIRST, _LAST + 1))
_REMEDY = "encode the mask again"


def _parse_numbers(text: bytes) -> tuple[IntArray, IntArray, IntArray]:
    """Return the numbers of a text, the index of the last character of each, and their lengths."""
    characters = np.frombuffer(text, np.uint8) - np.uint8(_FIRST)
    ends = (characters < 32).nonzero()[0]
    lengths = ends + 1
    lengths[1:] -= lengths[:-1].copy()
    # The highest of the five last bits is the sign. From there on back, as few numbers are long.
    numbers = characters[ends].astype(np.int64)
    numbers -= (numbers & 16) << 1
    at = (lengths > 1).nonzero()[0]
    for back in range(1, _LONGEST):
        numbers[at] = numbers[at] << 5 | characters[ends[at] - back] & 31
        at = at[lengths[at] > back + 1]
    return numbers, ends, lengths


def number_of_counts(text: bytes) -> int:
    """Return how many counts a text has, at a fraction of the cost of parsing it."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) < _FIRST + 32))


def parse_counts(text: bytes) -> IntArray:
    """Return the counts of one mask, off and on in turn."""
    counts = _parse_numbers(text)[0]
    counts[1::2] = counts[1::2].cumsum()
    counts[2::2] = counts[2::2].cumsum()
    return counts


def decode_box(text: bytes, bbox: tuple[int, int, int, int], height: int) -> Bytes:
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
    box: Bytes = on.repeat(lengths).reshape(width, rows).T
    return box


def covers(text: bytes, places: IntArray) -> BoolArray:
    """Tell which pixels, by their positions, a mask covers. ``places``: (...) integers."""
    edges = parse_counts(text).cumsum()
    inside: BoolArray = edges.searchsorted(places, "right") & 1 == 1
    return inside


def check_text(counts: bytes | str, where: str) -> bytes:
    """Return a text as bytes; raises UnpaintableError for text that no mask can have."""
    text = counts.encode() if isinstance(counts, str) else counts
    if not text or text.translate(None, _CHARACTERS) or text[-1] >= _FIRST + 32:
        raise UnpaintableError(
            f"its RLE text {text[:40]!r} is broken" if text else "its RLE text is empty",
            where,
            f"characters from {chr(_FIRST)!r} to {chr(_LAST)!r}, as pycocotools writes them, "
            "with a whole number at the end",
            _REMEDY,
        )
    return text


def parse_texts(texts: Mapping[int, bytes], wheres: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the counts of many masks, and the shape that each count belongs to, both (n,).

    ``texts``: by shape, counted from 1, as `check_text` returns them. Raises UnpaintableError for
    numbers that are too long.
    """
    counts, ends, lengths = _parse_numbers(b"".join(texts.values()))
    numbers = np.array([*texts], np.int64)
    shape = numbers.repeat([len(text) for text in texts.values()])[ends]
    if lengths.max(initial=0) > _LONGEST:
        at = int(lengths.argmax())
        raise UnpaintableError(
            f"its RLE text has a number of {lengths[at]} characters",
            wheres[shape[at] - 1],
            f"at most {_LONGEST}",
            _REMEDY,
        )
    places = _places(shape)
    # From the fourth on, a count is written as its difference to the one before the last.
    for chain in (places & 1 == 1, (places & 1 == 0) & (places > 0)):
        at = chain.nonzero()[0]
        counts[at] = running_sums(counts[at], starts_of_runs(shape[at]))
    return counts, shape


def _places(shape: IntArray) -> IntArray:
    return ranges(0, lengths_of(starts_of_runs(shape), shape.size))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnRuns:
    """The runs of shapes: three (n,) int64 arrays.

    ``begin`` and ``end`` are positions, ``end`` past the last pixel; a run may go on from the
    foot of a column to the head of the next. ``shape`` is the shape's number, counted from 1.
    """

    begin: IntArray
    end: IntArray
    shape: IntArray


def join(parts: Sequence[ColumnRuns]) -> ColumnRuns:
    """Return all runs, sorted by shape."""
    shape = np.concatenate([part.shape for part in parts])
    order = shape.argsort(kind="stable")
    return ColumnRuns(
        np.concatenate([part.begin for part in parts])[order],
        np.concatenate([part.end for part in parts])[order],
        shape[order],
    )


def runs_of_counts(
    counts: IntArray, shape: IntArray, size: Size, wheres: Sequence[str]
) -> ColumnRuns:
    """Return the runs of the counts of many shapes one after the other.

    ``counts``, ``shape``: (n,), the shape that each count belongs to, counted from 1. Raises
    UnpaintableError where a count is negative or a shape's counts are not all the pixels.
    """
    starts = starts_of_runs(shape)
    ends = running_sums(counts, starts)
    totals = ends[ends_of(starts, shape.size) - 1]
    negative = np.minimum.reduceat(counts, starts) < 0 if starts.size else starts > 0
    wrong = ((totals != size.pixels) | negative).nonzero()[0]
    if wrong.size:
        at = wrong[0]
        raise UnpaintableError(
            f"its RLE covers {counted(int(totals[at]), 'pixel')}"
            + (", with runs of negative length" if negative[at] else ""),
            wheres[shape[starts[at]] - 1],
            f"runs that cover {counted(size.pixels, 'pixel')}, those of an image of {size}",
            _REMEDY,
        )
    on = ((_places(shape) & 1) & (counts > 0)).nonzero()[0]
    return ColumnRuns(ends[on] - counts[on], ends[on], shape[on])


def runs_of_pixels(window: NDArray[Any], x: int, y: int, height: int, shape: int) -> ColumnRuns:
    """Return the runs of one shape in an image ``height`` pixels high.

    ``window``: (rows, columns) uint8 or bool, not zero where the shape is; its corner lies at
    column ``x`` and row ``y`` of the image.
    """
    rows, width = window.shape
    # One pixel that is off below every column, and one before them all, part the columns.
    on = np.zeros(width * (rows + 1) + 1, bool)
    on[1:].reshape(width, rows + 1)[:, :rows] = _transposed(window)
    column, row = np.divmod(starts_of_runs(on)[1:] - 1, rows + 1)
    edges = (column + x) * height + row + y
    return ColumnRuns(edges[0::2], edges[1::2], np.full(edges.size // 2, shape))


def _transposed(window: NDArray[Any]) -> NDArray[Any]:
    # OpenCV transposes in tiles, which NumPy does not; a window of columns already lies right.
    return window.T if window.strides[0] == window.itemsize else cv2.transpose(window)
