"""Draws docs/polygons.png: the same masks through Datumaro's masks_to_polygons and through ours.

python examples/draw_polygons.py [docs/polygons.png]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from datumaro.util.mask_tools import mask_to_polygons as datumaro_polygons
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as mask_utils

from datumaro_segmask.regions import mask_to_polygons as exact_polygons

Mask: TypeAlias = NDArray[np.uint8]
Polygons: TypeAlias = list[NDArray[Any]]

CELL = 17  # pixels of the picture for one pixel of the mask
MARGIN, HEAD = 26, 74
PAPER, INK, GRID = (255, 255, 255), (32, 36, 42), (232, 234, 238)
LABELS = [(126, 178, 221), (244, 187, 104)]
LOST, ADDED = (214, 69, 65), (142, 68, 173)


def scene() -> list[Mask]:
    """Two labels that touch: a ring with a small island, and a block with a tail of one pixel."""
    y, x = np.mgrid[:24, :40]
    away = np.hypot(x - 12, y - 11.5)
    ring = ((away < 10) & (away > 4.4)) | (away < 1.8)
    block = (x > 22) & (x < 33) & (y > 3) & (y < 14) | ((y == 18) & (x > 20) & (x < 37))
    block |= (abs(x - 34 - (y - 14)) < 1) & (y >= 14) & (y < 18)
    bridge = (away >= 10) & (x > 12) & (x <= 22) & (y > 6) & (y < 12)
    return [ring.astype(np.uint8), (block | bridge).astype(np.uint8)]


def theirs(mask: Mask) -> Polygons:
    return [np.reshape(polygon, (-1, 2)) for polygon in datumaro_polygons(mask)]


def painted(polygons: Polygons, shape: Sequence[int]) -> Mask:
    """Return what pycocotools makes of polygons: 1 where any of them is."""
    flat = [polygon.ravel().astype(float).tolist() for polygon in polygons]
    result: Mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(flat, *shape)))
    return result


def draw_side(
    draw: ImageDraw.ImageDraw, left: int, title: str, way: Callable[[Mask], Polygons]
) -> None:
    masks = scene()
    wrong = shared = union = 0
    for mask, color in zip(masks, LABELS, strict=True):
        polygons = way(mask)
        again = painted(polygons, mask.shape)
        shared += int((mask & again).sum())
        union += int((mask | again).sum())
        wrong += int((mask != again).sum())
        for y, x in np.argwhere(mask | again):
            kind = color if mask[y, x] and again[y, x] else LOST if mask[y, x] else ADDED
            corner = left + x * CELL, HEAD + y * CELL
            draw.rectangle((*corner, corner[0] + CELL - 1, corner[1] + CELL - 1), kind, GRID)
        for polygon in polygons:
            points = [(left + x * CELL, HEAD + y * CELL) for x, y in polygon.tolist()]
            draw.line([*points, points[0]], INK, 3)
    draw.text((left, 12), title, INK, ImageFont.load_default(21))
    text = f"{wrong} pixels changed, IoU {shared / union:.2f}"
    draw.text((left, 42), text, LOST if wrong else (39, 124, 73), ImageFont.load_default(16))


def main(path: Path) -> None:
    height, width = scene()[0].shape
    size = 2 * width * CELL + 3 * MARGIN, HEAD + height * CELL + MARGIN + 14
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    draw_side(draw, MARGIN, "masks_to_polygons", theirs)
    draw_side(draw, 2 * MARGIN + width * CELL, "masks_to_exact_polygons", exact_polygons)
    x = MARGIN
    for color, text in ((LOST, "lost when painted again"), (ADDED, "added when painted again")):
        y = size[1] - 24
        draw.rectangle((x, y, x + 13, y + 13), color)
        draw.text((x + 20, y - 2), text, INK, ImageFont.load_default(14))
        x += 220
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/polygons.png"))
