"""The objects of an image, as training code counts them: one for each pair of instance and label.

Unlike in the masks of an archive, objects may overlap: nothing is painted over anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..arrays import Size, ends_of
from ..regions import (
    Geometry,
    Instance,
    Polygon,
    Runs,
    column_runs,
    group_runs,
    simplify_shared,
    texts_to_polygons,
)
from ..regions.rle import ColumnRuns


def cover(
    geometries: Sequence[Geometry], owners: Sequence[int], wheres: Sequence[str], size: Size
) -> dict[int, Instance]:
    """Return the pixels that the shapes of each owner cover together; none for who covers none.

    ``owners``: a number >= 0 for each shape; ``wheres`` names the shapes in errors. Raises
    UnpaintableError as `regions.column_runs`.
    """
    return unite(column_runs(geometries, wheres, size), owners, size) if geometries else {}


def unite(runs: ColumnRuns, owners: Sequence[int], size: Size) -> dict[int, Instance]:
    """Return the pixels of the runs of each owner, as `cover` does."""
    owner = np.array(owners, np.int64)[runs.shape - 1]
    # All owners in a row: the first pixel of one does not touch the last of the one before.
    apart = owner * (size.pixels + 1)
    begin, end = runs.begin + apart, runs.end + apart
    order = np.argsort(begin, kind="stable")
    begin, reach = begin[order], np.maximum.accumulate(end[order])
    first = np.ones(begin.size, bool)
    first[1:] = begin[1:] > reach[:-1]
    heads = first.nonzero()[0]
    owner, apart = owner[order][heads], apart[order][heads]
    begin, end = begin[heads], reach[ends_of(heads, order.size) - 1]
    united = Runs(size, begin - apart, end - apart, ())
    return {found.number: found for found in group_runs(united, owner, np.zeros_like(owner))}


def simplified(objects: Sequence[Instance], size: Size, tolerance: float) -> list[Instance]:
    """Return objects with outlines of fewer corners, and the pixels that those cover.

    Neighbours keep their borders in common, see `regions.simplify_shared`; ``tolerance`` is in
    pixels. Objects that came with outlines, and those that would vanish, stay as they are.
    """
    chosen = [i for i, instance in enumerate(objects) if instance.outlines is None]
    rings = texts_to_polygons([objects[i].counts for i in chosen], *size)
    simple = dict(zip(chosen, simplify_shared(rings, tolerance, *size), strict=True))
    owners = [i for i, polygons in simple.items() for _ in polygons]
    geometries = [Polygon(ring) for polygons in simple.values() for ring in polygons]
    covered = cover(geometries, owners, ["a simplified polygon"] * len(owners), size)
    result = [*objects]
    for i, found in covered.items():
        outlines = [ring.ravel().tolist() for ring in simple[i]]
        result[i] = replace(
            objects[i], counts=found.counts, area=found.area, bbox=found.bbox, outlines=outlines
        )
    return result
