"""Masks as rings through the centres of their pixels, one a mask, as YOLO's segments need them.

OpenCV's ``fillPoly`` paints the outline of a polygon as well as its inside, so rings along pixel
edges come out a pixel too wide, and rings through the centres of the outermost pixels exactly. A
hole is joined to its outline by a seam over pixels of the mask, which paints nothing new; parts
are joined by the shortest bridges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    cut_at_columns,
    link_rings,
    runs_of_texts,
    splice,
    trace,
    ways_to_outlines,
)

MAX_LENGTH = 1 << 21
"""Pixels along the outlines of an object in several parts: 307 MB, measured."""

_MANY = 50  # parts, from where on the plane is cheaper to look at than each of them
_FAR = 1 << 40  # pixels; farther than any two of an image are apart
_AT_ONCE = 1 << 18  # pixels of outlines, or distances between them, that are looked at in one pass

Window: TypeAlias = tuple[slice, slice]


def center_rings(texts: Sequence[bytes], size: Size) -> list[Ring]:
    """Return a ring for each mask: (n, 2) int32, the x and y of pixels where it turns.

    ``texts``: the compressed counts of COCO RLEs of this size. From one pixel of a ring to the next
    the way is straight or diagonal, but for bridges. Painted with its outline, a ring gives the
    pixels of the mask and of the bridges between its parts. A mask without pixels has none. Raises
    MaskLimitError past `MAX_LENGTH` and the limits of `regions.outlines`.
    """
    parts = _through_centers(texts, size)
    rings = [np.zeros((0, 2), np.int32)] * len(texts)
    counts = lengths_of(starts_of_runs(parts.shapes), parts.shapes.size)
    several = (counts > 1).repeat(counts)
    joined = map(_bridged, _in_portions(parts.take(several))) if several.any() else ()
    for some in (parts.take(~several), *joined):
        for shape, ring in zip(some.shapes.tolist(), _turns(some).rings(), strict=True):
            rings[shape - 1] = ring
    return rings


def _through_centers(texts: Sequence[bytes], size: Size) -> Outlines:
    """Return one ring for each part: outlines moved from the edges of pixels to their centres.

    A pixel lies on the left hand of the edge beside it. Edges are vertical and horizontal in turn,
    and each becomes two points, the pixels beside its ends.
    """
    stretches = cut_at_columns(runs_of_texts(texts, size), size.height)
    outlines, meetings = trace(stretches, size.height)
    corners = outlines.points
    x, y = corners[0::2].T  # where vertical edges begin
    y_next = corners[1::2, 1]
    x_next = x[following(outlines.starts >> 1, x.size)]
    up, east = y_next < y, x_next > x
    points = np.empty((x.size, 4, 2), np.int64)
    points[:, :2, 0] = (x - up)[:, None]
    points[:, 2:, 1] = (y_next - east)[:, None]
    points[:, 0, 1], points[:, 1, 1] = y - up, y_next - ~up
    points[:, 2, 0], points[:, 3, 0] = x - ~east, x_next - east
    centers = replace(outlines, points=points.reshape(-1, 2), starts=2 * outlines.starts)
    if not outlines.holes.any():
        return centers
    ways = ways_to_outlines(outlines, meetings, stretches, size.height)
    # Where rings meet, their pixels lie diagonally: any two of them will do.
    meet = (corners[ways.ends] == corners[ways.edges]).all(axis=1)
    ways = replace(ways, ends=2 * ways.ends, edges=2 * ways.edges)
    return link_rings(
        centers, ways, np.where(meet[:, None], centers.points[ways.edges], ways.pixels)
    )


def _in_portions(parts: Outlines) -> Iterator[Outlines]:
    """Yield some shapes after others, with all the pixels on the ways of their rings."""
    x, y = _steps(parts)
    lengths = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1)
    heads = starts_of_runs(parts.shapes)
    of_shapes = np.add.reduceat(lengths, parts.starts[heads])
    check_limit(int(of_shapes.max()), MAX_LENGTH, "pixels of outline", *WHERE_AND_FIX)
    portions = starts_of(of_shapes) // _AT_ONCE
    portion = portions.repeat(lengths_of(heads, parts.shapes.size))
    for number in np.unique(portions).tolist():
        yield _pixel_by_pixel(parts.take(portion == number))


def _pixel_by_pixel(outlines: Outlines) -> Outlines:
    """Return rings through centres with all the pixels on their ways."""
    x, y = _steps(outlines)
    lengths = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1)
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
    first = starts_of_runs(parts.shapes)
    counts = lengths_of(first, parts.shapes.size)
    few = counts <= _MANY
    links = _bridges(parts, first[few], counts[few])
    begins = parts.starts[first]
    ends = ends_of(begins, len(parts.points))
    part = parts.ring_of_points()
    for begin, end in zip(begins[~few].tolist(), ends[~few].tolist(), strict=True):
        of_many = _bridges_of_many(parts.points[begin:end], part[begin:end])
        links += [(a + begin, b + begin, length) for a, b, length in of_many]
    return splice(parts, links)


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """Pixels of several shapes, sorted by shape, one at least of each.

    ``index``, ``x``, ``y``: (n,), the index among all pixels, and where they lie; ``starts``:
    (shapes,).
    """

    index: IntArray
    x: IntArray
    y: IntArray
    starts: IntArray

    def counts(self) -> IntArray:
        """Return the number of pixels of each shape."""
        return lengths_of(self.starts, self.index.size)

    def take(self, kept: BoolArray) -> _Pixels:
        """Return some of the pixels, one at least of each shape."""
        shape = np.arange(self.starts.size).repeat(self.counts())[kept]
        return _Pixels(self.index[kept], self.x[kept], self.y[kept], starts_of_runs(shape))

    def off_box(self, others: _Pixels) -> IntArray:
        """Return how far each pixel is from the smallest box around others of its shape."""
        off = np.zeros(self.index.size, np.int64)
        counts = self.counts()
        for mine, theirs in ((self.x, others.x), (self.y, others.y)):
            low = np.minimum.reduceat(theirs, others.starts).repeat(counts)
            high = np.maximum.reduceat(theirs, others.starts).repeat(counts)
            np.maximum(off, low - mine, out=off)
            np.maximum(off, mine - high, out=off)
        return off


def _bridges(parts: Outlines, first: IntArray, counts: IntArray) -> list[Link]:
    """Return the shortest bridges that join all parts of shapes, of all shapes round by round.

    ``first``, ``counts``: (shapes,) the first part of each shape and how many it has. The smallest
    of all goes to what is nearest to it, whichever that is (Kruskal's cut).
    """
    x, y = parts.points.T.copy()
    pixels_of = ends_of(parts.starts, x.size)[first + counts - 1] - parts.starts[first]
    # What has been joined so far has a number, and counts its pixels: none if it is gone.
    joined, sizes = parts.ring_of_points(), parts.sizes()
    links: list[Link] = []
    for done in range(1, int(counts.max(initial=0))):
        busy = counts > done
        first, counts, pixels_of = first[busy], counts[busy], pixels_of[busy]
        numbers = ranges(first, counts)
        size = np.where(sizes[numbers], sizes[numbers], x.size)
        least = numbers[_first_least(size, starts_of(counts))[0]]
        index = ranges(parts.starts[first], pixels_of)
        shape = np.arange(first.size).repeat(pixels_of)
        is_least = joined[index] == least[shape]
        mine, others = (
            _Pixels(index[some], x[index[some]], y[index[some]], starts_of_runs(shape[some]))
            for some in (is_least, ~is_least)
        )
        a, b, length = _closest(mine, others)
        links += zip(a.tolist(), b.tolist(), length.tolist(), strict=True)
        nearest = joined[b]
        sizes[nearest] += sizes[least]
        sizes[least] = 0
        joined[mine.index] = nearest.repeat(mine.counts())
    return links


def _closest(a: _Pixels, b: _Pixels) -> tuple[IntArray, IntArray, IntArray]:
    """Return of each shape which pixels of two sets are nearest to one another, and how near."""
    off = b.off_box(a)
    near, _ = _first_least(off, b.starts)
    at = near.repeat(a.counts())
    reach = np.minimum.reduceat(_distance(a.x - b.x[at], a.y - b.y[at]), a.starts)
    b = b.take(off <= reach.repeat(b.counts()))
    a = a.take(a.off_box(b) <= reach.repeat(a.counts()))
    # Each of the one set with those of the other that are within reach along x, some at once.
    reach = reach.repeat(a.counts())
    wide = int(max(a.x.max(), b.x.max())) + 1
    shape_of_a, shape_of_b = (np.arange(s.starts.size).repeat(s.counts()) * wide for s in (a, b))
    keys = shape_of_b + b.x
    order = keys.argsort()
    start = keys[order].searchsorted(shape_of_a + np.maximum(a.x - reach, 0))
    end = keys[order].searchsorted(shape_of_a + np.minimum(a.x + reach, wide - 1), side="right")
    rows = (end > start).nonzero()[0]
    counts = (end - start)[rows]
    nearest = np.full(a.index.size, _FAR)
    heads = starts_of_runs(starts_of(counts) // _AT_ONCE)
    for first, past in zip(heads.tolist(), ends_of(heads, rows.size).tolist(), strict=True):
        some, count = rows[first:past], counts[first:past]
        at = order[ranges(start[some], count)]
        length = _distance(a.x[some].repeat(count) - b.x[at], a.y[some].repeat(count) - b.y[at])
        nearest[some] = np.minimum.reduceat(length, starts_of(count))
    chosen, least = _first_least(nearest, a.starts)
    x, y = a.x[chosen].repeat(b.counts()), a.y[chosen].repeat(b.counts())
    of_b, _ = _first_least(_distance(x - b.x, y - b.y), b.starts)
    return a.index[chosen], b.index[of_b], least


def _first_least(values: IntArray, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return where in each group the least value stands first, and that value: (groups,) each."""
    least = np.minimum.reduceat(values, starts)
    at = (values == least.repeat(lengths_of(starts, values.size))).nonzero()[0]
    return at[at.searchsorted(starts)], least


def _distance(x: IntArray, y: IntArray) -> IntArray:
    """Return how many steps, straight or diagonal, are as far as these ways."""
    distance: IntArray = np.maximum(np.abs(x), np.abs(y))
    return distance


def _bridges_of_many(pixels: IntArray, part: IntArray) -> list[Link]:
    """Return the shortest bridges that join all parts of a shape. ``part``: that of each pixel."""
    a, b = _shores(pixels, part)
    return _shortest_links(part, a, b, _distance(*(pixels[a] - pixels[b]).T))


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
    if not outlines.starts.size:
        return outlines
    x, y = _steps(outlines)
    kept = (x | y) != 0
    moving = kept.nonzero()[0]
    counts = np.add.reduceat(kept, outlines.starts, dtype=np.int64)
    after = following(starts_of(counts)[counts > 0], moving.size)
    x, y = x[moving], y[moving]
    from_x, from_y = np.empty_like(x), np.empty_like(y)
    from_x[after], from_y[after] = x, y
    kept[moving] = (x * from_y != y * from_x) | (x * from_x + y * from_y < 0)
    counts = np.add.reduceat(kept, outlines.starts, dtype=np.int64)
    kept[outlines.starts[counts == 0]] = True  # of one point at least
    return replace(outlines, points=outlines.points[kept], starts=starts_of(np.maximum(counts, 1)))


def _steps(outlines: Outlines) -> tuple[IntArray, IntArray]:
    """Return the way from each point to the next, along x and along y."""
    x, y = outlines.points.T
    after = following(outlines.starts, x.size)
    return x[after] - x, y[after] - y
