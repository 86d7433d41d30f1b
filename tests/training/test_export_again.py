"""An export over an earlier one: what that one wrote goes, files of others stay or are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType, LabelCategories
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.media import Image

from tests.archives import archive, as_folder, jpeg, rgb

FORMS = ["coco_segments", "yolo_segments", "panoptic_segments", "semantic_masks"]
FILES = archive(
    {"a": rgb("0110 0220"), "b": rgb("0110 0220")},
    {"a": rgb("0110 0220"), "b": rgb("0110 0220")},
    images={"a.jpg": jpeg(2, 4), "b.jpg": jpeg(2, 4)},
    lists={"train": "a\n", "val": "b\n"},
)
MAIN = {
    "coco_segments": "annotations/instances_train.json",
    "yolo_segments": "data.yaml",
    "panoptic_segments": "annotations/panoptic_train.json",
    "semantic_masks": "id2label.json",
}


@pytest.fixture
def source(tmp_path: Path) -> Dataset:
    return Dataset.import_from(str(as_folder(FILES, tmp_path / "task")), "segmask")


def export(source: Dataset, folder: Path, form: str, **options: Any) -> Path:
    source.export(str(folder), form, **{"save_media": True, **options})
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(source: Dataset, folder: Path, form: str, *names: str, **options: Any) -> None:
    before = contents(folder)
    with pytest.raises(DatasetExportError, match="files are in the way") as caught:
        export(source, folder, form, **options)
    for name in (*names, "export into another folder"):
        assert name in str(caught.value)
    assert contents(folder) == before


@pytest.mark.parametrize("form", FORMS)
def test_files_of_an_earlier_export_go(form: str, source: Dataset, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "out", form)
    source.remove("b", "val")
    again = contents(export(source, folder, form))
    assert again.keys() == contents(export(source, tmp_path / "fresh", form)).keys()
    assert not [name for name in again if "/b." in name or "_val" in name]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name",
    [
        "labels/extra/x.txt", "labels/train/mine.txt", "labels/classes.txt", "README.txt",
        "annotations/mine.json", "annotations/panoptic_train/mine.png", "masks/train/mine.png",
        "images/train/mine.jpg",
    ],
)  # fmt: skip
def test_files_that_the_user_made_stay(
    name: str, form: str, source: Dataset, tmp_path: Path
) -> None:
    folder = export(source, tmp_path / "out", form)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    source.remove("b", "val")
    export(source, folder, form)
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("same_size", [False, True])
def test_edited_files_are_refused(
    form: str, same_size: bool, source: Dataset, tmp_path: Path
) -> None:
    folder = export(source, tmp_path / "out", form)
    path = folder / MAIN[form]
    text = path.read_text()
    path.write_text(text[:-2] + " \n" if same_size else text + " ")
    os.utime(path, (1, 1))
    refused(source, folder, form, MAIN[form])


@pytest.mark.parametrize("form", FORMS)
def test_edited_files_of_items_that_are_gone_are_refused(
    form: str, source: Dataset, tmp_path: Path
) -> None:
    folder = export(source, tmp_path / "out", form)
    (folder / "images/val/b.jpg").write_bytes(b"mine")
    source.remove("b", "val")
    refused(source, folder, form, "images/val/b.jpg")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["", "images/train/a.jpg"])
def test_same_names_in_a_folder_of_others_are_refused(
    form: str, name: str, source: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "out" / (name or MAIN[form])
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    refused(source, tmp_path / "out", form, name or MAIN[form])


def test_many_files_in_the_way_are_counted(tmp_path: Path) -> None:
    source = Dataset.from_iterable(
        [
            DatasetItem(
                f"i{i}", subset="train", media=Image.from_numpy(np.zeros((2, 2, 3), np.uint8))
            )
            for i in range(8)
        ],
        categories={AnnotationType.label: LabelCategories()},
        media_type=Image,
    )
    labels = tmp_path / "out/labels/train"
    labels.mkdir(parents=True)
    for i in range(8):
        (labels / f"i{i}.txt").write_text("mine")
    refused(source, tmp_path / "out", "yolo_segments", "and 3 more")


@pytest.mark.parametrize("form", FORMS)
def test_copy_of_an_export_is_known(form: str, source: Dataset, tmp_path: Path) -> None:
    """With other times, and the very same bytes."""
    shutil.copytree(
        export(source, tmp_path / "out", form), tmp_path / "copy", copy_function=shutil.copyfile
    )
    source.remove("b", "val")
    assert not [n for n in contents(export(source, tmp_path / "copy", form)) if "/b." in n]


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments"])
def test_exports_of_older_versions_are_replaced(form: str, source: Dataset, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "out", form)
    (folder / f".segmask-files.{form}").unlink()
    (folder / "images/train/a.jpg").write_bytes(jpeg(2, 4) + b"otherwise")
    before = contents(export(source, tmp_path / "fresh", form))
    after = contents(export(source, folder, form))
    assert after.keys() == before.keys()
    assert after["images/train/a.jpg"] == before["images/train/a.jpg"]


@pytest.mark.parametrize("form", FORMS)
def test_pictures_stay_where_none_are_written(form: str, source: Dataset, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "out", form)
    for _ in range(2):
        export(source, folder, form, save_media=False)
        assert (folder / "images/train/a.jpg").exists()
    source.remove("b", "val")
    export(source, folder, form, save_media=False)
    assert (folder / "images/train/a.jpg").exists()
    assert not (folder / "images/val/b.jpg").exists()


@pytest.mark.parametrize("form", FORMS)
def test_picture_of_an_item_that_has_none_any_more_goes(
    form: str, source: Dataset, tmp_path: Path
) -> None:
    """What lies there may be the picture of another item, which had this id."""
    folder = export(source, tmp_path / "out", form)
    pictures = {name for name in contents(folder) if name.endswith(".jpg")}
    items = [item.wrap(media=None) if item.id == "a" else item for item in source]
    source = Dataset.from_iterable(items, categories=source.categories())
    export(source, folder, form)
    (gone,) = pictures - contents(folder).keys()
    assert "a.jpg" in gone
    assert contents(folder).keys() == contents(export(source, tmp_path / "fresh", form)).keys()


def test_picture_of_another_suffix_goes(source: Dataset, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "out", "yolo_segments")
    export(source, folder, "yolo_segments", image_ext=".png")
    assert [path.name for path in (folder / "images/train").iterdir()] == ["a.png"]


def test_picture_of_another_suffix_of_others_is_refused(source: Dataset, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "out", "yolo_segments")
    (folder / "images/train/a.PNG").write_bytes(b"mine")
    refused(source, folder, "yolo_segments", "images/train/a.PNG")
    export(source, tmp_path / "coco", "coco_segments")
    (tmp_path / "coco/images/train/a.png").write_bytes(b"mine")
    export(source, tmp_path / "coco", "coco_segments")  # which names its pictures with suffixes


def test_two_formats_in_one_folder(source: Dataset, tmp_path: Path) -> None:
    for form in (*FORMS, *FORMS):
        folder = export(source, tmp_path / "out", form)
    source.remove("b", "val")
    export(source, folder, "yolo_segments")
    assert (folder / "annotations/instances_val.json").exists()
    assert (folder / "images/val/b.jpg").exists()  # COCO's, too
    assert not (folder / "labels/val/b.txt").exists()


@pytest.mark.parametrize("record", ["no JSON", '["../x", 1, 2, 3]', "[1]", '{"a": 1}', "\udcff"])
def test_record_of_somebody_else_removes_nothing(
    record: str, source: Dataset, tmp_path: Path
) -> None:
    folder = export(source, tmp_path / "out", "yolo_segments")
    (tmp_path / "x").write_text("m")
    text = record.encode(errors="surrogateescape")
    (folder / ".segmask-files.yolo_segments").write_bytes(text + b"\n")
    export(source, folder, "yolo_segments")
    assert (tmp_path / "x").exists()


def test_record_names_what_was_written(source: Dataset, tmp_path: Path) -> None:
    folder = export(source, tmp_path / "out", "yolo_segments")
    lines = (folder / ".segmask-files.yolo_segments").read_text().splitlines()
    names = {json.loads(line)[0] for line in lines}
    assert names == contents(folder).keys() - {".segmask-files.yolo_segments"}
