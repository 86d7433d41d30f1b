"""The outlines of masks, found from their runs.

The masks stand side by side on one wide canvas, of which no pixel is drawn: one pass finds the
outlines of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import (
    BoolArray,
    IntArray,
    cycles_of,
    lengths_of,
    ranges,
    stable_order,
    starts_of,
    starts_of_runs,
)
from ..errors import check_limit
from .rle import ColumnRuns

Ring: TypeAlias = NDArray[np.int32]
MAX_RUNS, MAX_CORNERS = 1 << 20, 1 << 19
"""Runs down the columns of all masks of an item, and corners of their outlines: up to 185 MB."""
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

    def ring_of_points(self) -> IntArray:
        """Return the ring that each point belongs to, by its index: (n,)."""
        return np.arange(self.starts.size).repeat(self.sizes())

    def take(self, rings: BoolArray) -> Outlines:
        """Return some of the rings alone."""
        sizes = self.sizes()
        points = self.points[np.repeat(rings, sizes)]
        return self.with_rings(points, starts_of(sizes[rings]), rings)

    def with_rings(
        self, points: IntArray, starts: IntArray, rings: IntArray | BoolArray
    ) -> Outlines:
        """Return rings of these points, which are otherwise like some of these rings."""
        return Outlines(points, starts, self.shapes[rings], self.shifts[rings], self.holes[rings])

    def rings(self) -> list[Ring]:
        """Return the rings as they lie in the image."""
        points = self.points.astype(np.int32)
        points -= self.shifts.repeat(self.sizes(), axis=0).astype(np.int32)
        return [points[a:b] for a, b in pairwise([*self.starts.tolist(), len(points)])]


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """The runs of shapes, cut at columns: four (n,) int64 arrays, sorted by shape and position.

    ``top`` is the first row, ``bottom`` the row past the last, ``shape`` counted from 1.
    """

    column: IntArray
    top: IntArray
    bottom: IntArray
    shape: IntArray


def cut_at_columns(runs: ColumnRuns, height: int) -> Stretches:
    """Return runs, which are sorted by shape and position, in the columns that they go through.

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
    return Stretches(column, top, bottom, runs.shape[head].repeat(pieces))


def trace(stretches: Stretches, height: int) -> tuple[Outlines, IntArray]:
    """Follow the outlines of all shapes at once. Pixels that touch at a corner are connected.

    Returns the outlines, and the pairs of points that lie at one place, (n, 2): there two pixels
    of a shape touch at a corner. The first edge of a ring is its highest leftmost one, and the
    edges are vertical and horizontal in turn. Raises MaskLimitError past `MAX_CORNERS`.

    On a line between two columns there is a corner wherever a run begins or ends in one of them
    and no run does so in the other; two, if one begins and one ends. From top to bottom they
    are in turn the upper and the lower end of a vertical edge; and from left to right, on a line
    between two rows, the left and the right end of a horizontal one. So two sorts link them all.
    """
    heads = starts_of_runs(stretches.shape)
    counts = lengths_of(heads, stretches.shape.size)
    first = stretches.column[heads]
    # A line of the canvas stays free between neighbours, or their corners would meet.
    widths = stretches.column[heads + counts - 1] - first + 2
    places = starts_of(widths)
    shifts = places - first
    lines = height + 1
    # What happens on a line: 0 a run on the left begins, 1 ends; 2 one on the right begins, 3 ends.
    right = (stretches.column + np.repeat(shifts, counts)) * lines
    on_right = np.stack([right + stretches.top << 2 | 2, right + stretches.bottom << 2 | 3], axis=1)
    on_right = on_right.ravel()
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
    first_of_two = (place[1:] == place[:-1]).nonzero()[0]
    met = first_of_two[kind[first_of_two] == 1]
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
    # On the left of a mask the first edge goes down, on the left of a hole up.
    begins = points[2 * starts, 0]
    owner = np.searchsorted(places, begins, side="right") - 1
    holes = ~down[order[starts]]
    shifts = np.stack([shifts, np.zeros_like(shifts)], axis=1)
    outlines = Outlines(points, 2 * starts, stretches.shape[heads][owner], shifts[owner], holes)
    index = np.empty_like(corners)
    index[corners] = np.arange(corners.size)
    return outlines, index[np.stack([first_of_two, first_of_two + 1], axis=1)]
