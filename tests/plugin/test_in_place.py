"""Saving a dataset over its own source: nothing changes but what was changed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import Bbox
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.storage.layout import STAGING

from ..archives import archive, as_folder, as_zip, jpeg, rgb

FILES = archive(
    {"one": rgb("0110 0220"), "two": rgb("2200 2200"), "sub/three": rgb("1111 0000")},
    {"one": rgb("0110 0220"), "two": rgb("1100 2200")},
    lists={"train": "one\ntwo\n", "val": "sub/three\n"},
    images={
        "one.jpg": jpeg(2, 4, shade=10),
        "two.jpg": jpeg(2, 4, shade=200),
        "sub/three.jpg": jpeg(2, 4),
    },
)


@pytest.fixture(autouse=True)
def _registered() -> None:
    datumaro_segmask.register()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return as_folder(FILES, tmp_path / "task")


def load(path: Path) -> Dataset:
    return Dataset.import_from(str(path), "segmask")


def files_in(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def pixels(path: Path) -> dict[tuple[str, str], list[tuple[int | None, int, bytes]]]:
    return {
        (item.id, item.subset): [(a.label, a.group, a.rle["counts"]) for a in item.annotations]
        for item in load(path)
    }


def test_saving_an_unchanged_dataset_changes_no_byte(source: Path) -> None:
    before = files_in(source)
    load(source).save()
    assert files_in(source) == before


def test_removed_item_takes_its_files_along(source: Path) -> None:
    before = files_in(source)
    dataset = load(source)
    dataset.remove("two", "train")
    dataset.save()
    after = files_in(source)
    assert set(before) - set(after) == {
        "JPEGImages/two.jpg",
        "SegmentationClass/two.png",
        "SegmentationObject/two.png",
    }
    lists = "ImageSets/Segmentation/train.txt"
    assert after.pop(lists) == b"one\n"
    assert after == {name: before[name] for name in after}


def test_renamed_item_keeps_its_image_and_others_their_bytes(source: Path) -> None:
    before, old = files_in(source), pixels(source)
    dataset = load(source)
    dataset.transform("rename", regex="|two|zwei|")
    dataset.save()
    after, new = files_in(source), pixels(source)
    assert after["JPEGImages/zwei.jpg"] == before["JPEGImages/two.jpg"]
    assert not [name for name in after if "two" in name]
    assert new["zwei", "train"] == old["two", "train"]
    for name in ("SegmentationClass/one.png", "SegmentationClass/sub/three.png"):
        assert after[name] == before[name]


def test_two_items_that_swap_their_names_swap_their_files(source: Path) -> None:
    before, old = files_in(source), pixels(source)
    dataset = load(source)
    items = {item.id: item for item in dataset}
    for item_id, other in (("one", "two"), ("two", "one")):
        dataset.put(items[other].wrap(id=item_id))
    dataset.save()
    after, new = files_in(source), pixels(source)
    assert new["one", "train"] == old["two", "train"]
    assert new["two", "train"] == old["one", "train"]
    assert after["JPEGImages/one.jpg"] == before["JPEGImages/two.jpg"]
    assert after["JPEGImages/two.jpg"] == before["JPEGImages/one.jpg"]


def test_item_that_moves_to_another_subset_keeps_its_bytes(source: Path) -> None:
    before = files_in(source)
    dataset = load(source)
    dataset.transform("map_subsets", mapping={"val": "train"})
    dataset.save()
    after = files_in(source)
    assert "ImageSets/Segmentation/val.txt" not in after
    assert after["ImageSets/Segmentation/train.txt"] == b"one\ntwo\nsub/three\n"
    masks = {name: data for name, data in before.items() if name.endswith(".png")}
    assert {name: after[name] for name in masks} == masks


def test_changed_item_is_painted_anew_alone(source: Path) -> None:
    before = files_in(source)
    dataset = load(source)
    item = dataset.get("one", "train")
    dataset.put(item.wrap(annotations=[Bbox(0, 0, 4, 1, label=1, group=7)]))
    dataset.save()
    after = files_in(source)
    assert {name for name in before if after.get(name) != before[name]} == {
        "SegmentationClass/one.png",
        "SegmentationObject/one.png",
    }
    assert [(label, group) for label, group, _ in pixels(source)["one", "train"]] == [(1, 7)]


def test_item_that_loses_its_annotations_loses_its_masks(source: Path) -> None:
    dataset = load(source)
    dataset.put(dataset.get("two", "train").wrap(annotations=[]))
    dataset.save()
    assert not (source / "SegmentationClass/two.png").exists()
    assert pixels(source)["two", "train"] == []
    assert (source / "JPEGImages/two.jpg").exists()


def test_added_item_is_written(source: Path) -> None:
    dataset = load(source)
    dataset.put(
        DatasetItem(
            "new",
            subset="test",
            media=Image.from_numpy(np.zeros((2, 4, 3), np.uint8)),
            annotations=[Bbox(1, 0, 2, 2, label=2)],
        )
    )
    dataset.save(save_media=True)
    assert (source / "JPEGImages/new.jpg").exists()
    assert [label for label, _, _ in pixels(source)["new", "test"]] == [2]


def test_changed_labels_paint_all_masks_anew(source: Path) -> None:
    old = pixels(source)
    dataset = load(source)
    dataset.transform("remap_labels", mapping={"car": "vehicle"}, default="keep")
    dataset.save()
    assert b"vehicle:128,0,0::" in (source / "labelmap.txt").read_bytes()
    assert pixels(source) == old


def test_other_kind_of_masks_paints_all_anew(source: Path) -> None:
    old = pixels(source)
    load(source).save(mask_mode="index")
    assert pixels(source) == old
    assert (source / "SegmentationClass/one.png").read_bytes()[25] == 0  # colour type gray


def test_export_over_the_source_by_another_path_is_in_place_too(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_in(source)
    monkeypatch.chdir(source.parent)
    dataset = Dataset.import_from("task", "segmask")
    dataset.transform("rename", regex="|two|zwei|")
    dataset.export(str(source), "segmask")
    after = files_in(source)
    assert after["SegmentationClass/one.png"] == before["SegmentationClass/one.png"]
    assert "SegmentationClass/two.png" not in after


def test_source_two_folders_down_is_saved_there(tmp_path: Path) -> None:
    as_folder(FILES, tmp_path / "given/my task")
    dataset = load(tmp_path / "given")
    dataset.remove("one", "train")
    dataset.save()
    assert sorted(path.name for path in (tmp_path / "given").iterdir()) == ["my task"]
    assert ("one", "train") not in pixels(tmp_path / "given")


def test_lone_zip_is_written_again_with_its_images(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    path = as_zip(FILES, tmp_path / "given/task.zip")
    old = pixels(tmp_path / "given")
    dataset = load(tmp_path / "given")
    dataset.remove("one", "train")
    dataset.save()
    del old["one", "train"]
    assert [file.name for file in (tmp_path / "given").iterdir()] == ["task.zip"]
    assert pixels(tmp_path / "given") == old
    with zipfile.ZipFile(path) as written:
        assert written.read("JPEGImages/two.jpg") == FILES["JPEGImages/two.jpg"]


def test_strangers_in_the_folder_stay(source: Path) -> None:
    (source / "notes.md").write_text("mine")
    (source / "SegmentationClass/unlisted.png").write_bytes(rgb("1"))
    dataset = load(source)
    dataset.remove("one", "train")
    dataset.save()
    assert (source / "notes.md").read_text() == "mine"
    assert (source / "SegmentationClass/unlisted.png").exists()


def test_zip_over_the_folder(source: Path) -> None:
    """What is asked for is a zip: it is written beside the files, which stay."""
    before = files_in(source)
    dataset = load(source)
    dataset.export(str(source), "segmask", zip=True)
    after = files_in(source)
    with zipfile.ZipFile(source / "segmask.zip") as archive:
        assert "SegmentationClass/sub/three.png" in archive.namelist()
    del after["segmask.zip"]
    assert after == before


def test_damaged_mask_of_a_changed_item_is_replaced(source: Path) -> None:
    dataset = load(source)
    dataset.init_cache()
    dataset.put(dataset.get("one", "train").wrap(attributes={"seen": True}))
    (source / "SegmentationClass/one.png").write_bytes(b"damaged since")
    expected = [
        (a.label, a.group, a.rle["counts"]) for a in dataset.get("one", "train").annotations
    ]
    dataset.save()
    assert pixels(source)["one", "train"] == expected


def test_save_that_fails_changes_nothing(source: Path) -> None:
    before = files_in(source)
    dataset = load(source)
    dataset.remove("two", "train")
    bad = Bbox(0, 0, float("nan"), 1, label=1)
    dataset.put(DatasetItem("bad", subset="train", annotations=[bad], media=None))
    with pytest.raises(DatasetExportError):
        dataset.save()
    assert files_in(source) == before
    assert not (source / STAGING).exists()


def test_meta_file_of_datumaro(source: Path, tmp_path: Path) -> None:
    load(source).export(str(tmp_path / "out"), "segmask", save_dataset_meta=True)
    labels = json.loads((tmp_path / "out/dataset_meta.json").read_text("utf-8"))["label_map"]
    assert list(labels.values()) == ["background", "car", "road"]
