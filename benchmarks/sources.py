"""What the tasks start from: the pixels of a workload, and Datumaro's items made of it.

Nothing here is measured, so all of it may take its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from .workloads import POLYGONS, colormap

CLASS_MASKS, INSTANCE_MASKS = "SegmentationClass", "SegmentationObject"
Plane = NDArray[Any]


def mask_files(folder: Path) -> list[tuple[Path, Path]]:
    """Return the class mask and the instance mask of every item."""
    files = sorted((folder / CLASS_MASKS).rglob("*.png"))
    return [(file, folder / INSTANCE_MASKS / file.name) for file in files]


def decode(file: Path) -> Plane:
    """Return the pixels of a PNG: (height, width) or (height, width, 3), BGR."""
    pixels = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f"{file}: OpenCV cannot read it")
    return np.asarray(pixels)


def to_numbers(pixels: Plane) -> Plane:
    """Return one number a pixel: the gray value, or the three bytes of the colour."""
    if pixels.ndim == 2:
        return pixels
    wide = pixels.astype(np.int32)
    return np.asarray(wide[..., 2] << 16 | wide[..., 1] << 8 | wide[..., 0])


def instances_of(numbers: Plane) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield position (1, 2, …) and RLE of each instance of a plane; to prepare, not to measure."""
    height, width = numbers.shape
    flat = numbers.T.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
    for position, pixels in enumerate(np.split(order, starts[1:])):
        if flat[pixels[0]] == 0:
            continue
        begin = np.flatnonzero(np.diff(pixels, prepend=-2) > 1)
        end = np.append(begin[1:], len(pixels)) - 1
        edges = np.stack([pixels[begin], pixels[end] + 1], 1).ravel()
        counts = np.diff(edges, prepend=0, append=height * width).tolist()
        yield (
            position,
            mask_utils.frPyObjects({"size": [height, width], "counts": counts}, height, width),
        )


def to_indices(colors: Plane) -> Plane:
    """Return the positions of colours in the VOC colormap."""
    table = to_numbers(colormap(1 << 12)[None, :, ::-1])[0]
    order = np.argsort(table)
    packed = to_numbers(colors)
    found = order[np.searchsorted(table[order], packed.ravel())].reshape(packed.shape)
    return np.asarray(found.astype(np.uint8 if found.max() < 256 else np.uint16))


def as_dataset(items: Iterable[Any], folder: Path) -> Any:
    """Return a fresh dataset of the same items, with the workload's labels and colours."""
    from datumaro.components.annotation import AnnotationType, LabelCategories, MaskCategories
    from datumaro.components.dataset import Dataset
    from datumaro.components.media import Image

    lines = (folder / "labelmap.txt").read_text().splitlines()[1:]
    fields = [line.split(":") for line in lines]
    colors = {i: tuple(map(int, color.split(","))) for i, (_, color, *_) in enumerate(fields)}
    categories = {
        AnnotationType.label: LabelCategories.from_iterable([name for name, *_ in fields]),
        AnnotationType.mask: MaskCategories(colors),
    }
    return Dataset.from_iterable(items, categories=categories, media_type=Image)


def _items(folder: Path, annotations_of: Callable[[Path, tuple[int, int]], list[Any]]) -> list[Any]:
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    items = []
    for file, _ in mask_files(folder):
        size = decode(file).shape[:2]
        image = Image.from_file(str(folder / "JPEGImages" / f"{file.stem}.jpg"), size=size)
        annotations = annotations_of(file, size)
        items.append(DatasetItem(file.stem, subset="train", media=image, annotations=annotations))
    return items


def polygon_items(folder: Path) -> list[Any]:
    """Return items with the outlines of the workload's blobs, hidden parts included."""
    from datumaro.components.annotation import Polygon

    outlines: dict[str, list[tuple[int, int, NDArray[np.int32]]]] = {}
    with np.load(folder / POLYGONS) as content:
        for name, points in content.items():
            item_id, number, label = name.rsplit("/", 2)
            outlines.setdefault(item_id, []).append((int(number), int(label), points))

    def annotations_of(file: Path, size: tuple[int, int]) -> list[Any]:
        return [
            Polygon(points.ravel().tolist(), label=label, group=number + 1, z_order=number)
            for number, label, points in outlines[file.stem]
            if len(points) > 2
        ]

    return _items(folder, annotations_of)


def mask_items(folder: Path) -> list[Any]:
    """Return items with the masks of a workload, as Datumaro's own ``RleMask``."""
    from datumaro.components.annotation import RleMask

    def annotations_of(file: Path, size: tuple[int, int]) -> list[Any]:
        numbers = to_numbers(decode(folder / INSTANCE_MASKS / file.name))
        return [RleMask(rle, label=0, group=position) for position, rle in instances_of(numbers)]

    return _items(folder, annotations_of)
