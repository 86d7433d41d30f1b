"""The outlines of masks, out of their runs, and how rings are joined to one.

The masks of an image are thought side by side on one wide canvas, of which no pixel is drawn:
one pass finds the outlines of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import (
    BoolArray,
    IntArray,
    cycles_of,
    ends_of,
    following,
    lengths_of,
    ranges,
    spanning_forest,
    stable_order,
    starts_of,
    starts_of_runs,
)
from ..errors import check_limit
from .rle import ColumnRuns

Ring: TypeAlias = NDArray[np.int32]
Link: TypeAlias = tuple[int, int, int]
"""Joins two rings: the index of a point of each, and how far these are from one another."""

MAX_RUNS, MAX_CORNERS = 1 << 20, 1 << 19
"""Runs down the columns of all masks of an item, and corners of their outlines: up to 184 MB."""
WHERE_AND_FIX = "an item", "take masks: annotation=mask of an import, segmentation=rle of COCO"


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The outlines of many shapes, side by side on one wide canvas, so that none meets another's.

    ``points``: (n, 2) int64, x and y on the canvas of the corners, ring after ring. For each of
    the rings: ``starts``, its first point; ``shapes``, the number of its shape, from 1; ``shifts``,
    (rings, 2), its place on the canvas less that in the image; ``holes``, whether it is one's.
    """

    points: IntArray
    starts: IntArray
    shapes: IntArray
    shifts: IntArray
    holes: BoolArray

    def sizes(self) -> IntArray:
        """Return the number of points of each ring."""
        return lengths_of(self.starts, len(self.points))

    def take(self, rings: BoolArray) -> Outlines:
        """Return some of the rings alone."""
        sizes = self.sizes()
        points = self.points[np.repeat(rings, sizes)]
        return self.with_rings(points, starts_of(sizes[rings]), rings)

    def with_rings(self, points: IntArray, starts: IntArray, rings: BoolArray) -> Outlines:
        """Return other points for some of the rings, of which the rest stays."""
        return Outlines(points, starts, self.shapes[rings], self.shifts[rings], self.holes[rings])

    def rings(self) -> list[Ring]:
        """Return the rings as they lie in the image."""
        points = self.points.astype(np.int32)
        points -= self.shifts.repeat(self.sizes(), axis=0).astype(np.int32)
        return [points[a:b] for a, b in pairwise([*self.starts.tolist(), len(points)])]


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """What joins the rings of each part of a shape to one, as a tree.

    Of each way (n,): ``ends``, a point of a hole; ``edges``, the point before the edge where it
    begins, of another ring; ``pixels``, (n, 2), column and row of a pixel on whose upper edge, at
    its left or right end, that is. Such a way leads straight down through the shape, but where the
    rings meet, ``edges`` is a point at the same place.
    """

    ends: IntArray
    edges: IntArray
    pixels: IntArray


