"""The objects of an image, as training code counts them: one for each pair of instance and label.

Unlike in the masks of an archive, objects may overlap: nothing is painted over anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Segment:
    """One object.

    ``instance``: its pixels, with the class, counted from 0, for a label. ``outlines``: the
    polygons that cover exactly these pixels, each a list of x and y in turn, where the object came
    as such; else None. ``is_crowd``: a region of many objects, in COCO's sense.
    """

    instance: Instance
    outlines: Sequence[Sequence[float]] | None = None
    is_crowd: bool = False

    @property
    def label(self) -> int:
        """The class, from 0."""
        assert self.instance.label is not None
        return self.instance.label


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


def simplified(segments: Sequence[Segment], size: Size, tolerance: float) -> list[Segment]:
    """Return segments with outlines of fewer corners, and the pixels that those cover.

    Neighbours keep their borders in common, see `regions.simplify_shared`; ``tolerance`` is in
    pixels. Segments that came with outlines, and those that would vanish, stay as they are.
    """
    chosen = [i for i, segment in enumerate(segments) if segment.outlines is None]
    rings = texts_to_polygons([segments[i].instance.counts for i in chosen], *size)
    simple = dict(zip(chosen, simplify_shared(rings, tolerance, *size), strict=True))
    owners = [i for i, polygons in simple.items() for _ in polygons]
    geometries = [Polygon(ring) for polygons in simple.values() for ring in polygons]
    covered = cover(geometries, owners, ["a simplified polygon"] * len(owners), size)
    result = [*segments]
    for i, found in covered.items():
        instance = replace(found, label=segments[i].label, number=segments[i].instance.number)
        outlines = [ring.ravel().tolist() for ring in simple[i]]
        result[i] = replace(segments[i], instance=instance, outlines=outlines)
    return result
