"""The outlines of masks, out of their runs, and how rings are joined to one.

The masks of an image are thought side by side on one wide canvas, of which no pixel is drawn:
one pass finds the outlines of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import (
    BoolArray,
    IntArray,
    ends_of,
    following,
    lengths_of,
    ranges,
    starts_of,
    starts_of_runs,
)
from ..errors import check_limit
from .rle import ColumnRuns

Ring: TypeAlias = NDArray[np.int32]
Link: TypeAlias = tuple[int, int, int]
"""Joins two rings: the index of a point of each, and how far these are from one another."""

MAX_CORNERS, MAX_LENGTH = 1 << 19, 1 << 22
"""Corners of the outlines of an item, and pixels along those with holes: up to 230 MB, measured."""
_WHERE_AND_FIX = "an item", "take masks: annotation=mask of an import, segmentation=rle of COCO"

EAST, NORTH, WEST, SOUTH = range(4)
"""The side of its pixel that a unit edge is; the mask lies on the left hand of each."""


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

    def of_shapes_with(self, rings: BoolArray) -> BoolArray:
        """Return which rings belong to a shape that one of ``rings`` belongs to: (rings,)."""
        return np.isin(self.shapes, self.shapes[rings])

    def sizes(self) -> IntArray:
        """Return the number of points of each ring."""
        return lengths_of(self.starts, len(self.points))

    def take(self, rings: BoolArray) -> Outlines:
        """Return some of the rings alone."""
        sizes = self.sizes()
        points = self.points[np.repeat(rings, sizes)]
        sizes = sizes[rings]
        return Outlines(
            points, starts_of(sizes), self.shapes[rings], self.shifts[rings], self.holes[rings]
        )

    def apart(self) -> Outlines:
        """Return them moved down so that no two shapes have a row in common either."""
        first = starts_of_runs(self.shapes)
        begins = self.starts[first]
        top = np.minimum.reduceat(self.points[:, 1], begins)
        heights = np.maximum.reduceat(self.points[:, 1], begins) - top + 1
        drop = starts_of(heights) - top
        points = self.points.copy()
        points[:, 1] += drop.repeat(lengths_of(begins, len(points)))
        drops = drop.repeat(lengths_of(first, self.starts.size))
        return replace(self, points=points, shifts=self.shifts + np.stack([drops * 0, drops], 1))

    def rings(self) -> list[Ring]:
        """Return the rings as they lie in the image."""
        points = self.points.astype(np.int32)
        points -= self.shifts.repeat(self.sizes(), axis=0).astype(np.int32)
        return [points[a:b] for a, b in pairwise([*self.starts.tolist(), len(points)])]


def trace(runs: ColumnRuns, height: int) -> Outlines:
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
    check_limit(events.size, MAX_CORNERS, "corners", *_WHERE_AND_FIX)
    kind, place = events & 3, events >> 2
    x, y = np.divmod(place, lines)
    # Where four edges meet, the outline goes around the pixels that are off (parts are
    # 8-connected): which of the two corners is on which side follows from what happens there.
    across = np.argsort((y * (int(x.max(initial=0)) + 1) + x) << 1 | (kind & 1))
    partner = np.empty_like(across)
    partner[across[0::2]], partner[across[1::2]] = across[1::2], across[0::2]
    down = (kind[0::2] == 1) | (kind[0::2] == 2)
    index = np.arange(down.size) * 2
    tails, tips = index + ~down, index + down
    order, starts = _cycles(partner[tips] >> 1)
    corners = np.stack([tails[order], tips[order]], axis=1).ravel()
    points = np.stack([x[corners], y[corners]], axis=1)
    # The leftmost edge of a ring comes first: on the left of a mask it goes down, of a hole up.
    begins = points[2 * starts, 0]
    owner = np.searchsorted(places, begins, side="right") - 1
    return Outlines(
        points,
        2 * starts,
        shape[heads][owner],
        np.stack([shifts, np.zeros_like(shifts)], axis=1)[owner],
        ~down[order[starts]],
    )


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


def _cycles(permutation: IntArray) -> tuple[IntArray, IntArray]:
    """Return the cycles of a permutation, one after the other, and where each begins.

    Each begins with the least of its numbers, and they come in the order of these.
    """
    ahead = permutation.tolist()
    order: list[int] = []
    starts: list[int] = []
    for start in range(len(ahead)):
        at = start
        if ahead[at] >= 0:
            starts.append(len(order))
        while (after := ahead[at]) >= 0:
            order.append(at)
            ahead[at] = -1
            at = after
    return np.array(order, np.int64), np.array(starts, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Outlines cut into unit edges: (n, 2) where each begins, and which side of its pixel it is.

    ``starts``: the first edge of each ring; ``corners``: the edge behind each corner.
    """

    points: IntArray
    sides: IntArray
    starts: IntArray
    corners: IntArray

    def following(self) -> IntArray:
        """Return the index of the edge behind each."""
        return following(self.starts, len(self.points))

    def of_rings(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return for each edge the value of its ring."""
        return values.repeat(lengths_of(self.starts, len(self.points)))


def unit_edges(outlines: Outlines) -> Edges:
    """Cut outlines into unit edges."""
    step = outlines.points[following(outlines.starts, len(outlines.points))] - outlines.points
    lengths = np.abs(step[:, 0] + step[:, 1])  # one of them is 0
    check_limit(int(lengths.sum()), MAX_LENGTH, "pixels of outline", *_WHERE_AND_FIX)
    corners, nth = starts_of(lengths), ranges(0, lengths)
    sign = np.sign(step)
    points = np.empty((nth.size, 2), np.int64)
    for axis in (0, 1):
        points[:, axis] = outlines.points[:, axis].repeat(lengths)
        points[:, axis] += sign[:, axis].repeat(lengths) * nth
    return Edges(points, sides_of(step).repeat(lengths), corners[outlines.starts], corners)


def sides_of(step: IntArray) -> IntArray:
    """Return which side of its pixels each edge is, given from begin to end: (n, 2) -> (n,)."""
    x, y = np.sign(step).T
    sides: IntArray = np.where(x == 0, EAST + (y + 1), NORTH + (x + 1))
    return sides


def shortest_links(ring: IntArray, a: IntArray, b: IntArray, length: IntArray) -> list[Link]:
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

    root = list(range(int(ring.max(initial=0)) + 1))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    links = []
    ways = (low[shortest], high[shortest], a[shortest], b[shortest], length[shortest])
    for r, s, *way in zip(*(part.tolist() for part in ways), strict=True):
        r, s = find(r), find(s)
        if r != s:
            root[r] = s
            links.append((way[0], way[1], way[2]))
    return links


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
