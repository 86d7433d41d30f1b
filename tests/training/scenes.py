"""Images full of random objects, and what pycocotools and OpenCV make of their texts."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from datumaro_segmask.archive.lists import open_archive
from datumaro_segmask.arrays import Size
from datumaro_segmask.formats.coco import lines_of_objects, numbered, trace, traced_texts
from datumaro_segmask.formats.yolo import label_lines
from datumaro_segmask.regions import Instance, Runs, Scanner, group_runs
from datumaro_segmask.training import center_rings

Mask = NDArray[np.uint8]
MANY = int(os.environ.get("SEGMASK_MANY", "300"))
"""Random images of a test; 10,000 take minutes, and are for those who change how pixels go."""
REAL_ARCHIVES = Path(__file__).parents[3] / "shared" / "data"


def instance_of(mask: Mask, label: int = 0, number: int = 1) -> Instance:
    """Return a mask as an instance, by pycocotools."""
    rle = mask_utils.encode(np.asfortranarray(mask))
    x, y, w, h = (int(value) for value in mask_utils.toBbox(rle))
    return Instance(label, number, rle["counts"], int(mask_utils.area(rle)), (x, y, w, h))


def decode(instance: Instance, size: Size) -> Mask:
    return np.asarray(mask_utils.decode({"size": [*size], "counts": instance.counts}))


def annotation_lines(
    objects: Sequence[Instance], size: Size, image_id: int, first_id: int, segmentation: str
) -> Iterator[str]:
    """Yield the JSON of each object of an image by itself, as COCO's writer has it."""
    return numbered(object_lines(objects, size, segmentation), image_id, first_id)


def object_lines(objects: Sequence[Instance], size: Size, segmentation: str) -> Iterator[str]:
    """Yield the same without the two ids."""
    rings = trace(traced_texts(objects, segmentation), size)
    return lines_of_objects(objects, size, rings, segmentation)


def yolo_lines(objects: Sequence[Instance], size: Size) -> Iterator[str]:
    """Yield the line of each object of an image by itself, as YOLO's writer has it."""
    return label_lines(objects, size, center_rings([one.counts for one in objects], size))


def random_scenes(count: int) -> Iterator[tuple[list[Instance], Size]]:
    """Blobs, noise and stripes, cut from one another, of up to six objects an image."""
    rng = np.random.default_rng(19)
    for i in range(count):
        size = Size(*(int(side) for side in rng.integers(1, 28 if i % 50 else 120, 2)))
        noise = rng.random(size)
        if i % 3:
            noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 3)), np.float64)
            noise = (noise - noise.min()) / (np.ptp(noise) or 1)
        objects = int(rng.integers(1, 7))
        plane = (noise * objects).astype(np.uint32)
        scanner = Scanner(*size)
        scanner.add(plane)
        runs: Runs = scanner.runs()
        numbers = runs.values[0]
        found = group_runs(runs, numbers, np.where(numbers > 0, numbers % 3, -1))
        yield found, size


def real_scenes() -> Iterator[tuple[list[Instance], Size]]:
    """All items of all the archives of others that lie beside the checkout."""
    for root in sorted({path.parent for path in REAL_ARCHIVES.rglob("SegmentationClass")}):
        archive = open_archive(str(root))
        reader = archive.reader(max_pixels=1 << 28)
        for ids in archive.subsets.values():
            for item_id in ids:
                item = reader.read(item_id)
                if item.size and item.has_labels:
                    yield item.instances, Size(*item.size)


def read_coco(content: Path | dict[str, Any]) -> COCO:
    """Read annotations by pycocotools, which prints."""
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(content) if isinstance(content, Path) else None)
        if not isinstance(content, Path):
            coco.dataset = content
            coco.createIndex()
    return coco


def parse(lines: Sequence[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def paint_yolo(line: str, size: Size) -> Mask:
    """Paint a line of a label file as Ultralytics does: scale, truncate, fill."""
    values = np.array([float(text) for text in line.split()[1:]], np.float32).reshape(-1, 2)
    points = (values * np.array([size.width, size.height], np.float32)).astype(np.int32)
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [points], color=1)
    return canvas


def parts_of(mask: Mask) -> int:
    """Return the number of 8-connected parts."""
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1
