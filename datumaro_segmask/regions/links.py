"""Rings that are linked: holes to the outline around them, straight up or down through the shape.

A link is an exchange of successors. Where the walk around a ring comes to one end, it goes on
behind the other end, and later comes back the same way. So one link joins two rings to one, and
a link within a ring divides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ..arrays import (
    IntArray,
    cycles_of,
    ends_of,
    following,
    ranges,
    spanning_forest,
    starts_of,
)
from .outlines import Outlines, Stretches

Link: TypeAlias = tuple[int, int, int]
"""The index of a point at each end, and how far these are from one another."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Straight ways from points of rings to edges above or below, through the shape.

    Of each way (n,): ``ends``, the point where it begins; ``edges``, the point before the edge
    that it leads to; ``pixels``, (n, 2), column and row of the last pixel beside the way, which
    the edge borders on. A way without length leads from a point to another one at the same place:
    then ``edges`` is that point.
    """

    ends: IntArray
    edges: IntArray
    pixels: IntArray

    def __add__(self, other: Ways) -> Ways:
        """Return the ways of both."""
        return Ways(
            np.append(self.ends, other.ends),
            np.append(self.edges, other.edges),
            np.concatenate([self.pixels, other.pixels]),
        )


def ways_to_outlines(
    outlines: Outlines, meetings: IntArray, stretches: Stretches, height: int
) -> Ways:
    """Return the fewest ways that join the rings of each part: they make a tree.

    ``outlines`` and ``meetings`` are what `trace` makes of ``stretches``.
    """
    ring = outlines.ring_of_points()
    joining, firsts = spanning_forest(ring[meetings], outlines.starts.size)
    # Of all rings that meet the first one is left; if it is a hole, it still needs a way.
    left_over = (firsts == np.arange(firsts.size)) & outlines.holes
    met = _meetings(outlines, meetings[joining])
    return _up(outlines, outlines.starts[left_over] + 1, stretches, height) + met


def ways_to_cut(outlines: Outlines, meetings: IntArray, stretches: Stretches, height: int) -> Ways:
    """Return the ways along which each part falls into pieces that are simple.

    That is: no piece has a hole, and the outline of none touches itself. ``outlines`` and
    ``meetings`` are what `trace` makes of ``stretches``.

    From each hole one way leads up from the top of its left side and one down from the bottom,
    unless it meets another ring there. A way that had the same piece on both sides would be the
    only connection of what it leads to with all the rest. But a way from the left side of a hole
    leads to a ring that reaches further left, or to the left side of the next hole on the same
    line, from where it goes on. So every hole is connected to the outline in two ways::

        # # # # #
        # # | # #
        # # . # #    the hole, and the ways (|) from the top and the bottom of its left side
        # # | # #
        # # # # #
    """
    met = np.zeros(len(outlines.points), bool)
    met[meetings] = True
    tops = outlines.starts[outlines.holes] + 1
    up = _up(outlines, tops[~met[tops]], stretches, height)
    bottoms = _bottoms_of_left_sides(outlines)
    # Of two holes on the same line one has the way up that is the other's way down.
    column, row = outlines.points[up.ends, 0], up.pixels[:, 1]
    taken = column * (height + 1) + row
    place = outlines.points[bottoms] @ np.array([height + 1, 1])
    bottoms = bottoms[~met[bottoms] & ~np.isin(place, taken)]
    return up + _down(outlines, bottoms, stretches, height) + _meetings(outlines, meetings)


def _meetings(outlines: Outlines, meetings: IntArray) -> Ways:
    return Ways(meetings[:, 0], meetings[:, 1], outlines.points[meetings[:, 0]])


def _bottoms_of_left_sides(outlines: Outlines) -> IntArray:
    """Return the lowest of the leftmost points of each hole: (holes,)."""
    ring = outlines.ring_of_points()
    x, y = outlines.points.T
    left = outlines.holes[ring] & (x == x[outlines.starts][ring])
    left = left.nonzero()[0]
    lowest = np.zeros(outlines.starts.size, np.int64)
    np.maximum.at(lowest, ring[left], y[left])
    bottoms: IntArray = left[y[left] == lowest[ring[left]]]
    return bottoms


def _up(outlines: Outlines, ends: IntArray, stretches: Stretches, height: int) -> Ways:
    """Return the ways up from points with a hole on the right below them.

    A way lies between two runs: one on the right that ends there, and one on the left that goes
    on, or the hole would begin further left.
    """
    if not ends.size:
        return Ways(ends, ends, np.zeros((0, 2), np.int64))
    column, row = outlines.points[ends].T
    lines, at = height + 1, column * (height + 1) + row
    bottoms = _on_canvas(outlines, stretches) * lines + stretches.bottom
    right, left = bottoms.searchsorted(at), bottoms.searchsorted(at - lines, side="right")
    top_right, top_left = stretches.top[right], stretches.top[left]
    pixels = np.stack([column - (top_left > top_right), np.maximum(top_left, top_right)], axis=1)
    x, y = outlines.points.T
    after = following(outlines.starts, x.size)
    # Edges with the shape below go to the left.
    upper = (x[after] < x).nonzero()[0]
    return Ways(ends, upper[_found(x[after[upper]], y[upper], *pixels.T)], pixels)


def _down(outlines: Outlines, ends: IntArray, stretches: Stretches, height: int) -> Ways:
    """Return the ways down from points with a hole on the right above them, see `_up`."""
    if not ends.size:
        return Ways(ends, ends, np.zeros((0, 2), np.int64))
    column, row = outlines.points[ends].T
    lines, at = height + 1, column * (height + 1) + row
    tops = _on_canvas(outlines, stretches) * lines + stretches.top
    right, left = tops.searchsorted(at), tops.searchsorted(at - lines) - 1
    bottom_right, bottom_left = stretches.bottom[right], stretches.bottom[left]
    is_left = bottom_left < bottom_right
    pixels = np.stack([column - is_left, np.minimum(bottom_left, bottom_right) - 1], axis=1)
    x, y = outlines.points.T
    # Edges with the shape above go to the right.
    lower = (x[following(outlines.starts, x.size)] > x).nonzero()[0]
    return Ways(ends, lower[_found(x[lower], y[lower], pixels[:, 0], pixels[:, 1] + 1)], pixels)


def _on_canvas(outlines: Outlines, stretches: Stretches) -> IntArray:
    """Return the column of each stretch on the canvas."""
    shifts = np.zeros(int(stretches.shape[-1]) + 1, np.int64)
    shifts[outlines.shapes] = outlines.shifts[:, 0]
    columns: IntArray = stretches.column + shifts[stretches.shape]
    return columns


def _found(left: IntArray, row: IntArray, column: IntArray, at_row: IntArray) -> IntArray:
    """Return which horizontal edge lies at the column of a pixel, in a row of corners.

    ``left``, ``row``: (edges,) where each edge has its left end.
    """
    width = int(max(left.max(), column.max())) + 1
    place = row * width + left
    order = place.argsort()
    found: IntArray = order[place[order].searchsorted(at_row * width + column, side="right") - 1]
    return found


def link_rings(outlines: Outlines, ways: Ways, targets: IntArray) -> Outlines:
    """Return the rings that ways make of rings: joined to one, or divided.

    ``ways`` are counted in the points of these outlines. ``targets``: (n, 2) where each way ends:
    at the point ``ways.edges``, at the next one, or in between on a straight edge.
    """
    ends, edges = ways.ends, ways.edges
    points, starts = outlines.points, outlines.starts
    after = following(starts, len(points))[edges]
    at_point = (points[edges] == targets).all(axis=1)
    at_next = (points[after] == targets).all(axis=1)
    new = (~(at_point | at_next)).nonzero()[0]
    off = np.abs(targets[new] - points[edges[new]]).sum(axis=1)
    new = new[np.lexsort((off, edges[new]))]
    places = edges[new] + 1

    def moved(index: IntArray) -> IntArray:
        before: IntArray = places.searchsorted(index, side="right")
        return index + before

    sources = moved(np.where(at_point, edges, after))
    sources[new] = places + np.arange(places.size)
    lengths = np.abs(points[ends] - targets).sum(axis=1)
    links = zip(moved(ends).tolist(), sources.tolist(), lengths.tolist(), strict=True)
    points = np.insert(points, places, targets[new], axis=0)
    return splice(replace(outlines, points=points, starts=moved(starts)), [*links])


def splice(outlines: Outlines, links: Sequence[Link]) -> Outlines:
    """Return the rings that links make of rings, in the order of their first points.

    A link with a length needs each end a second time, for the way back.
    """
    size = len(outlines.points)
    stops = ends_of(outlines.starts, size) - 1
    successor = dict(zip(stops.tolist(), outlines.starts.tolist(), strict=True))
    again: list[int] = []
    for a, b, length in links:
        after_a, after_b = successor.get(a, a + 1), successor.get(b, b + 1)
        if length:
            second_a, second_b = size + len(again), size + len(again) + 1
            again += [a, b]
            successor[second_a], successor[second_b] = after_a, after_b
            after_a, after_b = second_a, second_b
        successor[a], successor[b] = after_b, after_a
    # An index that is no key is followed by the next one: stretches end at keys.
    last = np.array(sorted(successor), np.int64)
    first = np.append(0, last[:-1] + 1)[: last.size]
    targets = np.array([successor[index] for index in last.tolist()], np.int64)
    stretches, heads = cycles_of(np.searchsorted(first, targets))
    first, sizes = first[stretches], (last + 1 - first)[stretches]
    order = np.append(np.arange(size), np.array(again, np.int64))[ranges(first, sizes)]
    rings = outlines.starts.searchsorted(first[heads], side="right") - 1
    return outlines.with_rings(outlines.points[order], starts_of(sizes)[heads], rings)
