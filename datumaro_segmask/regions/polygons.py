"""Masks ↔ polygons along pixel edges, without a changed pixel, all masks of an image in one pass.

They are the outlines of the pieces of a mask, which is cut at its holes. Painted by pycocotools,
such polygons give the mask again: it fills a column from one horizontal edge to the next (the
even-odd rule), and edges between whole numbers fall between its sampling points. They are simple,
so what shapely makes of them is exact, too. Source: docs/format.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..arrays import IntArray, Size, following
from ..errors import check_limit
from .links import Ways, link_rings, ways_to_cut
from .outlines import MAX_RUNS, WHERE_AND_FIX, Outlines, Ring, cut_at_columns, trace
from .rle import ColumnRuns, number_of_counts, parse_texts, runs_of_counts, runs_of_pixels

Mask: TypeAlias = NDArray[np.bool_] | NDArray[np.uint8]


def mask_to_polygons(mask: Mask, offset: tuple[int, int] = (0, 0)) -> list[Ring]:
    """Return the polygons that cover exactly the pixels of a mask, each pixel once.

    ``mask``: (height, width) bool or uint8; every value but 0 is on. ``offset``: x and y of its
    first pixel in the image, for a mask that is a window.

    A polygon is (n, 2) int32, x and y of its corners in pixels. Corners are at pixel edges (the
    first pixel has the corners 0 and 1), and the first one is not repeated. Edges are parallel to
    the axes. A polygon has no hole and does not touch itself: pixels that touch only at a corner
    belong to different polygons, and a part with a hole is several polygons. Raises MaskLimitError
    past the limits of `regions.outlines`. Source: docs/format.md, section 6.
    """
    if not mask.size:
        return []
    runs = runs_of_pixels(mask.view(np.uint8), 0, 0, len(mask), 1)
    (rings,) = _polygons(runs, len(mask), 1)
    return [ring + np.array(offset, np.int32) for ring in rings]


def texts_to_polygons(texts: Sequence[bytes], height: int, width: int) -> list[list[Ring]]:
    """Return the polygons of all masks of an image, each like `mask_to_polygons`.

    ``texts``: the compressed counts of COCO RLEs of this size, as pycocotools writes them.
    """
    return _polygons(runs_of_texts(texts, Size(height, width)), height, len(texts))


def rle_to_polygons(rle: dict[str, Any]) -> list[Ring]:
    """Return the polygons of an RLE, like `mask_to_polygons`.

    ``rle``: a compressed COCO RLE (``size``: height and width, ``counts``: bytes or str).
    """
    counts = rle["counts"]
    text = counts.encode() if isinstance(counts, str) else counts
    return texts_to_polygons([text], *rle["size"])[0]


def polygons_to_rle(polygons: Sequence[NDArray[Any]], height: int, width: int) -> dict[str, Any]:
    """Paint polygons into one compressed COCO RLE of an image, like pycocotools and Datumaro.

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
    """Return the runs of RLE texts, which are numbered from 1.

    Raises MaskLimitError past `MAX_RUNS`.
    """
    counts = sum(map(number_of_counts, texts))
    check_limit(counts // 2, MAX_RUNS, "runs of pixels down its columns", *WHERE_AND_FIX)
    places = [f"masks[{i}]" for i in range(len(texts))]
    return runs_of_counts(*parse_texts(dict(enumerate(texts, 1)), places), size, places)


def _polygons(runs: ColumnRuns, height: int, shapes: int) -> list[list[Ring]]:
    stretches = cut_at_columns(runs, height)
    outlines, meetings = trace(stretches, height)
    if meetings.size or outlines.holes.any():
        outlines = _cut(outlines, ways_to_cut(outlines, meetings, stretches, height))
    found: list[list[Ring]] = [[] for _ in range(shapes)]
    for shape, ring in zip(outlines.shapes.tolist(), outlines.rings(), strict=True):
        found[shape - 1].append(ring)
    return found


def _cut(outlines: Outlines, ways: Ways) -> Outlines:
    """Return the outlines of the pieces into which ways divide the shapes."""
    targets = outlines.points[ways.ends]
    targets[:, 1] = outlines.points[ways.edges, 1]
    pieces = link_rings(outlines, ways, targets)
    points, starts = _drop_straight(pieces.points, pieces.starts)
    return replace(pieces, points=points, starts=starts)


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
