"""What Datumaro's readers of COCO hand out: in reverse, and points as float32 of two decimals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType, Bbox, Ellipse, Polygon, RotatedBbox
from datumaro.components.dataset import Dataset, StreamDataset
from pycocotools import mask as mask_utils

from datumaro_segmask import regions, to_arrays
from datumaro_segmask.plugin.annotations import geometry_of

from ..export_cases import dataset, item

pytestmark = pytest.mark.usefixtures("registered")

HEIGHT, WIDTH = 40, 60
CAR, ROAD = 1, 2


def square(x: float, y: float, w: float, h: float) -> list[float]:
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def coco(folder: Path, annotations: list[dict[str, Any]], image_ids: tuple[int, ...] = (1,)) -> str:
    """Write a COCO set; return its path. Its images are called by their ids."""
    for image_id in image_ids:
        path = folder / f"images/train/{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    text = {
        "licenses": [],
        "info": {},
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in image_ids
        ],
        "categories": [{"id": CAR, "name": "car"}, {"id": ROAD, "name": "road"}],
        "annotations": [{"area": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0} | a for a in annotations],
    }
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations/instances_train.json").write_text(json.dumps(text))
    return str(folder)


def annotation(number: int, label: int, *rings: list[float], image_id: int = 1) -> dict[str, Any]:
    return {"id": number, "image_id": image_id, "category_id": label, "segmentation": [*rings]}


def read_json(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "annotations/instances_train.json").read_text())
    return found


def pixels_of_classes(folder: Path) -> dict[str, int]:
    found = Dataset.import_from(str(folder), "segmask")
    names = [label.name for label in found.categories()[AnnotationType.label]]
    pixels: dict[str, int] = {}
    for mask in next(iter(found)).annotations:
        pixels[names[mask.label]] = pixels.get(names[mask.label], 0) + mask.get_area()
    return pixels


STACKED = [
    annotation(1, ROAD, square(0, 0, WIDTH, HEIGHT)),
    annotation(2, CAR, square(30, 5, 10, 10)),
]
IN_TWO_PARTS = [
    annotation(5, ROAD, square(0, 0, WIDTH, HEIGHT)),
    annotation(9, CAR, square(30, 5, 10, 10), square(5, 5, 4, 4)),
]


@pytest.mark.parametrize("kind", [Dataset, StreamDataset])
@pytest.mark.parametrize(
    ("annotations", "car"),
    [
        pytest.param(STACKED, 100, id="later-in-the-file-is-on-top"),
        pytest.param(IN_TWO_PARTS, 116, id="parts-of-an-object-share-its-id"),
    ],
)
def test_order_of_the_file(
    annotations: list[dict[str, Any]], car: int, kind: Any, tmp_path: Path
) -> None:
    source = kind.import_from(coco(tmp_path / "set", annotations), "coco")
    source.export(str(tmp_path / "out"), "segmask")
    assert pixels_of_classes(tmp_path / "out") == {"car": car, "road": 2400 - car}


@pytest.mark.parametrize(
    ("ids", "on_top"),
    [
        pytest.param((2, 1), CAR, id="ids-decide"),
        pytest.param((1, 2), ROAD, id="ids-in-order"),
        pytest.param((0, 0), ROAD, id="no-ids-so-the-later-one"),
        pytest.param((7, 7), ROAD, id="one-id-twice-so-the-later-one"),
        pytest.param((3, 0), ROAD, id="one-without-so-the-later-one"),
    ],
)
def test_order_of_ids(ids: tuple[int, int], on_top: int, tmp_path: Path) -> None:
    shapes = [
        Polygon(square(0, 0, 4, 2), label=label, id=number)
        for label, number in zip((CAR, ROAD), ids, strict=True)
    ]
    dataset([item(*shapes)]).export(str(tmp_path / "out"), "segmask")
    (found,) = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert [mask.label for mask in found.annotations] == [on_top]


def test_z_order_goes_before_ids(tmp_path: Path) -> None:
    shapes = [
        Polygon(square(0, 0, 4, 2), label=CAR, id=1, z_order=1),
        Polygon(square(0, 0, 4, 2), label=ROAD, id=2),
    ]
    dataset([item(*shapes)]).export(str(tmp_path / "out"), "segmask")
    (found,) = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert [mask.label for mask in found.annotations] == [CAR]


# Points


def test_points_as_the_source_wrote_them(tmp_path: Path) -> None:
    ring = [28.7, 8.2, 38.0, 8.0, 9.9, 36.3]
    source = Dataset.import_from(coco(tmp_path / "set", [annotation(1, CAR, ring)]), "coco")
    source.export(str(tmp_path / "coco"), "coco_segments")
    source.export(str(tmp_path / "segmask"), "segmask")
    (written,) = read_json(tmp_path / "coco")["annotations"]
    assert written["segmentation"] == [ring]
    (rle,) = mask_utils.frPyObjects([ring], HEIGHT, WIDTH)
    assert written["area"] == mask_utils.area(rle) == 128
    assert pixels_of_classes(tmp_path / "segmask") == {"car": 128}


def test_polygons_and_boxes_are_painted_in_double_precision() -> None:
    """Each as pycocotools paints the numbers of the source."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        x, y, w, h = (float(value) / 10 for value in rng.integers(1, 190, 4))
        ring = [x, y, round(x + w, 1), y, x, round(y + h, 1)]
        shapes = Polygon(ring, label=CAR), Bbox(x, y, w, h, label=CAR)
        given = [ring], np.array([[x, y, w, h]])
        for shape, points in zip(shapes, given, strict=True):
            labels, _ = to_arrays(item(shape, size=(HEIGHT, WIDTH)))
            (rle,) = mask_utils.frPyObjects(points, HEIGHT, WIDTH)
            assert ((labels == CAR) == mask_utils.decode(rle)).all()


