"""Boxes that other importers give beside masks: COCO's of id 0, and those of VOC's XML."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset

from ..archives import Files, archive, as_folder, jpeg, png

pytestmark = pytest.mark.usefixtures("registered")

TRIANGLE = [10, 5, 50, 5, 10, 35]
COCO: Files = {
    "images/default/a.jpg": jpeg(40, 60),
    "annotations/instances_default.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
            "categories": [{"id": 1, "name": "car"}],
            "annotations": [
                {
                    "id": 0, "image_id": 1, "category_id": 1, "segmentation": [TRIANGLE],
                    "bbox": [10, 5, 40, 30], "area": 600, "iscrowd": 0,
                }
            ],
        }
    ).encode(),
}  # fmt: skip

ROWS, COLUMNS = np.indices((60, 60))
DISC = ((ROWS - 30) ** 2 + (COLUMNS - 30) ** 2 < 400).astype(np.uint8)
XML = """<annotation><filename>a.jpg</filename><size><width>60</width><height>60</height>
<depth>3</depth></size><object><name>car</name><bndbox><xmin>11</xmin><ymin>11</ymin>
<xmax>50</xmax><ymax>50</ymax></bndbox></object></annotation>"""
VOC: Files = archive(
    {"a": png(DISC[..., None] * np.array([128, 0, 0], np.uint8))},
    {"a": png(DISC[..., None] * np.array([128, 0, 0], np.uint8))},
    images={"a.jpg": jpeg(60, 60)},
    lists={"train": "a\n"},
) | {"ImageSets/Main/train.txt": b"a\n", "Annotations/a.xml": XML.encode()}


def masks_after(files: Files, source: str, folder: Path) -> list[tuple[str, int]]:
    """Convert, import again, and return label and pixels of each mask."""
    dataset = Dataset.import_from(str(as_folder(files, folder / "in")), source)
    assert any(a.type == AnnotationType.bbox for item in dataset for a in item.annotations)
    dataset.export(str(folder / "out"), "segmask", save_media=True)
    found = Dataset.import_from(str(folder / "out"), "segmask")
    names = [label.name for label in found.categories()[AnnotationType.label]]
    return [(names[a.label], int(a.get_area())) for item in found for a in item.annotations]


def test_box_of_a_coco_annotation_of_id_0(tmp_path: Path) -> None:
    ((name, pixels),) = masks_after(COCO, "coco", tmp_path)
    assert name == "car"
    assert abs(pixels - 600) <= 40  # the triangle, and not its box of 1,200


@pytest.mark.parametrize("source", ["voc", "voc_instance_segmentation"])
def test_box_of_voc_xml(source: str, tmp_path: Path) -> None:
    assert masks_after(VOC, source, tmp_path) == [("car", int(DISC.sum()))]
