"""Shapes to the class mask and the instance mask of an item, without drawing either.

A mask is known by its *changes*: the pixels that differ from the one above. They are the ends of
the shapes' runs down the columns, as far as no later shape hides them, and all that
`png` needs. So the cost of painting is that of the outlines, whatever the shapes' areas
and however many they are. Source: docs/format.md, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import IntArray, Size, ends_of, stable_order, starts_of_runs
from ..png import Changes, Plane
from .geometry import Geometry, column_runs
from .rle import ColumnRuns
from .scan import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One thing to paint.

    ``label_value`` stands for its pixels in the class mask and ``number`` (0 for none) in the
    instance mask; ``where`` names the annotation in errors, as in ``item 'a': annotation 3``.
    """

    geometry: Geometry
    label_value: int
    number: int
    where: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The two masks of an item.

    ``hidden`` and ``empty`` are the positions (from 0) of the shapes that show no pixel: since
    others cover them entirely, or since they have none.
    """

    labels: Plane
    numbers: Plane
    hidden: IntArray
    empty: IntArray


def paint(shapes: Sequence[Shape], height: int, width: int, background_value: int) -> Planes:
    """Paint ``shapes`` over one another, the last on top.

    ``background_value`` stands in the class mask where no shape is. Raises UnpaintableError, with
    the shape's ``where``, for what `geometry.column_runs` refuses.
    """
    size = Size(height, width)
    geometries = [shape.geometry for shape in shapes]
    runs = column_runs(geometries, [shape.where for shape in shapes], size)
    changes = _changes(runs, size)
    seen = np.bincount(changes.shape, minlength=len(shapes) + 1)[1:]
    drawn = np.bincount(runs.shape[runs.end > runs.begin], minlength=len(shapes) + 1)[1:]
    labels = [background_value, *(shape.label_value for shape in shapes)]
    numbers = [0, *(shape.number for shape in shapes)]
    return Planes(
        Plane(changes, np.array(labels, np.int64)),
        Plane(changes, np.array(numbers, np.int64)),
        ((seen == 0) & (drawn > 0)).nonzero()[0],
        (drawn == 0).nonzero()[0],
    )


def runs_of_planes(planes: Planes) -> Runs:
    """Return the runs of what was painted, with the values of both masks: labels and numbers."""
    changes = planes.labels.changes
    order = stable_order(changes.column, changes.size.width)
    begin = (changes.column * changes.size.height + changes.row)[order]
    shape = changes.shape[order]
    values = planes.labels.values[shape], planes.numbers.values[shape]
    return Runs(changes.size, begin, ends_of(begin, changes.size.pixels), values)


def _changes(runs: ColumnRuns, size: Size) -> Changes:
    # The ends of all runs and of the columns cut the image into cells of one topmost shape each.
    columns = np.arange(size.width + 1) * size.height
    cuts = np.sort(np.concatenate((columns, runs.begin, runs.end)))
    cells = cuts[starts_of_runs(cuts)][:-1]
    first = cells.searchsorted(runs.begin)
    shape = _topmost(first, cells.searchsorted(runs.end), runs.shape, cells.size)
    column = cells // size.height
    row = cells - column * size.height
    above = np.zeros_like(shape)
    above[1:] = shape[:-1]
    kept = ((row == 0) | (shape != above)).nonzero()[0]
    order = kept[stable_order(row[kept], size.height)]
    return Changes(size, row[order], column[order], shape[order], above[order])


def _topmost(first: IntArray, end: IntArray, shape: IntArray, cells: int) -> NDArray[np.int32]:
    """Return the highest shape that covers each cell, 0 where there is none: (cells,).

    Run ``i`` covers the cells from ``first[i]`` up to ``end[i]``; ``shape`` never falls. Each run
    is noted at the beginning of two stretches of ``2**level`` cells that overlap, and each level
    is then halved down to the next, so that no run is walked cell by cell::

        a run of 7 cells    . # # # # # # # .
        4 cells, twice      . 4 . . 4 . . . .    at its first cell, and 4 before its end
        2 cells             . 2 . 2 2 . 2 . .    each also half a stretch further
        1 cell              . 1 1 1 1 1 1 1 .

    Measured: of 1,000 boxes within one another on 2000 x 2000 pixels it takes 0.06 s, and walking
    all cells of all runs 4 s; where shapes lie side by side the two are even.
    """
    level = np.frexp(end - first)[1] - 1
    top = np.zeros(cells, np.int32)
    for size in 1 << np.arange(level.max(initial=0), -1, -1):
        here = (level == np.frexp(size)[1] - 1).nonzero()[0]
        for start in (first[here], end[here] - size):
            noted = np.zeros(cells, np.int32)
            # Where an index comes twice NumPy keeps the last, which is the higher shape.
            noted[start] = shape[here]
            np.maximum(top, noted, out=top)
        half = int(size) // 2
        if half:
            halved = top.copy()
            np.maximum(halved[half:], top[:-half], out=halved[half:])
            top = halved
    return top
