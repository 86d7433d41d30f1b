"""Two planes in, all instances of an image out, in one pass over the pixels.

`Scanner` takes the planes in blocks of rows, top to bottom, and keeps only where a value differs
from the one above it. Those places, sorted by column, are the runs of the COCO run-length
encoding, which goes down the columns. `group_runs` then makes the RLEs of all instances at once,
and `group_images` those of several images.
So the cost is that of the pixels plus the runs, whatever the number of instances, and the memory
that of one block plus the runs. `split_components` makes instances of masks that have none: of each
mask in the window of its own box. Source: docs/format.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ..arrays import (
    IntArray,
    Size,
    Values,
    ends_of,
    joined,
    lengths_of,
    places_of_nonzero,
    stable_order,
    starts_of_runs,
)
from ..errors import check_limit
from .rle import decode_box

NOTHING = -1
"""The label of pixels that are no annotation, where otherwise the position of a label stands."""
MAX_RUNS = 1 << 24
"""Places of a mask where a value differs from the one above; some 150 bytes each are at work."""
MAX_INSTANCES = 1 << 20
"""Pairs of instance and label in one item; Datumaro takes a kilobyte for each."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The pixels of one label within one instance.

    ``label`` is the position in the label map, None where there is no class mask. ``number`` is
    the instance number, 0 where there is none. ``counts`` is the compressed string of
    pycocotools, ``area`` is in pixels, ``bbox`` is x, y, width, height in pixels. ``outlines``: the
    polygons that cover exactly these pixels, each a list of x and y in turn, where the object came
    as such; else None. ``is_crowd``: a region of many objects, in COCO's sense. ``is_unknown``: a
    region of which nobody said what it is, without label and number.
    """

    label: int | None
    number: int
    counts: bytes
    area: int
    bbox: tuple[int, int, int, int]
    outlines: Sequence[Sequence[float]] | None = None
    is_crowd: bool = False
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs down the columns that cover an image, in their order, and the value in each plane.

    All (n,) int64. ``begin`` and ``end`` (exclusive) count pixels down the columns, ``x * height
    + y``. Every column begins a run of its own. Several images of one size may follow one another,
    as if they stood side by side.
    """

    size: Size
    begin: IntArray
    end: IntArray
    values: tuple[IntArray, ...]

    def of_images(self, images: int) -> list[Runs]:
        """Return the runs of each of several images."""
        if images == 1:
            return [self]
        heads = self.size.pixels * np.arange(images + 1)
        cuts = self.begin.searchsorted(heads).tolist()
        return [
            Runs(
                self.size,
                self.begin[a:b] - head,
                self.end[a:b] - head,
                tuple(plane[a:b] for plane in self.values),
            )
            for (a, b), head in zip(pairwise(cuts), heads.tolist(), strict=False)
        ]


class Scanner:
    """Collects the runs of one or more planes of one size, given in blocks of whole rows.

    ``where`` names the mask in errors. Of several ``images`` a plane is all of them, one below the
    other, and they are given in one block.
    """

    def __init__(self, height: int, width: int, where: str = "the mask", images: int = 1) -> None:
        self._where = where
        self._images = images
        self._count = 0
        self._size = Size(height, width)
        self._y = 0
        self._above: list[Values] = []
        self._places: list[IntArray] = []
        self._values: list[tuple[Values, ...]] = []

    def add(self, *planes: Values) -> None:
        """Take the next rows of each plane: (rows, width) of unsigned integers, 0 as they are.

        Raises MaskLimitError past `MAX_RUNS`.
        """
        changed = np.empty(planes[0].shape, bool)
        if self._above:
            np.not_equal(planes[0][0], self._above[0], out=changed[0])
        np.not_equal(planes[0][1:], planes[0][:-1], out=changed[1:])
        for i, plane in enumerate(planes[1:], 1):
            if self._above:
                changed[0] |= plane[0] != self._above[i]
            changed[1:] |= plane[1:] != plane[:-1]
        if not self._above:
            changed[:: self._size.height] = True
        places = places_of_nonzero(changed.ravel())
        self._count += places.size
        check_limit(self._count, MAX_RUNS, "runs of one value", self._where, _REMEDY)
        self._values.append(tuple(plane.ravel()[places] for plane in planes))
        self._places.append(places + self._y * self._size.width)
        self._above = [plane[-1].copy() for plane in planes]
        self._y += len(planes[0])

    def runs(self) -> Runs:
        """Return the runs of all the rows taken."""
        (height, width), places = self._size, joined(self._places)
        y = places // width
        x = places - y * width
        if self._images > 1:
            image = y // height
            y -= image * height
            x += image * width
        order = stable_order(x, self._images * width)
        x *= height
        x += y
        starts = x[order]
        planes = (joined(plane) for plane in zip(*self._values, strict=True))
        return Runs(
            self._size,
            starts,
            ends_of(starts, self._images * self._size.pixels),
            tuple(plane[order].astype(np.int64) for plane in planes),
        )


