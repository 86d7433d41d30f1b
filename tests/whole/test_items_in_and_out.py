"""What was lost on a second path, each by name (the rest is `test_matrix`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datumaro_segmask import read_table, to_table
from datumaro_segmask.archive import read_label_map_file
from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.cli.from_masks.folder import open_mask_folder
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.sharding import (
    CocoShards,
    ParquetShards,
    ZipShards,
    make_plan,
    run,
    run_in_processes,
)

from ..archives import archive, as_folder, as_zip, gray, jpeg, rgb
from .test_matrix import Content, content_of, names_in, of_coco, of_table

pytestmark = pytest.mark.usefixtures("registered")

COLORED = {"a": rgb("01"), "b": rgb("01")}


def test_archives_whose_labels_share_a_colour_keep_all_objects(tmp_path: Path) -> None:
    """None of them is black, and neither is the second label made so."""
    as_zip(archive({"a": rgb("1")}, labels="car:128,0,0::\n"), tmp_path / "in/one")
    as_zip(archive({"b": rgb("1")}, labels="bus:128,0,0::\n"), tmp_path / "in/two")
    both: Content = {("a", "default"): [("car", 0, "1")], ("b", "default"): [("bus", 0, "1")]}
    table = read_table(to_table(str(tmp_path / "in/*.zip")))
    assert of_table(table) == both
    assert table.write_archive(str(tmp_path / "out.zip")) == 2
    assert content_of(SegmaskBase(str(tmp_path / "out.zip"))) == both
    run(make_plan(str(tmp_path / "in/*.zip")), CocoShards(), str(tmp_path / "coco"))
    objects = of_coco((tmp_path / "coco").glob("instances_*.json"))
    assert objects == {"default/a": [("car", "1")], "default/b": [("bus", "1")]}


def test_table_into_a_folder_with_an_earlier_archive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lists go, as its labels do; so no old item has a label that it never had."""
    old = archive(
        {"a": gray("1"), "old": gray("2")},
        {"a": gray("3")},
        labels="background:0,0,0::\ncat:1,1,1::\ndog:2,2,2::\n",
        lists={"train": "a\nold\n"},
        images={"a.jpg": jpeg(1, 1)},
    )
    moved = {name.replace("Class/a.png", "Class/a.PNG"): data for name, data in old.items()}
    as_folder({**moved, "README.txt": b"mine"}, tmp_path / "out")
    new = archive({"a": gray("1")}, labels="background:0,0,0::\ncar:128,0,0::\n")
    read_table(to_table(str(as_folder(new, tmp_path / "new")))).write_archive(str(tmp_path / "out"))
    caplog.clear()
    assert content_of(SegmaskBase(str(tmp_path / "out"))) == {("a", "default"): [("car", 0, "1")]}
    assert "SegmentationClass/old.png: no list names it" in caplog.text
    assert names_in(tmp_path / "out") == [
        "ImageSets/Segmentation/default.txt",
        "JPEGImages/a.jpg",
        "README.txt",
        "SegmentationClass/a.png",
        "SegmentationClass/old.png",
        "labelmap.txt",
    ]


@pytest.mark.parametrize("kind", [ParquetShards(), ZipShards(), CocoShards()], ids=lambda k: k.name)
def test_second_run_over_a_folder_that_was_mended(kind: Any, tmp_path: Path) -> None:
    """In one process: what the first one knew of the labels and the files is not used again."""
    path = as_folder(archive({"a": gray("1")}), tmp_path / "in")
    run(make_plan(str(path)), kind, str(tmp_path / "one"))
    (path / "labelmap.txt").write_text("background:0,0,0::\nbus:9,9,9::\nroad:0,128,0::\n")
    (path / "SegmentationClass/a.png").rename(path / "SegmentationClass/a.PNG")
    manifest = run(make_plan(str(path)), kind, str(tmp_path / "two"))
    assert [name for name, found in manifest["labels"].items() if found["instances"]] == ["bus"]


def test_second_table_of_a_folder_that_was_mended(tmp_path: Path) -> None:
    path = as_folder(archive({"a": gray("1")}), tmp_path / "in")
    assert of_table(read_table(to_table(str(path)))) == {("a", "default"): [("car", 0, "1")]}
    (path / "labelmap.txt").write_text("background:0,0,0::\nbus:9,9,9::\nroad:0,128,0::\n")
    assert of_table(read_table(to_table(str(path)))) == {("a", "default"): [("bus", 0, "1")]}


def test_second_check_by_the_same_worker_sees_what_was_mended(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = as_folder(archive({"a": gray("1"), "b": b"broken"}), tmp_path / "in")
    with ThreadPoolExecutor(1) as worker:  # as one of Dask, which outlives a check
        assert check(str(path), executor=worker).totals()["error"] == 1
        (path / "SegmentationClass/b.png").unlink()
        (path / "JPEGImages").mkdir()
        (path / "JPEGImages/b.jpg").write_bytes(jpeg(1, 1))
        found = check(str(path), executor=worker)
        assert found.totals()["error"] == 0
        assert found.subsets["default"].images == 1


def test_shard_of_a_gray_mask_among_coloured_ones(tmp_path: Path) -> None:
    """Alone in its shard, a blank one would be an object of the whole image."""
    labels = "car:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n"
    files = archive({**COLORED, "z": gray("00")}, labels=labels)
    run_in_processes(
        make_plan(str(as_zip(files, tmp_path / "in")), 1), ZipShards(), str(tmp_path / "out"), 1
    )
    alone = SegmaskBase(str(tmp_path / "out/shard-000002.zip"))
    assert content_of(alone) == {("z", "default"): []}
    assert names_in(tmp_path / "out/shard-000002.zip") == [
        "ImageSets/Segmentation/default.txt",
        "SegmentationClass/z.png",
        "labelmap.txt",
    ]


def test_item_of_two_subsets_has_its_files_once(tmp_path: Path) -> None:
    """In a shard, and in the zip of a table."""
    files = archive({"a": rgb("1")}, lists={"train": "a\n", "val": "a\n"})
    path = str(as_zip(files, tmp_path / "in"))
    run(make_plan(path), ZipShards(), str(tmp_path / "out"))
    read_table(to_table(path)).write_archive(str(tmp_path / "table.zip"))
    for made in (tmp_path / "out/shard-000000.zip", tmp_path / "table.zip"):
        assert names_in(made) == [
            "ImageSets/Segmentation/train.txt",
            "ImageSets/Segmentation/val.txt",
            "SegmentationClass/a.png",
            "labelmap.txt",
        ]


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_from_masks_of_a_gray_mask_among_coloured_ones(suffix: str, tmp_path: Path) -> None:
    """Whatever `read` gives of a mask, `open` gives too, so that its kind is known."""
    labels = "car:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n"
    (tmp_path / "masks").mkdir()
    (tmp_path / "labelmap.txt").write_text(labels)
    for name, mask in {**COLORED, "z": gray("00")}.items():
        image = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        assert cv2.imwrite(str(tmp_path / "masks" / f"{name}.{suffix}"), image)
    label_map = read_label_map_file(str(tmp_path / "labelmap.txt"))
    opened = open_mask_folder(str(tmp_path / "masks"), label_map)
    assert content_of(SegmaskBase(opened)) == {
        ("a", "default"): [("car", 0, "01")],
        ("b", "default"): [("car", 0, "01")],
        ("z", "default"): [],
    }
    for name in opened.storage.files("SegmentationClass"):
        with opened.storage.open(name) as file:
            assert file.read() == opened.storage.read(name)
