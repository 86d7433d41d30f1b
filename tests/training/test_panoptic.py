"""The format `panoptic_segments`, and `to_segments` (docs/training.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datumaro.components.dataset import Dataset, StreamDataset

from datumaro_segmask import to_segments

from ..archives import archive, as_folder, jpeg, rgb

pytestmark = pytest.mark.usefixtures("registered")

FILES = archive(
    {"a": rgb("11220 11022"), "b/c": rgb("0120")},
    {"a": rgb("12000 12000"), "b/c": rgb("0000")},
    lists={"Train": "a\n", "val": "b/c\n"},
    images={"a.jpg": jpeg(2, 5), "b/c.png": jpeg(1, 4)},
)


@pytest.fixture
def task(tmp_path: Path) -> str:
    return str(as_folder(FILES, tmp_path / "task"))


def read(folder: Path, subset: str) -> tuple[dict[str, Any], list[list[list[tuple[str, int]]]]]:
    """Return the JSON of a subset, and the name and id of each pixel of its images."""
    about = json.loads((folder / f"annotations/panoptic_{subset}.json").read_text("utf-8"))
    names = {category["id"]: category["name"] for category in about["categories"]}
    planes = []
    for found in about["annotations"]:
        path = folder / f"annotations/panoptic_{subset}" / found["file_name"]
        blue, green, red = np.moveaxis(np.asarray(cv2.imread(str(path)), int), -1, 0)
        ids = red + 256 * green + 65536 * blue
        of_id = {s["id"]: names[s["category_id"]] for s in found["segments_info"]}
        assert {s["id"]: s["area"] for s in found["segments_info"]} == {
            number: int((ids == number).sum()) for number in np.unique(ids[ids > 0]).tolist()
        }
        planes.append([[(of_id.get(i, ""), i) for i in row] for row in ids.tolist()])
    return about, planes


@pytest.mark.parametrize("kind", [Dataset, StreamDataset])
def test_one_id_a_pair_of_instance_and_label(task: str, tmp_path: Path, kind: Any) -> None:
    out = tmp_path / "out"
    kind.import_from(task, "segmask").export(str(out), "panoptic_segments", save_media=True)
    about, [plane] = read(out, "Train")
    names = [[name for name, _ in row] for row in plane]
    assert names == [["car", "car", "road", "road", ""], ["car", "car", "", "road", "road"]]
    ids = [[number for _, number in row] for row in plane]
    assert ids[0][0] == ids[1][0] != ids[0][1] == ids[1][1]
    assert ids[0][2] == ids[0][3] == ids[1][3]
    assert ids[0][4] == 0
    assert {c["name"]: c["isthing"] for c in about["categories"]} == {"car": 1, "road": 0}
    assert (out / "images/Train/a.jpg").is_file()
    assert [image["file_name"] for image in about["images"]] == ["a.jpg"]


def test_things_are_labels_with_instances_in_any_subset(task: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Dataset.import_from(task, "segmask").export(str(out), "panoptic_segments")
    about, [plane] = read(out, "val")
    assert [name for name, _ in plane[0]] == ["", "car", "road", ""]
    assert {c["name"]: c["isthing"] for c in about["categories"]} == {"car": 1, "road": 0}
    assert about["annotations"][0]["file_name"] == "b/c.png"


def test_to_segments_loses_no_stuff(task: str) -> None:
    found = {item.id: item for item in Dataset.import_from(task, "segmask")}
    ids, segments = to_segments(found["a"])
    assert ids.dtype == np.int32
    assert ids.shape == (2, 5)
    assert segments == {1: (1, 1), 2: (1, 2), 3: (2, 0)}
    assert ids.tolist() == [[1, 2, 3, 3, 0], [1, 2, 0, 3, 3]]
