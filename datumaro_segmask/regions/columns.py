"""Runs of pixels down the columns, for many shapes at once: out of COCO counts, out of pixels.

A pixel's *position* is ``column * height + row``, as in COCO's run-length encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..colors import IntArray
from ..errors import UnpaintableError

_FIRST, _LAST = 48, 111  # the characters of an RLE text: 48 + five bits + 32 unless the last
_LONGEST = 7  # characters of one number: 35 bits, more pixels than an image has
_CHARACTERS = bytes(range(_FIRST, _LAST + 1))
_REMEDY = "encode the mask again"


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of an image in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height} x {self.width} pixels (height x width)"


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


def runs_of_pixels(window: NDArray[Any], x: int, y: int, frame: Frame, number: int) -> ColumnRuns:
    """Return the runs of one shape.

    ``window``: (rows, columns) uint8 or bool, not zero where the shape is; its corner lies at
    column ``x`` and row ``y`` of the frame.
    """
    rows, width = window.shape
    # One pixel that is off below every column, and one before them all, part the columns.
    on = np.zeros(width * (rows + 1) + 1, bool)
    on[1:].reshape(width, rows + 1)[:, :rows] = _transposed(window)
    column, row = np.divmod((on[1:] != on[:-1]).nonzero()[0], rows + 1)
    edges = (column + x) * frame.height + row + y
    return ColumnRuns(edges[0::2], edges[1::2], np.full(edges.size // 2, number))


def _transposed(window: NDArray[Any]) -> NDArray[Any]:
    # OpenCV transposes in tiles, which NumPy does not; a window of columns already lies right.
    return window.T if window.strides[0] == window.itemsize else cv2.transpose(window)


def runs_of_counts(
    counts: IntArray, shape: IntArray, frame: Frame, wheres: Sequence[str]
) -> ColumnRuns:
    """Return the runs of COCO counts, off and on in turn, of many shapes one after the other.

    ``counts``, ``shape``: (n,), the shape that each count belongs to, counted from 1. Raises
    UnpaintableError where a count is negative or a shape's counts are not all the pixels.
    """
    groups = _Groups(shape)
    heads = groups.heads
    ends = groups.running_sums(counts)
    totals = ends[groups.tails - 1]
    negative = np.minimum.reduceat(counts, heads) < 0 if shape.size else ends
    pixels = frame.height * frame.width
    for at in ((totals != pixels) | negative).nonzero()[0][:1]:
        raise UnpaintableError(
            f"its RLE covers {int(totals[at])} pixels"
            + (", with runs of negative length" if negative[at] else ""),
            wheres[shape[heads[at]] - 1],
            f"runs that cover {pixels} pixels, the image of {frame}",
            _REMEDY,
        )
    on = ((groups.places() & 1) & (counts > 0)).nonzero()[0]
    return ColumnRuns(ends[on] - counts[on], ends[on], shape[on])


def check_text(counts: bytes | str, where: str) -> bytes:
    """Return an RLE text as bytes; raises UnpaintableError for text that no RLE can be."""
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
    """Read the RLE texts of pycocotools (``rleFrString``), all at once.

    ``texts``: by shape, counted from 1, as `check_text` returns them. Returns all counts and the
    shape of each, both (n,). Raises UnpaintableError for numbers that are too long.
    """
    characters = np.frombuffer(b"".join(texts.values()), np.uint8).astype(np.int64) - _FIRST
    ends = (characters < 32).nonzero()[0]
    begins = np.zeros_like(ends)
    begins[1:] = ends[:-1] + 1
    lengths = ends - begins + 1
    of_character = np.repeat(list(texts), [len(text) for text in texts.values()])
    shape = of_character[ends]
    for at in (lengths > _LONGEST).nonzero()[0][:1]:
        raise UnpaintableError(
            f"its RLE text has a number of {int(lengths[at])} characters",
            wheres[shape[at] - 1],
            f"at most {_LONGEST}",
            _REMEDY,
        )
    counts = np.zeros(ends.size, np.int64)
    for place in range(int(lengths.max(initial=0))):
        going = (lengths > place).nonzero()[0]
        counts[going] |= (characters[begins[going] + place] & 31) << 5 * place
    # The highest of the five last bits is the sign.
    counts -= np.where(characters[ends] & 16, 1 << 5 * lengths, 0)
    places = _Groups(shape).places()
    # From the fourth on, a count is written as its difference to the one before the last.
    for chain in (places & 1 == 1, (places & 1 == 0) & (places > 0)):
        at = chain.nonzero()[0]
        counts[at] = _Groups(shape[at]).running_sums(counts[at])
    return counts, shape


class _Groups:
    """Groups of equal neighbours in ``group``: (n,); ``heads`` and ``tails`` (past the last)."""

    def __init__(self, group: IntArray) -> None:
        self._size = group.size
        first = np.ones(group.size, bool)
        np.not_equal(group[1:], group[:-1], out=first[1:])
        self.heads: IntArray = first.nonzero()[0]
        self.tails = np.empty_like(self.heads)
        self.tails[:-1] = self.heads[1:]
        self.tails[-1:] = group.size

    def _for_all(self, of_group: IntArray) -> IntArray:
        """Return an array that repeats the value of each group for all of its elements: (n,)."""
        return of_group.repeat(self.tails - self.heads)

    def places(self) -> IntArray:
        """Return the place of each element within its group, from 0: (n,)."""
        return np.arange(self._size) - self._for_all(self.heads)

    def running_sums(self, values: IntArray) -> IntArray:
        """Return the sums of ``values`` (n,) so far, beginning anew in each group: (n,)."""
        sums: IntArray = values.cumsum()
        return sums - self._for_all(sums[self.heads] - values[self.heads])
