"""Masks as rings through the centres of their pixels, one a mask, as YOLO's segments need them.

OpenCV's ``fillPoly`` paints the outline of a polygon as well as its inside, so rings along pixel
edges come out a pixel too wide, and rings through the centres of the outermost pixels exactly. A
hole is joined to its outline by a seam over pixels of the mask, which paints nothing new; parts
are joined by the shortest bridges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import cv2
import numpy as np

from ..arrays import (
    BoolArray,
    IntArray,
    Size,
    ends_of,
    following,
    lengths_of,
    ranges,
    spanning_forest,
    starts_of,
    starts_of_runs,
)
from ..errors import check_limit
from ..regions import (
    WHERE_AND_FIX,
    Link,
    Outlines,
    Ring,
    Ways,
    join_rings,
    runs_of_texts,
    splice,
    trace,
)

MAX_LENGTH = 1 << 21
"""Pixels along the outlines of an item's objects in several parts: 293 MB, measured."""

# From where an edge begins, and where it ends, to the pixel of the mask beside it, which is on its
# left hand. By the side of that pixel: east, north, west, south.
_FROM_BEGIN = np.array([[-1, -1], [-1, 0], [0, 0], [0, -1]])
_FROM_END = np.array([[-1, 0], [0, 0], [0, -1], [-1, -1]])

_MANY = 50  # parts, from where on the plane is cheaper to look at than each of them
_BLOCK = 1 << 16  # distances that are measured at once

Window: TypeAlias = tuple[slice, slice]


def center_rings(texts: Sequence[bytes], size: Size) -> list[Ring]:
    """Return a ring for each mask: (n, 2) int32, the x and y of pixels where it turns.

    ``texts``: the compressed counts of COCO RLEs of this size. From one pixel of a ring to the next
    the way is straight or diagonal, but for bridges. Painted with its outline, a ring gives the
    pixels of the mask and of the bridges between its parts. A mask without pixels has none.
    """
    parts = _through_centers(*trace(runs_of_texts(texts, size), size.height))
    rings = [np.zeros((0, 2), np.int32)] * len(texts)
    counts = lengths_of(starts_of_runs(parts.shapes), parts.shapes.size)
    several = (counts > 1).repeat(counts)
    for some in (parts.take(~several), _bridged(_pixel_by_pixel(parts.take(several)))):
        for shape, ring in zip(some.shapes.tolist(), _turns(some).rings(), strict=True):
            rings[shape - 1] = ring
    return rings


