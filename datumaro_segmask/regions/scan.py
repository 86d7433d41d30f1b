"""Two planes in, all instances of an image out, in one pass over the pixels.

`Scanner` takes the planes in blocks of rows, top to bottom, and keeps only where a value differs
from the one above it. Those places, sorted by column, are the runs of the COCO run-length
encoding, which goes down the columns. `group_runs` then makes the RLEs of all instances at once.
So the cost is that of the pixels plus the runs, whatever the number of instances, and the memory
that of one block plus the runs. Source: docs/format.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..arrays import places_of_nonzero
from ..colors import IntArray
from ..errors import MaskLimitError

MAX_RUNS = 1 << 24
"""Places of a mask where a value differs from the one above; some 150 bytes each are at work."""
MAX_INSTANCES = 1 << 20
"""Pairs of instance and label in one item; Datumaro takes a kilobyte for each."""

Block = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Instance:
    """The pixels of one label within one instance.

    ``label`` is the position in the label map, None where there is no class mask. ``number`` is
    the instance number, 0 where there is none. ``counts`` is the compressed string of
    pycocotools, ``area`` is in pixels, ``bbox`` is x, y, width, height in pixels.
    """

    label: int | None
    number: int
    counts: bytes
    area: int
    bbox: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs down the columns that cover an image, in their order, and the value in each plane.

    All (n,) int64. ``begin`` and ``end`` (exclusive) count pixels down the columns, ``x * height
    + y``. Every column begins a run of its own.
    """

    begin: IntArray
    end: IntArray
    values: tuple[IntArray, ...]


class Scanner:
    """Collects the runs of one or more planes of one size, given in blocks of whole rows.

    ``where`` names the mask in errors.
    """

    def __init__(self, height: int, width: int, where: str = "the mask") -> None:
        self._where = where
        self._count = 0
        self._height = height
        self._width = width
        self._y = 0
        self._above: list[Block] = []
        self._places: list[IntArray] = []
        self._values: list[tuple[Block, ...]] = []

    def add(self, *planes: Block) -> None:
        """Take the next rows of each plane: (rows, width) of unsigned integers, 0 as they are.

        Raises MaskLimitError past `MAX_RUNS`.
        """
        changed = np.empty(planes[0].shape, bool)
        if self._above:
            np.not_equal(planes[0][0], self._above[0], out=changed[0])
        else:
            changed[0] = True
        np.not_equal(planes[0][1:], planes[0][:-1], out=changed[1:])
        for i, plane in enumerate(planes[1:], 1):
            if self._above:
                changed[0] |= plane[0] != self._above[i]
            changed[1:] |= plane[1:] != plane[:-1]
        places = places_of_nonzero(changed.ravel())
        self._count += places.size
        _check_limit(self._count, MAX_RUNS, "runs of one value", self._where)
        self._values.append(tuple(plane.ravel()[places] for plane in planes))
        self._places.append(places + self._y * self._width)
        self._above = [plane[-1].copy() for plane in planes]
        self._y += len(planes[0])

    def runs(self) -> Runs:
        """Return the runs of all the rows taken."""
        places = np.concatenate(self._places)
        y = places // self._width
        x = places - y * self._width
        # NumPy sorts 16-bit integers by radix.
        order = (x.astype(np.uint16) if self._width < 1 << 16 else x).argsort(kind="stable")
        starts = (x * self._height + y)[order]
        planes = zip(*self._values, strict=True)
        return Runs(
            starts,
            _shifted(starts, self._height * self._width),
            tuple(np.concatenate(plane)[order].astype(np.int64) for plane in planes),
        )


def _shifted(starts: IntArray, end: int) -> IntArray:
    """Return where each of some neighbours ends: where the next one starts, the last at ``end``."""
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1] = end
    return ends