def trace(runs: ColumnRuns, height: int) -> tuple[Outlines, Ways]:
    """Follow the outlines of shapes, all at once; ``runs`` are sorted by shape and position.

    On a line between two columns there is a corner wherever a run begins or ends in one of them
    and no run does so in the other; two, where one begins and one ends. From top to bottom they
    are in turn the upper and the lower end of a vertical edge; and from left to right, on a line
    between two rows, the left and the right end of a horizontal one. So two sorts link them all.
    """
    column, top, bottom, shape = _columns(runs, height)
    heads = starts_of_runs(shape)
    counts = lengths_of(heads, shape.size)
    first = column[heads]
    # A line of the canvas stays free between neighbours, or their corners would meet.
    widths = column[heads + counts - 1] - first + 2
    places = starts_of(widths)
    shifts = places - first
    lines = height + 1
    # What happens on a line: 0 a run on the left begins, 1 ends; 2 one on the right begins, 3 ends.
    right = (column + np.repeat(shifts, counts)) * lines
    on_right = np.stack([right + top << 2 | 2, right + bottom << 2 | 3], axis=1).ravel()
    on_left = on_right + (lines << 2) - 2
    events = np.concatenate([on_left, on_right])
    events.sort(kind="stable")  # which merges the two
    straight = (events[1:] - events[:-1] == 2) & (events[1:] & 2 != 0)
    kept = np.ones(events.size, bool)
    kept[1:] &= ~straight
    kept[:-1] &= ~straight
    events = events[kept]
    check_limit(events.size, MAX_CORNERS, "corners", *WHERE_AND_FIX)
    kind, place = events & 3, events >> 2
    x, y = np.divmod(place, lines)
    across = stable_order(y, lines)
    # Where four edges meet, the outline goes around the pixels that are off (parts are
    # 8-connected): so a corner where a run on the left ends is not the left one of the two.
    met = ((place[1:] == place[:-1]) & (kind[:-1] == 1)).nonzero()[0]
    turned = np.arange(across.size)
    turned[met], turned[met + 1] = met + 1, met
    across = turned[across]
    partner = np.empty_like(across)
    partner[across[0::2]], partner[across[1::2]] = across[1::2], across[0::2]
    down = (kind[0::2] == 1) | (kind[0::2] == 2)
    index = np.arange(down.size) * 2
    tails, tips = index + ~down, index + down
    order, starts = cycles_of(partner[tips] >> 1)
    corners = np.stack([tails[order], tips[order]], axis=1).ravel()
    points = np.stack([x[corners], y[corners]], axis=1)
    # The leftmost edge of a ring comes first: on the left of a mask it goes down, of a hole up.
    begins = points[2 * starts, 0]
    owner = np.searchsorted(places, begins, side="right") - 1
    holes = ~down[order[starts]]
    shifts = np.stack([shifts, np.zeros_like(shifts)], axis=1)
    outlines = Outlines(points, 2 * starts, shape[heads][owner], shifts[owner], holes)
    index = np.empty_like(corners)
    index[corners] = np.arange(corners.size)
    first = (place[1:] == place[:-1]).nonzero()[0]
    pairs = np.stack([index[first], index[first + 1]], axis=1)
    return outlines, _ways(outlines, pairs, lines, right + bottom, top)


def _ways(
    outlines: Outlines, pairs: IntArray, lines: int, bottoms: IntArray, tops: IntArray
) -> Ways:
    """Return the ways to all holes; ``pairs``: (n, 2) points at the same place.

    Of all runs, in their order, ``bottoms`` are the places on the canvas, ``lines`` a column, and
    ``tops`` the rows. A way to a hole's second point ``o`` lies between two runs: one on the right
    that ends there, and one on the left that goes on, or the hole would have begun further left::

        # # # #    The first edge of a ring is its highest leftmost one. So a way comes from a ring
        # . # #    that is earlier, and all ways make a tree. This one begins at the corner of the
        # # # #    upper hole and goes one row down, between the second and the third column.
        # # o #
        # # # #
    """
    if not outlines.holes.any():
        none = np.zeros(0, np.int64)
        return Ways(none, none, np.zeros((0, 2), np.int64))
    meetings, left_over = _meetings(outlines, pairs)
    ends = outlines.starts[left_over] + 1
    column, row = outlines.points[ends].T
    at = column * lines + row
    above, left = bottoms.searchsorted(at), bottoms.searchsorted(at - lines, side="right")
    is_left = tops[left] > tops[above]
    pixels = np.stack([column - is_left, np.maximum(tops[left], tops[above])], axis=1)
    return Ways(
        np.append(ends, meetings[:, 0]),
        np.append(_edges_above(outlines, pixels), meetings[:, 1]),
        np.concatenate([pixels, outlines.points[meetings[:, 0]]]),
    )


def _meetings(outlines: Outlines, pairs: IntArray) -> tuple[IntArray, IntArray]:
    """Return those pairs of points that join as many rings as can be, and the holes that are left.

    ``pairs``: (n, 2) points at the same place. Of all rings that are joined the first one is left;
    if it is a hole, it still needs a way.
    """
    ring = np.arange(outlines.starts.size).repeat(outlines.sizes())
    joining, firsts = spanning_forest(ring[pairs], outlines.starts.size)
    is_first = firsts == np.arange(firsts.size)
    return pairs[joining], (is_first & outlines.holes).nonzero()[0]


def _edges_above(outlines: Outlines, pixels: IntArray) -> IntArray:
    """Return the point before the edge that is the upper one of each pixel: (n, 2) -> (n,)."""
    x, y = outlines.points.T
    after = following(outlines.starts, x.size)
    # Edges with the shape below go to the left.
    upper = (x[after] < x).nonzero()[0]
    lines = int(x.max()) + 1
    place = y[upper] * lines + x[after[upper]]
    order = place.argsort()
    found = place[order].searchsorted(pixels[:, 1] * lines + pixels[:, 0], side="right") - 1
    edges: IntArray = upper[order[found]]
    return edges