def group_runs(
    runs: Runs, numbers: IntArray, labels: IntArray, where: str = "the mask"
) -> list[Instance]:
    """Return one `Instance` for each pair of number and label, in this order.

    Of each run, ``numbers``: (n,) instance numbers, 0 for none; ``labels``: (n,) positions in the
    label map, with `NOTHING` for pixels that are no annotation. ``where`` names the mask in errors.
    Raises MaskLimitError past `MAX_INSTANCES`.
    """
    return group_images(runs, numbers, labels, 1, where)[0]


def group_images(
    runs: Runs, numbers: IntArray, labels: IntArray, images: int, where: str = "the mask"
) -> list[list[Instance]]:
    """Return the instances of each of several images, as `group_runs` does those of one."""
    found: list[list[Instance]] = [[] for _ in range(images)]
    kept = (labels >= 0).nonzero()[0]
    if not kept.size:
        return found
    numbers, labels = numbers[kept], labels[kept]
    base = int(labels.max()) + 1
    keys = numbers * base + labels
    span = int(keys.max()) + 1
    if images > 1:
        keys += runs.begin[kept] // runs.size.pixels * span
    order = stable_order(keys, images * span)
    keys, kept = keys[order], kept[order]
    begin, end = runs.begin[kept], runs.end[kept]
    # Runs that touch (across a column's end, or parted by the other plane only) become one.
    first = np.ones(keys.size, bool)
    first[1:] = (keys[1:] != keys[:-1]) | (begin[1:] != end[:-1])
    heads = first.nonzero()[0]
    begin, end, keys = begin[heads], end[ends_of(heads, keys.size) - 1], keys[heads]
    if images > 1:
        before = keys // span * runs.size.pixels
        begin -= before
        end -= before
    starts = starts_of_runs(keys)
    check_limit(starts.size, MAX_INSTANCES, "instances", where, _REMEDY)
    groups = _Groups(begin, end, starts, runs.size)
    size = [*runs.size]
    rles = mask_utils.frPyObjects([{"size": size, "counts": c} for c in groups.counts()], *size)
    for key, rle, area, box in zip(
        keys[starts].tolist(), rles, groups.areas(), groups.boxes(), strict=True
    ):
        image, pair = divmod(key, span)
        number, label = divmod(pair, base)
        found[image].append(Instance(label, number, rle["counts"], area, box))
    return found


_REMEDY = "check that this is a mask, and not a photograph or noise; else cut it into tiles"


