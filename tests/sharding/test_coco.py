"""COCO shards and tables have the objects that an export as ``coco_segments`` has."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.dataset import Dataset
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

import datumaro_segmask
from datumaro_segmask import read_table, to_table, write_table
from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.formats import OF_BACKGROUND, WITHOUT_LABEL, WITHOUT_SIZE
from datumaro_segmask.options import SEGMENTATIONS
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.sharding import CocoShards, make_plan, run, run_in_processes
from datumaro_segmask.sharding.manifest import MANIFEST

from ..archives import archive, as_folder, as_zip, gray
from ..processes import command
from .makes import digest, random_files
from .test_run import Dying, deadly, when

datumaro_segmask.register()
COUNT = 60
SHARED = Path(__file__).parents[2].parent / "shared" / "data"

RECORD = ".segmask-files.coco_segments"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(as_zip(random_files(COUNT), tmp_path_factory.mktemp("in") / "x"))


def objects(files: list[Path]) -> dict[str, list[Any]]:
    """Return the objects of each image, whatever their ids: class, pixels, how they are told."""
    found: dict[str, list[Any]] = {}
    ids: list[set[int]] = [set(), set()]
    for file in files:
        coco = json.loads(file.read_text("utf-8"))
        names = {category["id"]: category["name"] for category in coco["categories"]}
        images = {image["id"]: image for image in coco["images"]}
        assert len(images) == len(coco["images"])
        for image in images.values():
            assert image["file_name"] not in found
            found[image["file_name"]] = [(image["height"], image["width"])]
        for a in coco["annotations"]:
            told = a["segmentation"], a["area"], a["bbox"], a["iscrowd"]
            found[images[a["image_id"]]["file_name"]].append((names[a["category_id"]], *told))
        for seen, entries in zip(ids, (coco["images"], coco["annotations"]), strict=True):
            new = {entry["id"] for entry in entries}
            assert len(new) == len(entries)
            assert not seen & new
            seen |= new
    return found


def exported(path: str, out: Path, **options: Any) -> dict[str, list[Any]]:
    Dataset.import_from(path, "segmask").export(str(out), "coco_segments", **options)
    return objects(sorted(out.glob("annotations/*.json")))


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_shards_have_the_objects_of_the_export(
    segmentation: str, path: str, tmp_path: Path
) -> None:
    manifest = run(make_plan(path, 7), CocoShards(segmentation), str(tmp_path / "shards"))
    names = [name for part in manifest["parts"] for name in part["files"]]
    assert {p.name for p in (tmp_path / "shards").iterdir()} == {*names, MANIFEST}
    assert "instances_train-000000.json" in names
    assert {"instances_train-000004.json", "instances_val-000004.json"} <= {*names}  # both in one
    found = objects([tmp_path / "shards" / name for name in names])
    assert found == exported(path, tmp_path / "whole", segmentation=segmentation)
    assert manifest["rows"] == sum(len(of_image) - 1 for of_image in found.values())
    assert manifest["left_out"][WITHOUT_SIZE] == COUNT - len(found)
    assert manifest["left_out"][WITHOUT_LABEL] > 0


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_table_has_the_objects_of_the_export(
    segmentation: str, path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_table(path, str(tmp_path / "table"), shard_items=11)
    table = read_table(str(tmp_path / "table"))
    with caplog.at_level(logging.WARNING):
        count = table.write_coco(str(tmp_path / "coco"), segmentation=segmentation)
    assert f"{COUNT - count} {WITHOUT_SIZE}" in caplog.text
    found = objects(sorted((tmp_path / "coco/annotations").glob("*.json")))
    assert len(found) == count
    assert found == exported(path, tmp_path / "whole", segmentation=segmentation)
    assert len(Dataset.import_from(str(tmp_path / "coco"), "coco_instances")) == count


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def table_of(lists: dict[str, str], folder: Path) -> Any:
    files = archive({i: gray("12") for i in "abc"}, lists=lists)
    return read_table(to_table(str(as_folder(files, folder))))


def test_over_an_earlier_one_it_is_what_the_table_says(tmp_path: Path) -> None:
    """The files of subsets that are gone go, those of others stay."""
    both = table_of({"train": "a\nb", "val": "c"}, tmp_path / "both")
    train = table_of({"train": "a"}, tmp_path / "train")
    both.write_coco(str(tmp_path / "out"))
    theirs = {
        "annotations/instances_mine.json": b'{"info": {}, "images": []}',
        "annotations/notes.txt": b"mine",
        "images/a.jpg": b"mine",
        "notes.json": b"mine",
    }
    for name, data in theirs.items():
        (tmp_path / "out" / name).write_bytes(data)
    train.write_coco(str(tmp_path / "out"))
    train.write_coco(str(tmp_path / "fresh"))
    assert files(tmp_path / "out") == {**files(tmp_path / "fresh"), **theirs}


def files(out: Path) -> dict[str, bytes]:
    """All files but the record of them, which has their times."""
    return {name: data for name, data in tree(out).items() if name != RECORD}


def test_an_earlier_one_stays_until_the_next_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_of({"train": "a\nb", "val": "c"}, tmp_path / "both").write_coco(str(tmp_path / "out"))
    before = tree(tmp_path / "out")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    train = table_of({"train": "a"}, tmp_path / "train")
    for place in ("os.rename", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(OSError, match="No space"):
                train.write_coco(str(tmp_path / "out"))
        assert tree(tmp_path / "out") == before


def test_table_of_nothing(tmp_path: Path) -> None:
    table_of({"train": "a"}, tmp_path / "train").write_coco(str(tmp_path / "out"))
    empty = to_table(str(tmp_path / "train")).slice(0, 0)
    assert read_table(empty).write_coco(str(tmp_path / "out")) == 0
    assert list(tree(tmp_path / "out")) == [RECORD, "annotations/instances_default.json"]
    assert len(Dataset.import_from(str(tmp_path / "out"), "coco_instances")) == 0


def test_pixels_are_those_of_the_archive(path: str, tmp_path: Path) -> None:
    read_table(to_table(path)).write_coco(str(tmp_path))
    expected: dict[str, list[Any]] = {}
    for item in SegmaskBase(path):
        masks = [(m.label, m.image.tobytes()) for m in item.annotations if m.label is not None]
        expected[item.id] = sorted(masks)
    seen = set()
    for file in sorted((tmp_path / "annotations").glob("*.json")):
        coco = COCO(file)
        for image_id, image in coco.imgs.items():
            item_id = image["file_name"].removesuffix(".jpg")
            seen.add(item_id)
            masks = [
                (a["category_id"], mask_utils.decode(coco.annToRLE(a)).astype(bool).tobytes())
                for a in coco.imgToAnns[image_id]
            ]
            assert sorted(masks) == expected[item_id]
    assert {item_id for item_id, masks in expected.items() if masks} <= seen


@pytest.mark.skipif(not SHARED.is_dir(), reason="the archives beside the checkout are not here")
@pytest.mark.parametrize("name", ["datumaro_voc1", "txchar_food", "idkwid_cracks"])
def test_real_archives(name: str, tmp_path: Path) -> None:
    paths = [p for p in (SHARED / name).rglob("*") if (p / "SegmentationClass").is_dir()]
    for number, path in enumerate([*paths, *(SHARED / name).rglob("*.zip")]):
        try:
            expected = exported(str(path), tmp_path / f"{number}-whole")
        except Exception:  # archives that nobody can read lie there, too
            continue
        shards = tmp_path / f"{number}-shards"
        run(make_plan(str(path), 5), CocoShards(), str(shards))
        assert objects(sorted(shards.glob("instances_*.json"))) == expected
        read_table(to_table(str(path))).write_coco(str(tmp_path / f"{number}-table"))
        files = (tmp_path / f"{number}-table").glob("annotations/*.json")
        assert objects(sorted(files)) == expected


@dataclass(frozen=True)
class DeadlyCocoShards(Dying, CocoShards):
    """COCO shards whose process dies once."""

    name: str = "coco"


@deadly
@when
def test_worker_dies(before: bool, path: str, tmp_path: Path) -> None:
    run(make_plan(path, 7), CocoShards(), str(tmp_path / "plain"))
    kind = DeadlyCocoShards(mark=str(tmp_path / "mark"), before=before)
    run_in_processes(make_plan(path, 7), kind, str(tmp_path / "out"), 2)
    assert (tmp_path / "mark").exists()
    assert digest(tmp_path / "out") == digest(tmp_path / "plain")


def test_background_of_one_archive_is_a_class_of_another(tmp_path: Path) -> None:
    """Labels of one name are one, so such objects are left out, and counted."""
    one = archive({"a": gray("12")}, labels="ground:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\n")
    two = archive({"b": gray("12")}, labels="background:0,0,0::\nground:1,0,0::\ncar:1,1,1::\n")
    three = archive({"c": gray("12")}, labels="none:9,9,9::\nground:128,0,0::\ncar:1,1,1::\n")
    for name, files in (("one", one), ("three", three)):
        as_zip(files, tmp_path / "in" / name)
    manifest = run(make_plan(str(tmp_path / "in/*.zip")), CocoShards(), str(tmp_path / "out"))
    assert manifest["left_out"] == {OF_BACKGROUND: 1}
    as_zip(two, tmp_path / "in" / "two")
    manifest = run(make_plan(str(tmp_path / "in/*.zip")), CocoShards(), str(tmp_path / "all"))
    assert manifest["left_out"] == {}
    found = objects(sorted((tmp_path / "all").glob("instances_*.json")))
    assert [name for name, *_ in found["b.jpg"][1:]] == ["ground", "car"]


def test_two_items_of_one_id(tmp_path: Path) -> None:
    for name, mask in (("one", "12"), ("two", "21")):
        as_zip(archive({"a": gray(mask)}), tmp_path / "in" / name)
    table = read_table(to_table(str(tmp_path / "in" / "*.zip")))
    with pytest.raises(SegmaskExportError, match="has an item of this id"):
        table.write_coco(str(tmp_path / "out"))
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_no_such_segmentation(path: str, tmp_path: Path) -> None:
    with pytest.raises(SegmaskExportError, match="'polygons', 'rle'"):
        read_table(to_table(path)).write_coco(str(tmp_path / "out"), segmentation="masks")
    assert not (tmp_path / "out").exists()


def test_command(tmp_path: Path) -> None:
    path = str(as_folder(archive({"a": gray("012"), "broken": b"x"}), tmp_path / "in"))
    shard = partial(command, "shard", path, "-o")
    done = shard(tmp_path / "out", "--to", "coco", "--segmentation", "rle", "--jobs", "2")
    assert done.returncode == 1  # one item cannot be read
    coco = json.loads((tmp_path / "out" / "instances_default-000000.json").read_text("utf-8"))
    assert [a["segmentation"]["size"] for a in coco["annotations"]] == [[1, 3]] * 2
    wrong = shard(tmp_path / "other", "--segmentation", "rle")
    assert wrong.returncode == 2
    assert "--to coco" in wrong.stderr
