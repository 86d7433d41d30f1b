"""The shapes that can be painted, and which pixels each covers (docs/format.md, section 5).

None is drawn in a frame of the whole image: outlines become runs directly, ellipses and masks
within their own window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..arrays import Size
from ..errors import UnpaintableError
from .rle import ColumnRuns, check_text, join, parse_texts, runs_of_counts, runs_of_pixels

FARTHEST = 1 << 20  # pixels; pycocotools walks an outline in fifths of a pixel, in 32 bits


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """One ring through ``points``: x, y, x, y, … in pixels, or (n, 2)."""

    points: Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Ellipse:
    """The upright ellipse between two corners, in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask as COCO has it: ``size`` is height and width, ``counts`` a text or a list."""

    size: Sequence[int]
    counts: bytes | str | Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """A mask as an array (height, width); what is not zero belongs to it."""

    pixels: NDArray[Any]


Geometry: TypeAlias = Polygon | Ellipse | Rle | Bitmap


def box(x: float, y: float, w: float, h: float) -> Polygon:
    """Return the polygon that pycocotools makes of a box."""
    return Polygon((x, y, x, y + h, x + w, y + h, x + w, y))


def column_runs(geometries: Sequence[Geometry], wheres: Sequence[str], size: Size) -> ColumnRuns:
    """Return the runs of all shapes within an image of this size, sorted by shape.

    ``wheres`` names the annotation of each for the errors. Raises UnpaintableError for
    coordinates that are no finite numbers or lie more than `FARTHEST` pixels out, polygons of
    less than three points, masks of another size than the image, and broken RLE.
    """
    rings: dict[int, NDArray[np.float64]] = {}
    texts: dict[int, bytes] = {}
    parts: list[ColumnRuns] = []
    for number, (geometry, where) in enumerate(zip(geometries, wheres, strict=True), 1):
        if isinstance(geometry, Polygon):
            rings[number] = _ring(geometry, where)
        elif isinstance(geometry, Ellipse):
            parts.append(_ellipse_runs(geometry, number, size, where))
        elif isinstance(geometry, Bitmap):
            parts.append(_bitmap_runs(geometry, number, size, where))
        else:
            _check_size(geometry.size, size, where)
            if isinstance(geometry.counts, (bytes, str)):
                texts[number] = check_text(geometry.counts, where)
            else:
                # No count at all covers as many pixels as a count of 0, and is refused like it.
                counts = np.array([*geometry.counts] or [0], np.int64)
                parts.append(runs_of_counts(counts, np.full(counts.size, number), size, wheres))
    if rings:
        # pycocotools walks outlines and not pixels, so the whole image costs no more than a
        # window does; and points shifted into a window would round to other fifths of a pixel.
        rles = mask_utils.frPyObjects(list(rings.values()), *size)
        texts.update(zip(rings, (rle["counts"] for rle in rles), strict=True))
    parts.append(runs_of_counts(*parse_texts(texts, wheres), size, wheres))
    return join(parts)


def _ring(polygon: Polygon, where: str) -> NDArray[np.float64]:
    points = np.asarray(polygon.points, np.float64).ravel()
    if points.size < 6 or points.size % 2:
        raise UnpaintableError(
            f"a polygon of {points.size} coordinates",
            where,
            "at least three points, with x and y each",
            "remove the polygon or complete it",
        )
    _check_coordinates(points, where)
    return points


def _check_coordinates(values: NDArray[np.float64], where: str) -> None:
    # Not a number compares to nothing, so the sound case is the one to ask for.
    sound = np.abs(values) <= FARTHEST
    if not sound.all():
        raise UnpaintableError(
            f"the coordinate {values[~sound][0]} is outside of every image",
            where,
            f"numbers from {-FARTHEST} to {FARTHEST}, in pixels",
            "correct or remove the annotation",
        )


def _check_size(found: Sequence[int], size: Size, where: str) -> None:
    if tuple(found) != size:
        raise UnpaintableError(
            f"a mask of {' x '.join(map(str, [*found[1::-1], *found[2:]]))} pixels",
            where,
            f"the size of the image, {size} (width x height)",
            "resize the mask, or correct the size of the image",
        )


def _ellipse_runs(ellipse: Ellipse, number: int, size: Size, where: str) -> ColumnRuns:
    """Fill an ellipse as CVAT does: ``cv2.ellipse`` with centre and half axes rounded."""
    corners = np.array((ellipse.x1, ellipse.y1, ellipse.x2, ellipse.y2), np.float64)
    _check_coordinates(corners, where)
    x1, y1, x2, y2 = corners.tolist()
    center_x, center_y = round((x1 + x2) / 2), round((y1 + y2) / 2)
    half_x, half_y = round(abs(x2 - x1) / 2), round(abs(y2 - y1) / 2)
    left, right = max(center_x - half_x, 0), min(center_x + half_x + 1, size.width)
    top, bottom = max(center_y - half_y, 0), min(center_y + half_y + 1, size.height)
    window = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.uint8)
    if window.size:
        center = center_x - left, center_y - top
        cv2.ellipse(window, center, (half_x, half_y), 0, 0, 360, 1, thickness=-1)
    return runs_of_pixels(window, left, top, size.height, number)


def _bitmap_runs(bitmap: Bitmap, number: int, size: Size, where: str) -> ColumnRuns:
    pixels = bitmap.pixels
    _check_size(pixels.shape, size, where)
    if pixels.dtype not in (np.bool_, np.uint8):
        pixels = pixels != 0
    on = pixels.view(np.uint8)
    if on.flags.f_contiguous:
        y, x, height, width = cv2.boundingRect(on.T)
    else:
        on = np.ascontiguousarray(on)
        x, y, width, height = cv2.boundingRect(on)
    return runs_of_pixels(on[y : y + height, x : x + width], x, y, size.height, number)


def overlap_of_boxes(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection of two boxes (x, y, width, height) over their union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = a[2] * a[3] + b[2] * b[3] - common
    return float(common / union) if union > 0 else 0.0
