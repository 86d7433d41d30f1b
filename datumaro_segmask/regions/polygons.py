"""Masks ↔ polygons along pixel edges, without a changed pixel.

A mask is followed from pixel to pixel, the edges that its outlines pass on the way are lined up,
holes are joined to their outline by seams, and corners are what is left when straight stretches
go. Painted by pycocotools, such polygons give the mask again: it fills a column from one
horizontal edge to the next (the even-odd rule), edges between whole numbers fall between its
sampling points, and a seam walked both ways fills nothing. Source: docs/format.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..arrays import IntArray
from .rle import decode_box

Mask: TypeAlias = NDArray[np.bool_] | NDArray[np.uint8]
Ring: TypeAlias = NDArray[np.int32]

# Sides of a pixel in the order in which they are walked, the mask on the left hand: 0 east,
# 1 north, 2 west, 3 south. Here is the corner (x, y) where each side begins.
_FIRST_CORNER = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], np.int32)


def _sides_passed() -> tuple[IntArray, IntArray]:
    """Return how many sides of a pixel an outline passes, and the first, for each way through.

    Both (81,): indexed by 9 times the step to the pixel plus the step from it, a step being
    dx + 3 * dy + 4. Directions are those of a Freeman chain: 0 east, 1 north-east, 2 north, ...,
    so that side s looks in direction 2 * s. The outline turns from where it came to where it goes
    on, by 1 to 8 eighths; between them are the neighbours that are off, on every second a side.
    """
    ahead = np.array([3, 2, 1, 4, 0, 0, 5, 6, 7])
    behind = (ahead[:, None] + 4) & 7
    turn = ((ahead - behind - 1) & 7) + 1
    last_side = behind >> 1
    passed = ((behind + turn - 1) >> 1) - last_side
    passed[4, 4] = 4  # no step: a pixel on its own
    first = np.broadcast_to((last_side + 1) & 3, passed.shape)
    return passed.ravel(), first.ravel()


_PASSED, _FIRST_SIDE = _sides_passed()


def mask_to_polygons(mask: Mask, offset: tuple[int, int] = (0, 0)) -> list[Ring]:
    """Return the polygons that cover exactly the pixels of a mask, one for each part of it.

    ``mask``: (height, width) bool or uint8, every value but 0 is on. ``offset``: x and y of its
    first pixel in the image, for a mask that is a window. Parts are 8-connected. A polygon is
    (n, 2) int32, x and y of its corners in pixels, from pixel edge to pixel edge (the first pixel
    has the corners 0 and 1), not closed by a repeated corner. It consists of axis-parallel edges,
    touches itself where pixels touch by a corner, and runs over each seam to a hole twice.
    Source: docs/format.md, section 6.
    """
    outlines = _trace(mask)
    if outlines is None:
        return []
    points, starts = _drop_straight(*_join_holes(outlines))
    points += np.array(offset, np.int32)
    return [points] if starts.size == 1 else np.split(points, starts[1:])


def rle_to_polygons(rle: dict[str, Any], bbox: Sequence[float]) -> list[Ring]:
    """Return the polygons of an RLE as `mask_to_polygons` does, decoding no more than its box.

    ``rle``: a compressed COCO RLE (``size``: height and width, ``counts``: bytes or str);
    ``bbox``: x, y, width, height in pixels, the smallest box around the mask (as
    ``pycocotools.mask.toBbox`` gives it).
    """
    x, y, width, height = (int(value) for value in bbox)
    counts = rle["counts"]
    text = counts.encode() if isinstance(counts, str) else counts
    return mask_to_polygons(decode_box(text, (x, y, width, height), rle["size"][0]), (x, y))


def polygons_to_rle(polygons: Sequence[NDArray[Any]], height: int, width: int) -> dict[str, Any]:
    """Paint polygons into one compressed COCO RLE of an image, as pycocotools and Datumaro do.

    ``polygons``: (n, 2) x and y in pixels, n > 2. Pixels in any of them are on.
    """
    if not polygons:
        nothing = {"size": [height, width], "counts": [height * width]}
        empty: dict[str, Any] = mask_utils.frPyObjects(nothing, height, width)
        return empty
    flat = [polygon.ravel() for polygon in polygons]
    merged: dict[str, Any] = mask_utils.merge(mask_utils.frPyObjects(flat, height, width))
    return merged


@dataclass(frozen=True, slots=True)
class _Outlines:
    """All outlines of a mask in a row, as unit edges.

    ``points``: (n, 2) int32, where each edge begins; ``sides``: (n,) which side of its pixel it
    is; ``starts``: (rings,) the first edge of each outline.
    """

    points: Ring
    sides: IntArray
    starts: IntArray

    def holes(self) -> NDArray[np.bool_]:
        """Return (rings,) bool: the outlines that run around a hole."""
        # The integral of x along y; edges on the west go down, those on the east go up.
        area = self.points[:, 0] * np.array([-1, 0, 1, 0]).take(self.sides)
        return np.add.reduceat(area, self.starts) > 0


def _trace(mask: Mask) -> _Outlines | None:
    """Follow the outlines of a mask.

    OpenCV gives the chain of pixels along each outline, of which all sides are taken that the
    outline passes. (Enlarging the mask twice, so that the chain itself runs along the edges,
    costs thirty times as much for a mask of 1024 × 1024. `RETR_CCOMP`, which also tells holes from
    outlines, takes a time quadratic in their number.)
    """
    if not mask.size:
        return None
    # OpenCV transposes six times as fast as NumPy.
    rows = cv2.transpose(_bytes(mask.T)) if mask.flags.f_contiguous else _bytes(mask)
    contours, _ = cv2.findContours(rows, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    pixels = np.concatenate(contours)[:, 0]
    starts = _starts([len(contour) for contour in contours])
    following = _following(starts, len(pixels))
    step = pixels.take(following, axis=0) - pixels
    leaving = step[:, 0] + 3 * step[:, 1] + 4
    coming = np.empty_like(leaving)
    coming[following] = leaving
    way = 9 * coming + leaving
    passed = _PASSED.take(way)
    begins = np.cumsum(passed) - passed
    pixel = np.repeat(np.arange(len(pixels)), passed)
    sides = (np.arange(len(pixel)) - (begins - _FIRST_SIDE.take(way)).take(pixel)) & 3
    points = pixels.take(pixel, axis=0) + _FIRST_CORNER.take(sides, axis=0)
    return _Outlines(points, sides, begins.take(starts))


def _bytes(mask: Mask) -> NDArray[np.uint8]:
    return np.ascontiguousarray(mask).view(np.uint8)


def _starts(lengths: Sequence[int]) -> IntArray:
    return np.cumsum([0, *lengths[:-1]], dtype=np.int64)


def _following(starts: IntArray, size: int) -> IntArray:
    """Return the index of the next element in a ring, for rings that stand in a row."""
    following = np.arange(1, size + 1, dtype=np.int64)
    following[starts[1:] - 1] = starts[:-1]
    following[-1] = starts[-1]
    return following


def _drop_straight(points: Ring, starts: IntArray) -> tuple[Ring, IntArray]:
    """Return axis-parallel rings and their starts without the points on a line with both next."""
    following = _following(starts, len(points))
    ahead = points.take(following, axis=0) == points
    behind = np.empty_like(ahead)
    behind[following] = ahead
    straight = (ahead & behind).any(axis=1)
    turns = ~straight
    return points.compress(turns, axis=0), (np.cumsum(turns) - turns).take(starts)


def _join_holes(outlines: _Outlines) -> tuple[Ring, IntArray]:
    """Return one ring for each part: its outline and, over seams, the outlines of its holes.

    A seam links two rings by an exchange of successors: where the walk comes to one end, it goes
    on behind the other end, and so around the other ring and back. A seam with a length needs
    each end a second time, for the way back.
    """
    points, starts = outlines.points, outlines.starts
    if starts.size == 1 or not (holes := outlines.holes()).any():
        return points, starts
    size = len(points)
    successor = dict(zip([*(starts[1:] - 1).tolist(), size - 1], starts.tolist(), strict=True))
    again: list[int] = []
    for a, b, length in _seams(outlines):
        after_a, after_b = successor.get(a, a + 1), successor.get(b, b + 1)
        if length:
            second_a, second_b = size + len(again), size + len(again) + 1
            again += [a, b]
            successor[second_a], successor[second_b] = after_a, after_b
            after_a, after_b = second_a, second_b
        successor[a], successor[b] = after_b, after_a
    order, starts = _walk(successor, starts[~holes])
    return np.concatenate([points, points[again]]).take(order, axis=0), starts


def _walk(successor: dict[int, int], starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the indices on the ways that begin at ``starts``, and where each way begins.

    An index that is no key of ``successor`` is followed by the next one: stretches end at keys.
    Every way leads into a stretch at its first index.
    """
    last = np.array(sorted(successor))
    first = np.concatenate([[0], last[:-1] + 1])
    targets = np.array([successor[index] for index in last.tolist()])
    following = np.searchsorted(first, targets).tolist()
    stretches: list[int] = []
    ways: list[int] = []
    for start in np.searchsorted(first, starts).tolist():
        ways.append(len(stretches))
        stretches.append(start)
        while (stretch := following[stretches[-1]]) != start:
            stretches.append(stretch)
    first, last = first[stretches], last[stretches]
    begins = np.cumsum(last + 1 - first) - (last + 1 - first)
    order = np.arange(begins[-1] + last[-1] + 1 - first[-1])
    return order + np.repeat(first - begins, last + 1 - first), begins[ways]