class _Groups:
    """The runs of many masks, those of each in a row from one of ``starts`` on."""

    def __init__(self, begin: IntArray, end: IntArray, starts: IntArray, size: Size) -> None:
        self._begin, self._end, self._starts, self._size = begin, end, starts, size
        self._last = ends_of(starts, begin.size) - 1

    def areas(self) -> list[int]:
        areas: list[int] = np.add.reduceat(self._end - self._begin, self._starts).tolist()
        return areas

    def boxes(self) -> Iterator[tuple[int, int, int, int]]:
        height = self._size.height
        first_column, last_column = self._begin // height, (self._end - 1) // height
        # A run that goes on in the next column touches the bottom of one and the top of the other.
        wraps = last_column != first_column
        top = np.where(wraps, 0, self._begin - first_column * height)
        bottom = np.where(wraps, height - 1, self._end - 1 - last_column * height)
        x, y = first_column[self._starts], np.minimum.reduceat(top, self._starts)
        columns = last_column[self._last] - x + 1
        rows = np.maximum.reduceat(bottom, self._starts) - y + 1
        return zip(x.tolist(), y.tolist(), columns.tolist(), rows.tolist(), strict=True)

    def counts(self) -> Iterator[IntArray]:
        """Yield the COCO counts: off, on, off, on, ..., no last off where the mask ends there."""
        gaps = self._begin.copy()
        gaps[1:] -= self._end[:-1]
        gaps[self._starts] = self._begin[self._starts]
        runs = lengths_of(self._starts, self._begin.size)
        rest = self._size.pixels - self._end[self._last]
        lengths = 2 * runs + (rest > 0)
        ends = lengths.cumsum()
        counts = np.empty(ends[-1], np.int64)
        # Two counts a run, and one more for the rest of each mask before.
        at = 2 * np.arange(gaps.size) + (ends - lengths - 2 * self._starts).repeat(runs)
        counts[at], counts[at + 1] = gaps, self._end - self._begin
        counts[ends[rest > 0] - 1] = rest[rest > 0]
        return (counts[a:b] for a, b in pairwise([0, *ends.tolist()]))


def split_components(
    instances: Iterable[Instance],
    height: int,
    width: int,
    *,
    connectivity: int = 8,
    min_area: int = 0,
    first_number: int = 1,
) -> list[Instance]:
    """Return one instance for each connected component, numbered from ``first_number`` on.

    ``height`` and ``width`` are those of the image, in pixels. With ``connectivity`` 8 pixels
    that touch at a corner belong together, with 4 they do not. Components of fewer than
    ``min_area`` pixels are left out. The order is that of the masks, and within each that of the
    components' first pixels, row by row.
    """
    size = Size(height, width)
    found: list[Instance] = []
    for instance in instances:
        if not instance.area:
            continue
        x, y, columns, rows = instance.bbox
        window = np.ascontiguousarray(decode_box(instance.counts, instance.bbox, height))
        count, labels = cv2.connectedComponents(window, connectivity=connectivity)
        scanner = Scanner(rows, columns)
        scanner.add(labels.astype(np.uint32))
        runs = scanner.runs()
        # From the columns of the window to those of the image: only the rows above differ.
        column = runs.begin // rows
        shift = (column + x) * height + y - column * rows
        in_image = Runs(size, runs.begin + shift, runs.end + shift, runs.values)
        numbers = _rank_by_first_pixel(runs.values[0], runs.begin, rows, columns)
        parts = group_runs(in_image, numbers, np.where(numbers > 0, 0, -1))
        assert len(parts) == count - 1
        for part in parts:
            if part.area >= min_area:
                number = first_number + len(found)
                found.append(Instance(instance.label, number, part.counts, part.area, part.bbox))
    return found


def _rank_by_first_pixel(numbers: IntArray, begin: IntArray, rows: int, columns: int) -> IntArray:
    """Number components by their first pixels, row by row; 0 stays. OpenCV has an order of its own.

    ``numbers``, ``begin``: (n,) the component of each run of a window and where it begins, as in
    `Runs`.
    """
    column, row = np.divmod(begin, rows)
    first = np.full(int(numbers.max()) + 1, rows * columns)
    np.minimum.at(first, numbers, row * columns + column)
    first[0] = -1
    rank: IntArray = np.argsort(np.argsort(first))
    return rank[numbers]
