"""The format `panoptic_segments`, and `to_segments` (docs/training.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datumaro.components.dataset import Dataset, StreamDataset

from datumaro_segmask import from_segments, to_arrays, to_segments

from ..archives import archive, as_folder, jpeg, rgb
from ..export_cases import dataset, item, mask, rle

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


def test_from_segments_takes_what_to_segments_returns(task: str) -> None:
    for one in Dataset.import_from(task, "segmask"):
        back = from_segments(one.id, *to_segments(one), subset=one.subset)
        for planes in zip(to_arrays(one), to_arrays(back), strict=True):
            np.testing.assert_array_equal(*planes)
        assert [(a.label, a.group) for a in back.annotations] == [
            (a.label, a.group) for a in one.annotations
        ]


@pytest.mark.parametrize(
    ("stuff", "found"),
    [("object", [("car", 0), ("car", 0), ("road", 0)]), ("skip", [("car", 0), ("car", 0)]),
     ("crowd", [("car", 0), ("car", 0), ("road", 1)])],
)  # fmt: skip
def test_stuff_becomes_what_the_option_says(
    stuff: str, found: list[tuple[str, int]], task: str, tmp_path: Path, caplog: Any
) -> None:
    out = tmp_path / "out"
    Dataset.import_from(task, "segmask").export(str(out), "panoptic_segments", stuff=stuff)
    about, [plane] = read(out, "Train")
    names = {category["id"]: category["name"] for category in about["categories"]}
    segments = about["annotations"][0]["segments_info"]
    assert sorted((names[one["category_id"]], one["iscrowd"]) for one in segments) == found
    assert any(name == "road" for row in plane for name, _ in row) == (stuff != "skip")
    assert ("masks without an instance" in caplog.text) == (stuff == "skip")


@pytest.mark.parametrize("keeps", [False, True])
def test_background_is_a_class_on_demand(keeps: bool, task: str, tmp_path: Path) -> None:
    source = Dataset.import_from(task, "segmask", keep_background=True)
    source.export(str(tmp_path / "out"), "panoptic_segments", keep_background=keeps)
    about, [plane] = read(tmp_path / "out", "Train")
    names = ["background", "car", "road"][not keeps :]
    found = {category["id"]: category["name"] for category in about["categories"]}
    assert [*sorted(found.items())] == [*enumerate(names, 1)]
    ground = "background" if keeps else ""
    rows = [[name for name, _ in row] for row in plane]
    assert rows == [["car", "car", "road", "road", ground], ["car", "car", ground, "road", "road"]]


def test_a_data_set_without_a_background_gets_none(tmp_path: Path) -> None:
    source = dataset([item(mask("1000 0000", label=0))], ["cat", "dog"])
    source.export(str(tmp_path / "out"), "panoptic_segments", keep_background=True)
    about, _ = read(tmp_path / "out", "default")
    assert [c["name"] for c in about["categories"]] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("ids", "written"),
    [([7, 3], [3, 7]), ([7, 7], [1, 2]), ([7, None], [1, 2]), ([7, 1 << 64], [1, 2])],
)
def test_images_keep_the_ids_and_the_order_of_the_source(
    ids: list[int | None], written: list[int], tmp_path: Path
) -> None:
    items = [item(mask("1000 0000"), id=f"{i}{number}") for i, number in enumerate(ids)]
    for found, number in zip(items, ids, strict=True):
        found.attributes = {} if number is None else {"id": number}
    dataset(items).export(str(tmp_path / "out"), "panoptic_segments")
    about, _ = read(tmp_path / "out", "default")
    assert [image["id"] for image in about["images"]] == written
    assert [one["image_id"] for one in about["annotations"]] == written
    for image, one in zip(about["images"], about["annotations"], strict=True):
        assert image["file_name"].partition(".")[0] == one["file_name"].partition(".")[0]
    if written == [3, 7]:
        assert [image["file_name"] for image in about["images"]] == ["13.jpg", "07.jpg"]


def test_one_folder_with_coco_segments(task: str, tmp_path: Path) -> None:
    source = Dataset.import_from(task, "segmask")
    out = tmp_path / "out"
    for form in ("coco_segments", "panoptic_segments") * 2:
        source.export(str(out), form, save_media=True)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {name for name in files if name.startswith("images/")} == {
        "images/Train/a.jpg",
        "images/val/b/c.png",
    }
    for form in ("coco_segments", "coco"):
        back = Dataset.import_from(str(out), form)
        assert {found.id for found in back} == {"a", "b/c"}
    source.remove("b/c", "val")
    source.export(str(out), "panoptic_segments", save_media=True)
    assert not (out / "annotations/panoptic_val.json").exists()
    assert not (out / "annotations/panoptic_val/b/c.png").exists()
    assert (out / "images/val/b/c.png").exists()  # of coco_segments, too
    source.export(str(out), "coco_segments", save_media=True)
    assert not (out / "images/val/b/c.png").exists()


def test_things_come_first_and_ids_seldom_repeat(tmp_path: Path) -> None:
    """mmdetection numbers categories as they stand, and looks ids up over all images."""
    items = [
        item(mask("1100 0011", label=2, group=1), rle("0011 0000", label=1), id=f"i{number}")
        for number in range(20)
    ]
    source = dataset(items, ["background", "road", "car"])
    source.export(str(tmp_path / "first"), "segmask")
    stuff = Dataset.import_from(str(tmp_path / "first"), "segmask")
    for found in stuff:
        for annotation in found.annotations:
            annotation.group *= annotation.label == 2
    stuff.export(str(tmp_path / "out"), "panoptic_segments")
    about, _ = read(tmp_path / "out", "default")
    assert [(c["id"], c["name"], c["isthing"]) for c in about["categories"]] == [
        (2, "car", 1),
        (1, "road", 0),
    ]
    ids = [one["id"] for found in about["annotations"] for one in found["segments_info"]]
    assert len({*ids}) == len(ids) == 40
    assert all(0 < number < 1 << 24 for number in ids)
