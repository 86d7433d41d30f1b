"""Instances where there were none: the connected components of masks (docs/format.md, section 4).

Each mask is looked at in the window of its own box.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ..arrays import IntArray, Size
from .rle import decode_box
from .scan import Instance, Runs, Scanner, group_runs


def split_components(
    instances: Iterable[Instance],
    height: int,
    width: int,
    *,
    connectivity: int = 8,
    min_area: int = 0,
    first_number: int = 1,
) -> list[Instance]:
    """Return one instance for each connected component, numbered from ``first_number`` on.

    ``height`` and ``width`` are those of the image, in pixels. With ``connectivity`` 8 pixels
    that touch at a corner belong together, with 4 they do not. Components of fewer than
    ``min_area`` pixels are left out. The order is that of the masks, and within each that of the
    components' first pixels, row by row.
    """
    size = Size(height, width)
    found: list[Instance] = []
    for instance in instances:
        if not instance.area:
            continue
        x, y, columns, rows = instance.bbox
        window = np.ascontiguousarray(decode_box(instance.counts, instance.bbox, height))
        count, labels = cv2.connectedComponents(window, connectivity=connectivity)
        scanner = Scanner(rows, columns)
        scanner.add(labels.astype(np.uint32))
        runs = scanner.runs()
        # From the columns of the window to those of the image: only the rows above differ.
        column = runs.begin // rows
        shift = (column + x) * height + y - column * rows
        in_image = Runs(size, runs.begin + shift, runs.end + shift, runs.values)
        numbers = _rank_by_first_pixel(runs.values[0], runs.begin, rows, columns)
        parts = group_runs(in_image, numbers, np.where(numbers > 0, 0, -1))
        assert len(parts) == count - 1
        for part in parts:
            if part.area >= min_area:
                number = first_number + len(found)
                found.append(Instance(instance.label, number, part.counts, part.area, part.bbox))
    return found


def _rank_by_first_pixel(numbers: IntArray, begin: IntArray, rows: int, columns: int) -> IntArray:
    """Number components by their first pixels, row by row; 0 stays. OpenCV has an order of its own.

    ``numbers``, ``begin``: (n,) the component of each run of a window and where it begins, as in
    `scan.Runs`.
    """
    column, row = np.divmod(begin, rows)
    first = np.full(int(numbers.max()) + 1, rows * columns)
    np.minimum.at(first, numbers, row * columns + column)
    first[0] = -1
    rank: IntArray = np.argsort(np.argsort(first))
    return rank[numbers]
