"""An item as it is drawn: its image and its masks, made small enough for a screen.

Masks are drawn as polygons, which stay sharp at any zoom and know their names. They are those of
the export (docs/format.md, section 6), taken from masks that are scaled first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ...archive.item import Item, read_item
from ...archive.meaning import ClassLookup
from ...errors import SegmaskImportError
from ...regions import (
    Instance,
    Ring,
    Scanner,
    decode_box,
    group_runs,
    rle_to_polygons,
    simplify_shared,
)
from ...storage.read import Storage

Point: TypeAlias = tuple[int, int]

_TOLERANCE = 0.75  # pixels of the drawing
_EMPTY_SIZE = 480, 640  # of an item of which nothing is known


@dataclass(frozen=True)
class Shape:
    """One mask. ``rings`` and ``anchor``, a point well inside, are in pixels of the drawing.

    ``label`` and ``number`` are those of `Instance`, ``area`` is in pixels of the mask.
    """

    label: int | None
    number: int
    area: int
    rings: list[Ring]
    anchor: Point


@dataclass(frozen=True)
class Drawing:
    """One item. ``size`` is its height and width, None if it has neither masks nor an image.

    ``photo`` is (height, width, 3) uint8, red, green, blue, as is ``plane``, (height, width)
    int32: the position in ``shapes``, raised by one, and 0 where there is none. ``fault`` says
    why the item cannot be read, and is empty otherwise.
    """

    item_id: str
    subset: str
    size: tuple[int, int] | None
    photo: NDArray[np.uint8] | None
    plane: NDArray[np.int32]
    shapes: list[Shape]
    fault: str = ""

    @property
    def instances(self) -> int:
        """The number of instances; one over two labels is two shapes."""
        return len({shape.number for shape in self.shapes if shape.number})


def draw(
    storage: Storage, lookup: ClassLookup, item_id: str, subset: str, side: int, max_pixels: int
) -> Drawing:
    """Draw an item so that its longer side has at most ``side`` pixels; never raises for it."""
    try:
        item = read_item(storage, lookup, item_id, max_pixels)
        data = None if item.image is None else storage.read(item.image)
    except SegmaskImportError as error:
        return Drawing(item_id, subset, None, None, np.zeros(_EMPTY_SIZE, np.int32), [], str(error))
    height, width = _fit(item.size or _EMPTY_SIZE, side)
    photo = None if data is None else _decode(data, height, width)
    plane = _plane(item, height, width)
    return Drawing(item_id, subset, item.size, photo, plane, _shapes(item, plane))


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _decode(data: bytes, height: int, width: int) -> NDArray[np.uint8] | None:
    # Masks know nothing of the orientation that a camera notes.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file, or more pixels than OpenCV takes
        return None
    if image is None:
        return None
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1])


def _plane(item: Item, height: int, width: int) -> NDArray[np.int32]:
    """Return the position of the instance at each pixel of the drawing, raised by one."""
    if item.size is None or not item.instances:
        return np.zeros((height, width), np.int32)
    full = np.zeros(item.size, np.int32)
    for position, instance in enumerate(item.instances, 1):
        x, y, columns, rows = instance.bbox
        window = decode_box(instance.counts, instance.bbox, item.size[0])
        full[y : y + rows, x : x + columns][window != 0] = position
    at_y = (np.arange(height) + 0.5) * item.size[0] / height
    at_x = (np.arange(width) + 0.5) * item.size[1] / width
    plane: NDArray[np.int32] = full[at_y.astype(int)][:, at_x.astype(int)]
    _keep_small(plane, item, height, width)
    return plane


def _keep_small(plane: NDArray[np.int32], item: Item, height: int, width: int) -> None:
    """Give each instance that fell between the pixels of the drawing one of them."""
    assert item.size is not None
    there = np.bincount(plane.ravel(), minlength=len(item.instances) + 1)
    for position in np.flatnonzero(there[1:] == 0).tolist():
        x, y, columns, rows = item.instances[position].bbox
        row = int((y + rows / 2) * height / item.size[0])
        column = int((x + columns / 2) * width / item.size[1])
        plane[min(row, height - 1), min(column, width - 1)] = position + 1


def _shapes(item: Item, plane: NDArray[np.int32]) -> list[Shape]:
    height, width = plane.shape
    scanner = Scanner(height, width)
    scanner.add(plane.astype(np.uint32))
    runs = scanner.runs()
    values = runs.values[0]
    found = group_runs(runs, values, np.where(values > 0, 0, -1))
    outlines = [
        rle_to_polygons({"size": [height, width], "counts": small.counts}) for small in found
    ]
    simple = simplify_shared(outlines, _TOLERANCE, height, width)
    return [
        _shape(item.instances[small.number - 1], small, rings, height)
        for small, rings in zip(found, simple, strict=True)
    ]


def _shape(instance: Instance, small: Instance, rings: list[Ring], height: int) -> Shape:
    window = np.pad(decode_box(small.counts, small.bbox, height), 1)
    distance = cv2.distanceTransform(window, cv2.DIST_L2, 3)
    row, column = divmod(int(distance.argmax()), window.shape[1])
    x, y = small.bbox[:2]
    anchor = x + column - 1, y + row - 1
    return Shape(instance.label, instance.number, instance.area, rings, anchor)


def path_of(rings: Sequence[Ring]) -> str:
    """Return polygons as the path of an SVG, each corner relative to the one before."""
    parts = []
    for ring in rings:
        steps = np.diff(ring, axis=0).ravel().tolist()
        parts.append(f"M{ring[0][0]} {ring[0][1]}l{' '.join(map(str, steps))}z")
    return "".join(parts).replace(" -", "-")


def outline_of(rings: Sequence[Ring]) -> str:
    """Return the outlines of polygons as the path of an SVG, without the seams to their holes.

    Empty where there are no seams, for then it is that of `path_of`. A seam is walked both ways.
    """
    edges = [edge for ring in rings for edge in _split_edges(ring)]
    there = set(edges)
    kept = [(a, b) for a, b in edges if (b, a) not in there]
    if len(kept) == len(edges):
        return ""
    path, end = [], None
    for a, b in kept:
        path.append(f"L{b[0]} {b[1]}" if a == end else f"M{a[0]} {a[1]}L{b[0]} {b[1]}")
        end = b
    return "".join(path)


def _split_edges(ring: Ring) -> Iterator[tuple[Point, Point]]:
    """Yield the edges of a ring, those along an axis cut at all corners that lie on them.

    A seam can go on in line with an outline, so that only a part of an edge is a seam.
    """
    corners: list[Point] = [(x, y) for x, y in ring.tolist()]
    on_line: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
    for x, y in sorted(set(corners)):
        on_line[0].setdefault(x, []).append(y)
        on_line[1].setdefault(y, []).append(x)
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        cuts = [a]
        for axis in (0, 1):
            if a[axis] == b[axis] and a != b:
                others = on_line[axis][a[axis]]
                low, high = sorted((a[1 - axis], b[1 - axis]))
                between = others[bisect_right(others, low) : bisect_left(others, high)]
                ahead = between if a[1 - axis] == low else between[::-1]
                cuts += [(a[0], o) if axis == 0 else (o, a[1]) for o in ahead]
        yield from pairwise([*cuts, b])
