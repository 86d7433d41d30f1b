"""Types of arrays, and what several wings do with them: runs, groups, orders, rings.

A run is a stretch of equal neighbours. *Starts* are sorted indices, each the first of a run, a
group or a ring; the elements between two of them, or the last and the end, belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""(rows, width) values of pixels, in as few bytes as they need."""

_FEW = 1 << 15  # bytes; below, two calls of NumPy are faster than ten


class Size(NamedTuple):
    """The size of an image in pixels, in NumPy's order; as text it is width x height."""

    height: int
    width: int

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    @property
    def on_its_side(self) -> Size:
        """The size with width and height changed for each other."""
        return Size(self.width, self.height)

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


_FLIPS = [(1, 1), (1, -1), (-1, -1), (-1, 1)]


def turn(image: NDArray[Any], orientation: int | None) -> NDArray[Any]:
    """Return stored rows and columns as an EXIF ``orientation`` (1 to 8) shows them.

    (height, width, ...) -> the same, or (width, height, ...) from 5 on, where they lie on a side.
    Source: EXIF 2.32, tag 0x0112.
    """
    if orientation is None:
        return image
    if orientation > 4:
        image, orientation = image.swapaxes(0, 1), orientation - 4
    rows, columns = _FLIPS[orientation - 1]
    return np.ascontiguousarray(image[::rows, ::columns])


def places_of_nonzero(data: Bytes | BoolArray) -> IntArray:
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


def joined(parts: Sequence[NDArray[T]]) -> NDArray[T]:
    """Return arrays one after the other; a single one as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def starts_of_runs(values: NDArray[Any]) -> IntArray:
    """Return the starts of the runs of ``values``: (n,)."""
    new = np.empty(values.size, bool)
    new[:1] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new.nonzero()[0]


def lasts_of_runs(values: NDArray[Any]) -> IntArray:
    """Return the index of the last element of each run of ``values``: (n,)."""
    last = np.empty(values.size, bool)
    last[-1:] = True
    np.not_equal(values[1:], values[:-1], out=last[:-1])
    return last.nonzero()[0]


def ends_of(starts: IntArray, size: int) -> IntArray:
    """Return where each run ends (exclusive): where the next one starts, the last at ``size``."""
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1:] = size
    return ends


def lengths_of(starts: IntArray, size: int) -> IntArray:
    """Return the number of elements of each run, of ``size`` in all."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = size - starts[-1:]
    return lengths


def starts_of(lengths: IntArray) -> IntArray:
    """Return where runs of these lengths start, one after the other."""
    return lengths.cumsum() - lengths


def ranges(begins: IntArray | int, lengths: IntArray) -> IntArray:
    """Return begins[0], begins[0] + 1, ..., for ``lengths[0]`` numbers, then begins[1], ...

    With 0 for ``begins`` that is the place of every element in its run.
    """
    numbers = np.arange(int(lengths.sum()), dtype=np.int64)
    numbers += (begins - starts_of(lengths)).repeat(lengths)
    return numbers


def sums_by_value(values: IntArray, amounts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the values that there are, sorted, and the sum of the amounts that stand at each."""
    found, at = np.unique(values, return_inverse=True)
    sums = np.zeros(found.size, np.int64)
    np.add.at(sums, at.ravel(), amounts)
    return found, sums


def running_sums(values: IntArray, starts: IntArray) -> IntArray:
    """Return the sums of ``values`` (n,) so far, beginning again in each run: (n,)."""
    sums: IntArray = values.cumsum()
    before = sums[starts] - values[starts]
    return sums - before.repeat(lengths_of(starts, values.size))


def following(starts: IntArray, size: int) -> IntArray:
    """Return the index of the next element in a ring, for rings that stand in a row: (size,)."""
    index = np.arange(1, size + 1)
    index[ends_of(starts, size) - 1] = starts
    return index


def stable_order(values: IntArray, limit: int) -> IntArray:
    """Return the order that sorts integers from 0 to below ``limit``, equal ones as they stand.

    NumPy sorts 16-bit integers by radix, in a fraction of the time.
    """
    return (values.astype(np.uint16) if limit <= 1 << 16 else values).argsort(kind="stable")


def cycles_of(permutation: IntArray) -> tuple[IntArray, IntArray]:
    """Return the cycles of a permutation, one after the other, and where each begins.

    Each begins with the least of its numbers, and they come in the order of these.
    """
    ahead = permutation.tolist()
    order: list[int] = []
    starts: list[int] = []
    seen = bytearray(len(ahead))
    start = seen.find(0)
    while start >= 0:
        starts.append(len(order))
        at = start
        while not seen[at]:
            seen[at] = 1
            order.append(at)
            at = ahead[at]
        start = seen.find(0, start)
    return np.array(order, np.int64), np.array(starts, np.int64)


def spanning_forest(pairs: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Return which pairs join what no pair before them has, and the first of all that is joined.

    ``pairs``: (n, 2) numbers below ``count``; the latter is given for each number, (count,).
    """
    first = list(range(count))

    def find(number: int) -> int:
        while first[number] != number:
            first[number] = number = first[first[number]]
        return number

    joining = []
    for i in (pairs[:, 0] != pairs[:, 1]).nonzero()[0].tolist():
        a, b = map(find, pairs[i].tolist())
        if a != b:
            first[max(a, b)] = min(a, b)
            joining.append(i)
    return np.array(joining, np.int64), np.array([*map(find, range(count))], np.int64)


_LARGEST = (32 << 20) - (1 << 16)  # bytes; glibc learns nothing from blocks above 32 MiB


@cache
def keep_freed_memory() -> None:
    """Ask the allocator to keep what is freed, as images need the same memory again and again.

    glibc gives large blocks back to the system when they are freed, and each page of the next one
    is a page fault: measured, two thirds of the time of a conversion to COCO, and more than half of
    that of an import. It lets larger blocks be kept once it has seen one freed (mallopt(3),
    "dynamic mmap threshold"): here up to 64 MiB, for arrays of up to 32 MiB. A user who has set the
    thresholds, such as by MALLOC_TRIM_THRESHOLD_, has the last word: they do not move then.
    Elsewhere this does nothing, and costs nothing: the block that is freed is never written to.
    """
    np.empty(_LARGEST, np.uint8)