def _seams(outlines: _Outlines) -> list[tuple[int, int, int]]:
    """Return the shortest seams that join all the holes: the index of each end, the length.

    Every row and column of pixels of the mask leads from one edge to another; where these are of
    two rings, it is a way for a seam. Rings that touch need none. Of all these ways the shortest
    between each two rings, and of those the minimum spanning tree (Kruskal's algorithm), are
    taken. The way up from the top of a hole ends on a ring with a higher top, so none is left out.
    """
    ends = np.append(outlines.starts[1:], len(outlines.points))
    ring = np.repeat(np.arange(ends.size, dtype=np.int64), ends - outlines.starts)
    a, b = _ways(outlines)
    apart = np.flatnonzero(ring[a] != ring[b])
    a, b = a[apart], b[apart]
    length = np.abs(outlines.points[b] - outlines.points[a]).sum(axis=1)
    low, high = np.minimum(ring[a], ring[b]), np.maximum(ring[a], ring[b])
    pair = low * ends.size + high
    order = np.lexsort((length, pair))
    shortest = order[np.diff(pair[order], prepend=-1) != 0]
    shortest = shortest[np.argsort(length[shortest], kind="stable")]

    root = list(range(ends.size))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    seams = []
    ways = (low[shortest], high[shortest], a[shortest], b[shortest], length[shortest])
    for r, s, *way in zip(*(part.tolist() for part in ways), strict=True):
        r, s = find(r), find(s)
        if r != s:
            root[r] = s
            seams.append((way[0], way[1], way[2]))
    return seams


def _ways(outlines: _Outlines) -> tuple[IntArray, IntArray]:
    """Return the index of each end of all straight ways through the mask."""
    points, sides = outlines.points.astype(np.int64), outlines.sides
    index = np.arange(len(points))
    # East and north sides end where the west or south side across begins.
    ends = np.where(sides < 2, _following(outlines.starts, len(points)), index)
    line = int(points.max()) + 1
    x, y = points[:, 0], points[:, 1]
    by_row, by_column = line * y + x, line * x + y
    across, down = ends[sides & 1 == 0], ends[sides & 1 == 1]
    across, down = across[np.argsort(by_row[across])], down[np.argsort(by_column[down])]
    order = np.argsort(by_row, kind="stable")
    met = np.flatnonzero(by_row[order[1:]] == by_row[order[:-1]])
    a = np.concatenate([order[met], across[::2], down[::2]])
    b = np.concatenate([order[met + 1], across[1::2], down[1::2]])
    return a, b