def group_runs(
    begin: IntArray,
    end: IntArray,
    numbers: IntArray,
    labels: IntArray,
    height: int,
    width: int,
    where: str = "the mask",
) -> list[Instance]:
    """Return one `Instance` for each pair of number and label, in this order.

    ``begin`` and ``end``: (n,) sorted, as in `Runs`; ``numbers``: (n,) instance numbers, 0 for
    none; ``labels``: (n,) positions in the label map, with -1 for pixels that are no annotation.
    ``where`` names the mask in errors. Raises MaskLimitError past `MAX_INSTANCES`.
    """
    kept = (labels >= 0).nonzero()[0]
    if not kept.size:
        return []
    base = int(labels.max()) + 1
    keys = numbers[kept] * base + labels[kept]
    if int(keys.max()) < 1 << 16:
        keys = keys.astype(np.uint16)
    order = keys.argsort(kind="stable")
    keys, kept = keys[order].astype(np.int64), kept[order]
    begin, end = begin[kept], end[kept]
    # Runs that touch (across a column's end, or parted by the other plane only) become one.
    first = np.empty(keys.size, bool)
    first[0] = True
    first[1:] = (keys[1:] != keys[:-1]) | (begin[1:] != end[:-1])
    heads = first.nonzero()[0]
    begin, end, keys = begin[heads], end[_shifted(heads, keys.size) - 1], keys[heads]
    first = first[: keys.size]
    first[1:] = keys[1:] != keys[:-1]
    groups = first.nonzero()[0]
    _check_limit(groups.size, MAX_INSTANCES, "instances", where)
    return _instances(keys[groups], base, begin, end, groups, height, width)


def _check_limit(count: int, limit: int, what: str, where: str) -> None:
    if count > limit:
        raise MaskLimitError(
            f"the mask has {count:,} {what} or more",
            where,
            f"at most {limit:,}",
            "check that this is a mask, and not a photograph or noise; else cut it into tiles",
        )


def _instances(
    keys: IntArray,
    base: int,
    begin: IntArray,
    end: IntArray,
    groups: IntArray,
    height: int,
    width: int,
) -> list[Instance]:
    stops = _shifted(groups, begin.size)
    areas = np.add.reduceat(end - begin, groups).tolist()
    boxes = _boxes(begin, end, groups, stops, height)
    counts, offsets = _counts(begin, end, groups, stops, height * width)
    parts = [counts[a:b] for a, b in pairwise(offsets.tolist())]
    size = [height, width]
    rles = mask_utils.frPyObjects([{"size": size, "counts": part} for part in parts], *size)
    numbers, labels = (part.tolist() for part in np.divmod(keys, base))
    return [
        Instance(label, number, rle["counts"], area, box)
        for label, number, rle, area, box in zip(labels, numbers, rles, areas, boxes, strict=True)
    ]


def _boxes(
    begin: IntArray, end: IntArray, groups: IntArray, stops: IntArray, height: int
) -> Iterator[tuple[int, int, int, int]]:
    first_column, last_column = begin // height, (end - 1) // height
    # A run that goes on in the next column touches the bottom of one and the top of the other.
    wraps = last_column != first_column
    top = np.where(wraps, 0, begin - first_column * height)
    bottom = np.where(wraps, height - 1, end - 1 - last_column * height)
    x, y = first_column[groups], np.minimum.reduceat(top, groups)
    columns = last_column[stops - 1] - x + 1
    rows = np.maximum.reduceat(bottom, groups) - y + 1
    return zip(x.tolist(), y.tolist(), columns.tolist(), rows.tolist(), strict=True)


def _counts(
    begin: IntArray, end: IntArray, groups: IntArray, stops: IntArray, pixels: int
) -> tuple[IntArray, IntArray]:
    """Return the COCO counts of all groups in a row, and where each group's begin (and the end).

    Counts go off, on, off, on, ...; the last off is left out where the mask reaches the end.
    """
    gaps = begin.copy()
    gaps[1:] -= end[:-1]
    gaps[groups] = begin[groups]
    rest = pixels - end[stops - 1]
    offsets = np.zeros(groups.size + 1, np.int64)
    (2 * (stops - groups) + (rest > 0)).cumsum(out=offsets[1:])
    counts = np.empty(offsets[-1], np.int64)
    # Each group before this one shifts its counts by two a run and one for its own rest.
    shift = (offsets[:-1] - 2 * groups).repeat(stops - groups)
    at = 2 * np.arange(begin.size) + shift
    counts[at], counts[at + 1] = gaps, end - begin
    counts[offsets[1:][rest > 0] - 1] = rest[rest > 0]
    return counts, offsets
