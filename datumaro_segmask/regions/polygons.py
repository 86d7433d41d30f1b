"""Masks ↔ polygons along pixel edges, without a changed pixel, all masks of an image in one pass.

They are the outlines of a mask, with holes joined to them by seams. Painted by pycocotools, such
polygons give the mask again: it fills a column from one horizontal edge to the next (the even-odd
rule), edges between whole numbers fall between its sampling points, and a seam walked both ways
fills nothing. Source: docs/format.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..arrays import BoolArray, IntArray, Size, following
from .outlines import (
    WEST,
    Edges,
    Outlines,
    Ring,
    shortest_links,
    splice,
    trace,
    unit_edges,
)
from .rle import ColumnRuns, parse_texts, runs_of_counts, runs_of_pixels

Mask: TypeAlias = NDArray[np.bool_] | NDArray[np.uint8]


def mask_to_polygons(mask: Mask, offset: tuple[int, int] = (0, 0)) -> list[Ring]:
    """Return the polygons that cover exactly the pixels of a mask, one for each part of it.

    ``mask``: (height, width) bool or uint8, every value but 0 is on. ``offset``: x and y of its
    first pixel in the image, for a mask that is a window. Parts are 8-connected. A polygon is
    (n, 2) int32, x and y of its corners in pixels, from pixel edge to pixel edge (the first pixel
    has the corners 0 and 1), not closed by a repeated corner. It consists of axis-parallel edges,
    touches itself where pixels touch by a corner, and runs over each seam to a hole twice.
    Source: docs/format.md, section 6.
    """
    if not mask.size:
        return []
    runs = runs_of_pixels(mask.view(np.uint8), 0, 0, len(mask), 1)
    (rings,) = _polygons(runs, len(mask), 1)
    return [ring + np.array(offset, np.int32) for ring in rings]


def texts_to_polygons(texts: Sequence[bytes], height: int, width: int) -> list[list[Ring]]:
    """Return the polygons of all the masks of an image, of each as `mask_to_polygons` does.

    ``texts``: the compressed counts of COCO RLEs of this size, as pycocotools writes them.
    """
    return _polygons(runs_of_texts(texts, Size(height, width)), height, len(texts))


def rle_to_polygons(rle: dict[str, Any]) -> list[Ring]:
    """Return the polygons of an RLE as `mask_to_polygons` does.

    ``rle``: a compressed COCO RLE (``size``: height and width, ``counts``: bytes or str).
    """
    counts = rle["counts"]
    text = counts.encode() if isinstance(counts, str) else counts
    return texts_to_polygons([text], *rle["size"])[0]


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


def runs_of_texts(texts: Sequence[bytes], size: Size) -> ColumnRuns:
    """Return the runs of RLE texts, which are numbered from 1."""
    places = [f"masks[{i}]" for i in range(len(texts))]
    return runs_of_counts(*parse_texts(dict(enumerate(texts, 1)), places), size, places)


def _polygons(runs: ColumnRuns, height: int, shapes: int) -> list[list[Ring]]:
    outlines = trace(runs, height)
    pierced = outlines.of_shapes_with(outlines.holes)
    found: list[list[Ring]] = [[] for _ in range(shapes)]
    for part in (outlines.take(~pierced), _join_holes(outlines.take(pierced))):
        for shape, ring in zip(part.shapes.tolist(), part.rings(), strict=True):
            found[shape - 1].append(ring)
    return found


def _join_holes(outlines: Outlines) -> Outlines:
    """Return one ring for each part: its outline and, over seams, the outlines of its holes."""
    if not outlines.starts.size:
        return outlines
    outlines = outlines.apart()
    edges = unit_edges(outlines)
    # East and north sides end where the west or south side across begins.
    ends = np.where(edges.sides < WEST, edges.following(), np.arange(len(edges.points)))
    a, b = ways_to_holes(edges, edges.of_rings(outlines.holes), ends)
    # Rings that touch need no seam.
    touching = edges.corners[_meetings(outlines.points)]
    a, b = np.append(a, touching[:, 0]), np.append(b, touching[:, 1])
    length = np.abs(edges.points[b] - edges.points[a]).sum(axis=1)
    seams = shortest_links(edges.of_rings(np.arange(edges.starts.size)), a, b, length)
    outer = ~outlines.holes
    order, starts = splice(edges.starts, len(edges.points), seams, edges.starts[outer])
    may_turn = np.zeros(len(edges.points), bool)
    may_turn[edges.corners] = True
    may_turn[[end for seam in seams for end in seam[:2]]] = True
    kept = may_turn[order]
    points, starts = _drop_straight(edges.points[order[kept]], (np.cumsum(kept) - kept)[starts])
    return Outlines(
        points, starts, outlines.shapes[outer], outlines.shifts[outer], outlines.holes[outer]
    )


def ways_to_holes(edges: Edges, of_hole: BoolArray, ends: IntArray) -> tuple[IntArray, IntArray]:
    """Return the two ends of all straight ways through shapes that may lead to a hole.

    ``of_hole``: (n,) the edges of holes; ``ends``: (n,) the index to take as the end at each edge.
    No two shapes may have a row or a column in common. Every row and column of pixels of a shape
    leads from one edge to another; wanted are those in which it has a hole. The way up from the
    top of a hole ends on a ring with a higher top, so none is left out.
    """
    a, b = [], []
    for across, along in ((1, 0), (0, 1)):  # rows, columns
        sides = np.flatnonzero(edges.sides & 1 == along)
        # The lesser end of the edge; sides that go up, or left, begin at the greater.
        level = edges.points[sides, across] - (edges.sides[sides] < WEST)
        holed = np.zeros(int(level.max(initial=0)) + 1, bool)
        holed[level[of_hole[sides]]] = True
        wanted = holed[level]
        sides, level = sides[wanted], level[wanted]
        place = edges.points[sides, along]
        order = ends[sides[np.argsort(level * (int(place.max(initial=0)) + 1) + place)]]
        a.append(order[::2])
        b.append(order[1::2])
    return np.concatenate(a), np.concatenate(b)


def _meetings(points: IntArray) -> IntArray:
    """Return the indices of points at the same place: (n, 2)."""
    place = points @ np.array([1, int(points[:, 0].max()) + 1])
    order = np.argsort(place, kind="stable")
    met = np.flatnonzero(place[order[1:]] == place[order[:-1]])
    return np.stack([order[met], order[met + 1]], axis=1)


def _drop_straight(points: IntArray, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return axis-parallel rings and their starts without the points on a line with both next."""
    after = following(starts, len(points))
    straight = np.zeros(len(points), bool)
    for along in points.T:
        ahead = along[after] == along
        behind = np.empty_like(ahead)
        behind[after] = ahead
        straight |= ahead & behind
    return points[~straight], (np.cumsum(~straight) - ~straight)[starts]
