"""COCO as people have it: small JSON, and pictures of 20 x 10 pixels."""

from __future__ import annotations

import json
from typing import Any

from ..archives import Files, jpeg

HEIGHT, WIDTH = 10, 20
POLYGON = [[1.5, 1.25, 9.5, 1.25, 9.5, 6.125]]
PARTS = [[1, 1, 4, 1, 4, 4, 1, 4], [10, 2, 15, 2, 15, 8, 10, 8]]
COUNTS = [5, 3, 192]
RLE = {"size": [HEIGHT, WIDTH], "counts": "53P6"}  # the same, compressed
SEGMENTATIONS: dict[str, Any] = {
    "polygon": POLYGON,
    "parts": PARTS,
    "flat": POLYGON[0],
    "uncompressed": {"size": [HEIGHT, WIDTH], "counts": COUNTS},
    "compressed": RLE,
}


def image(number: Any, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **more}


def annotation(number: int, image_id: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "image_id": image_id, "category_id": 7, "segmentation": POLYGON,
        "bbox": [1.5, 1.25, 8, 4.875], "area": 19.5, "iscrowd": 0, **more,
    }  # fmt: skip


def dataset(*annotations: Any, images: Any = None, categories: Any = None) -> dict[str, Any]:
    """Categories whose ids have gaps, and two images, the second of which comes first."""
    return {
        "images": [image(42, "b.jpg"), image(11, "x/a.jpg")] if images is None else images,
        "annotations": [*annotations],
        "categories": categories
        or [{"id": 7, "name": "car", "supercategory": "vehicle"}, {"id": 3, "name": "road"}],
    }


def result(image_id: Any, score: float, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 7, "score": score, "segmentation": RLE, **more}


def files(of: dict[str, Any]) -> Files:
    """JSON of what is no bytes; a picture where a place has None."""
    return {
        place: jpeg(HEIGHT, WIDTH) if content is None
        else content if isinstance(content, bytes) else json.dumps(content).encode()
        for place, content in of.items()
    }  # fmt: skip