def _through_centers(outlines: Outlines, ways: Ways) -> Outlines:
    """Return one ring for each part: outlines moved from the edges of pixels to their centres."""
    begin = outlines.points
    end = begin[following(outlines.starts, len(begin))]
    side = _sides_of(end - begin)
    points = np.stack([begin + _FROM_BEGIN[side], end + _FROM_END[side]], axis=1).reshape(-1, 2)
    centers = replace(outlines, points=points, starts=2 * outlines.starts)
    if not ways.ends.size:
        return centers
    ways = replace(ways, ends=2 * ways.ends, edges=2 * ways.edges)
    # Where rings meet, their pixels lie diagonally: any two of them will do.
    meet = (begin[ways.ends // 2] == begin[ways.edges // 2]).all(axis=1)
    return join_rings(centers, ways, np.where(meet[:, None], points[ways.edges], ways.pixels))


def _sides_of(step: IntArray) -> IntArray:
    """Return which side of its pixels each edge is, given from begin to end: (n, 2) -> (n,)."""
    x, y = np.sign(step).T
    sides: IntArray = np.where(x == 0, 1 + y, 2 + x)
    return sides


def _pixel_by_pixel(outlines: Outlines) -> Outlines:
    """Return rings through centres with all the pixels on their ways."""
    x, y = _steps(outlines)
    lengths = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1)
    check_limit(int(lengths.sum()), MAX_LENGTH, "pixels of outline", *WHERE_AND_FIX)
    points = outlines.points.repeat(lengths, axis=0)
    nth = ranges(0, lengths)
    for axis, step in enumerate((x, y)):
        # A way that is neither straight nor diagonal is diagonal first.
        points[:, axis] += np.sign(step).repeat(lengths) * np.minimum(
            nth, abs(step).repeat(lengths)
        )
    return replace(outlines, points=points, starts=starts_of(lengths)[outlines.starts])


def _bridged(parts: Outlines) -> Outlines:
    """Return one ring for each shape: those of its parts, over bridges."""
    if not parts.starts.size:
        return parts
    first = starts_of_runs(parts.shapes)
    begins, size = parts.starts[first], len(parts.points)
    part = np.arange(parts.starts.size).repeat(parts.sizes())
    links: list[Link] = []
    for begin, end in zip(begins.tolist(), ends_of(begins, size).tolist(), strict=True):
        bridges = _bridges(parts.points[begin:end], part[begin:end])
        links += [(a + begin, b + begin, length) for a, b, length in bridges]
    order, starts = splice(parts.starts, size, links, begins)
    chosen = parts.take(np.isin(np.arange(parts.starts.size), first))
    return replace(chosen, points=parts.points[order], starts=starts)


def _distance(a: IntArray, b: IntArray) -> IntArray:
    """Return how many steps, straight or diagonal, lead from pixels to others: (..., 2) each."""
    x: IntArray = np.abs(a[..., 0] - b[..., 0])
    y: IntArray = np.abs(a[..., 1] - b[..., 1])
    np.maximum(x, y, out=x)
    return x


def _bridges(pixels: IntArray, part: IntArray) -> list[Link]:
    """Return the shortest bridges that join all parts. ``part``: (n,) that of each pixel."""
    names, sizes = np.unique(part, return_counts=True)
    if names.size > _MANY:
        a, b = _shores(pixels, part)
        return _shortest_links(part, a, b, _distance(pixels[a], pixels[b]))
    part, sizes = np.searchsorted(names, part), sizes.copy()
    bridges = []
    # The smallest of all goes to what is nearest to it, whichever that is (Kruskal's cut).
    for _ in range(names.size - 1):
        least = int(np.where(sizes, sizes, len(part) + 1).argmin())
        is_mine = part == least
        mine, others = np.flatnonzero(is_mine), np.flatnonzero(~is_mine)
        i, j, length = _closest(pixels[mine], pixels[others])
        bridges.append((int(mine[i]), int(others[j]), length))
        nearest = part[others[j]]
        sizes[nearest] += sizes[least]
        sizes[least] = 0
        part[mine] = nearest
    return bridges


def _shortest_links(ring: IntArray, a: IntArray, b: IntArray, length: IntArray) -> list[Link]:
    """Return the links that join as many rings as can be, and are the shortest to do so.

    ``ring``: the ring of each point; ``a``, ``b``, ``length``: (n,) all the links there may be. Of
    these the shortest between each two rings, and of those the minimum spanning tree (Kruskal's
    algorithm).
    """
    apart = np.flatnonzero(ring[a] != ring[b])
    a, b, length = a[apart], b[apart], length[apart]
    low, high = np.minimum(ring[a], ring[b]), np.maximum(ring[a], ring[b])
    pair = low * (int(ring.max(initial=0)) + 1) + high
    order = np.lexsort((length, pair))
    shortest = order[starts_of_runs(pair[order])]
    shortest = shortest[np.argsort(length[shortest], kind="stable")]

    rings = np.stack([low[shortest], high[shortest]], axis=1)
    joining, _ = spanning_forest(rings, int(ring.max(initial=0)) + 1)
    chosen = shortest[joining]
    ways = a[chosen].tolist(), b[chosen].tolist(), length[chosen].tolist()
    return [*zip(*ways, strict=True)]


def _closest(a: IntArray, b: IntArray) -> Link:
    """Return which pixels of two sets are nearest to one another, and how near."""
    off = _off_box(b, a)
    reach = int(_distance(a, b[off.argmin()]).min())
    of_b = np.flatnonzero(off <= reach)
    of_a = np.flatnonzero(_off_box(a, b[of_b]) <= reach)
    best = 0, 0, reach + 1
    rows = max(1, _BLOCK // of_b.size)
    for start in range(0, of_a.size, rows):
        some = of_a[start : start + rows]
        distance = _distance(a[some, None], b[of_b])
        i, j = divmod(int(distance.argmin()), of_b.size)
        if distance[i, j] < best[2]:
            best = int(some[i]), int(of_b[j]), int(distance[i, j])
    return best


def _off_box(pixels: IntArray, others: IntArray) -> IntArray:
    """Return how far pixels are from the smallest box around others."""
    (x, y), (from_x, from_y) = pixels.T, others.T
    off: IntArray = np.maximum(from_x.min() - x, x - from_x.max())
    for more in (from_y.min() - y, y - from_y.max(), 0):
        np.maximum(off, more, out=off)
    return off


def _shores(pixels: IntArray, part: IntArray) -> tuple[IntArray, IntArray]:
    """Return pairs of pixels, by index, among which are the ends of the shortest bridges.

    Each pixel of the plane goes to the one that is nearest, and where such of two parts border on
    one another they make a pair. The cost is that of the plane, however many the parts.
    """
    corner = pixels.min(axis=0) - 1
    width, height = pixels.max(axis=0) - corner + 2
    place = (pixels - corner) @ np.array([1, width])
    land = np.ones((height, width), np.uint8)
    land.ravel()[place] = 0
    _, nearest = cv2.distanceTransformWithLabels(
        land, cv2.DIST_C, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, np.int64)
    owner[nearest.ravel()[place]] = np.arange(len(pixels))
    parts = part[owner].astype(np.int32)[nearest]
    pairs = []
    for here, there in _neighbours():
        at = np.flatnonzero(parts[here] != parts[there])
        pairs.append(np.stack([nearest[here].ravel()[at], nearest[there].ravel()[at]]))
    a, b = owner[np.concatenate(pairs, axis=1)]
    return a, b


def _neighbours() -> Iterator[tuple[Window, Window]]:
    """Yield two windows of a plane, in which neighbours have the same place: 8 directions."""
    all_, but_first, but_last = slice(None), slice(1, None), slice(None, -1)
    yield (all_, but_last), (all_, but_first)
    yield (but_last, all_), (but_first, all_)
    yield (but_last, but_last), (but_first, but_first)
    yield (but_last, but_first), (but_first, but_last)


def _turns(outlines: Outlines) -> Outlines:
    """Return rings without the points that repeat the one before or lie on a straight way."""
    x, y = _steps(outlines)
    outlines = _keep(outlines, (x | y) != 0)
    x, y = _steps(outlines)
    from_x, from_y = np.empty_like(x), np.empty_like(y)
    after = following(outlines.starts, x.size)
    from_x[after], from_y[after] = x, y
    straight = (x * from_y == y * from_x) & (x * from_x + y * from_y > 0)
    return _keep(outlines, ~straight)


def _steps(outlines: Outlines) -> tuple[IntArray, IntArray]:
    """Return the way from each point to the next, along x and along y."""
    x, y = outlines.points.T
    after = following(outlines.starts, x.size)
    return x[after] - x, y[after] - y


def _keep(outlines: Outlines, kept: BoolArray) -> Outlines:
    """Return rings of some of their points, of one at least."""
    if not outlines.starts.size:
        return outlines
    counts = np.add.reduceat(kept.astype(np.int64), outlines.starts)
    kept[outlines.starts[counts == 0]] = True
    starts = starts_of(np.maximum(counts, 1))
    return replace(outlines, points=outlines.points[kept], starts=starts)