def test_rotated_boxes_and_ellipses_in_double_precision() -> None:
    rotated = geometry_of(RotatedBbox(20.3, 15.7, 8.1, 4.9, 30.1, label=CAR), "it")
    assert isinstance(rotated, regions.Polygon)
    middle = np.reshape(rotated.points, (4, 2)).mean(axis=0)
    assert middle.tolist() == pytest.approx([20.3, 15.7], abs=1e-12)
    assert geometry_of(Ellipse(1.1, 2.3, 8.7, 9.9), "it") == regions.Ellipse(1.1, 2.3, 8.7, 9.9)


# Images


@pytest.mark.parametrize("kind", [Dataset, StreamDataset])
def test_images_and_annotations_in_the_order_of_the_source(kind: Any, tmp_path: Path) -> None:
    boxes = [
        annotation(n, 1 + n % 2, square(n, n, 3, 3), image_id=image_id)
        for n, image_id in enumerate((7, 7, 12, 30, 30, 30), 1)
    ]
    source = kind.import_from(coco(tmp_path / "set", boxes, (7, 12, 30)), "coco")
    source.export(str(tmp_path / "out"), "coco_segments")
    found, given = read_json(tmp_path / "out"), read_json(tmp_path / "set")
    assert [i["id"] for i in found["images"]] == [7, 12, 30]
    assert [i["file_name"] for i in found["images"]] == ["7.png", "12.png", "30.png"]
    for name in ("id", "image_id", "category_id", "segmentation"):
        assert [a[name] for a in found["annotations"]] == [a[name] for a in given["annotations"]]


@pytest.mark.parametrize(
    "ids", [pytest.param((5, 5), id="twice"), pytest.param((5, None), id="one-without")]
)
def test_ids_of_images_that_are_not_unique(ids: tuple[int | None, ...], tmp_path: Path) -> None:
    items = [
        item(Polygon(square(0, 0, 2, 2), label=CAR), id=name).wrap(
            subset=subset, attributes={} if number is None else {"id": number}
        )
        for name, subset, number in zip(("a", "b"), ("train", "val"), ids, strict=True)
    ]
    dataset(items).export(str(tmp_path), "coco_segments")
    texts = [
        json.loads((tmp_path / f"annotations/instances_{subset}.json").read_text())
        for subset in ("train", "val")
    ]
    assert [image["id"] for text in texts for image in text["images"]] == [1, 2]
    assert [a["image_id"] for text in texts for a in text["annotations"]] == [1, 2]
    assert [a["id"] for text in texts for a in text["annotations"]] == [1, 2]


def test_ids_are_kept_over_the_subsets(tmp_path: Path) -> None:
    items = [
        item(Polygon(square(0, 0, 2, 2), label=CAR), id=name).wrap(
            subset=subset, attributes={"id": number}
        )
        for name, subset, number in (("a", "train", 9), ("b", "val", 4), ("c", "train", 2))
    ]
    dataset(items).export(str(tmp_path), "coco_segments")
    texts = {
        subset: json.loads((tmp_path / f"annotations/instances_{subset}.json").read_text())
        for subset in ("train", "val")
    }
    assert [image["id"] for image in texts["train"]["images"]] == [2, 9]
    assert [a["image_id"] for a in texts["train"]["annotations"]] == [2, 9]
    assert [image["id"] for image in texts["val"]["images"]] == [4]
    numbers = [a["id"] for text in texts.values() for a in text["annotations"]]
    assert sorted(numbers) == [1, 2, 3]