def _columns(runs: ColumnRuns, height: int) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return column, first row, row past the last, and shape of runs that are cut at columns.

    Runs that touch within a column, as texts of others may have them, become one.
    """
    head = np.ones(runs.begin.size, bool)
    head[1:] = (runs.begin[1:] != runs.end[:-1]) | (runs.shape[1:] != runs.shape[:-1])
    begin, end = runs.begin[head], runs.end[np.append(head[1:], True)[: head.size]]
    first, last = begin // height, (end - 1) // height
    pieces = last - first + 1
    column = ranges(first, pieces)
    above = column * height
    top = np.maximum(begin.repeat(pieces) - above, 0)
    bottom = np.minimum(end.repeat(pieces) - above, height)
    return column, top, bottom, runs.shape[head].repeat(pieces)


def join_rings(outlines: Outlines, ways: Ways, begins: IntArray) -> Outlines:
    """Return one ring for each part: its outline, and over ways there and back those of its holes.

    ``ways`` are counted in the points of these outlines. ``begins``: (n, 2) where each way begins:
    at the point ``ways.edges``, at the next one, or in between on a straight edge.
    """
    ends, edges = ways.ends, ways.edges
    points, starts = outlines.points, outlines.starts
    after = following(starts, len(points))[edges]
    at_point = (points[edges] == begins).all(axis=1)
    at_next = (points[after] == begins).all(axis=1)
    new = (~(at_point | at_next)).nonzero()[0]
    off = np.abs(begins[new] - points[edges[new]]).sum(axis=1)
    new = new[np.lexsort((off, edges[new]))]
    places = edges[new] + 1

    def moved(index: IntArray) -> IntArray:
        before: IntArray = places.searchsorted(index, side="right")
        return index + before

    sources = moved(np.where(at_point, edges, after))
    sources[new] = places + np.arange(places.size)
    lengths = np.abs(points[ends] - begins).sum(axis=1)
    links = zip(moved(ends).tolist(), sources.tolist(), lengths.tolist(), strict=True)
    points, starts = np.insert(points, places, begins[new], axis=0), moved(starts)
    outer = ~outlines.holes
    order, starts = splice(starts, len(points), [*links], starts[outer])
    return outlines.with_rings(points[order], starts, outer)


def splice(
    starts: IntArray, size: int, links: Sequence[Link], begins: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the rings that links make of rings that stand in a row, and where each starts.

    ``begins``: a point of each of the new rings, where it is to start. A link is an exchange of
    successors: where the walk comes to one end, it goes on behind the other end, and so around
    the other ring and back. A link with a length needs each end a second time, for the way back.
    """
    stops = ends_of(starts, size) - 1
    successor = dict(zip(stops.tolist(), starts.tolist(), strict=True))
    again: list[int] = []
    for a, b, length in links:
        after_a, after_b = successor.get(a, a + 1), successor.get(b, b + 1)
        if length:
            second_a, second_b = size + len(again), size + len(again) + 1
            again += [a, b]
            successor[second_a], successor[second_b] = after_a, after_b
            after_a, after_b = second_a, second_b
        successor[a], successor[b] = after_b, after_a
    order, starts = _walk(successor, begins)
    return np.append(np.arange(size), np.array(again, np.int64))[order], starts


def _walk(successor: dict[int, int], starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the indices on the ways that begin at ``starts``, and where each way begins.

    An index that is no key of ``successor`` is followed by the next one: stretches end at keys.
    Every way leads into a stretch at its first index.
    """
    last = np.array(sorted(successor))
    first = np.concatenate([[0], last[:-1] + 1])
    targets = np.array([successor[index] for index in last.tolist()])
    after = np.searchsorted(first, targets).tolist()
    stretches: list[int] = []
    ways: list[int] = []
    for start in np.searchsorted(first, starts).tolist():
        ways.append(len(stretches))
        stretches.append(start)
        while (stretch := after[stretches[-1]]) != start:
            stretches.append(stretch)
    first, last = first[stretches], last[stretches]
    sizes = last + 1 - first
    return ranges(first, sizes), starts_of(sizes)[ways]
