"""What ``datum`` and Python may rely on: no file is overwritten unasked, paths stay what they were.

The commands run in this process: each would load Datumaro for seconds.
"""

from __future__ import annotations

import argparse
import os
import pickle
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from datumaro.cli.__main__ import main as datum
from datumaro.components.annotation import Bbox
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.environment import Environment
from datumaro.components.errors import DatasetImportError
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.archive import ClassLookup, open_archive
from datumaro_segmask.archive.item import read_item
from datumaro_segmask.cli import main as segmask
from datumaro_segmask.errors import ArchiveError, MissingFileError, SegmaskExportError
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.plugin.export.exporter import SegmaskExporter
from datumaro_segmask.plugin.importer import SegmaskImporter
from datumaro_segmask.plugin.training.coco import CocoSegmentsExporter
from datumaro_segmask.plugin.training.yolo import YoloSegmentsExporter
from datumaro_segmask.sharding import ParquetShards, make_plan
from datumaro_segmask.sharding import run as run_plan

from ..archives import archive, as_folder, as_zip, jpeg, rgb

pytestmark = pytest.mark.usefixtures("registered")

IS_OLD = tuple(map(int, version("datumaro").split(".")[:2])) < (1, 12)
PIXELS = np.zeros((4, 4, 3), np.uint8)
REFUSAL = "already exists (pass --overwrite to overwrite)"
FILES = archive({"a": rgb("0112")}, {"a": rgb("0111")}, images={"a.jpg": jpeg(1, 4)})
NOTHING_LEFT = ["-e", '/item[id="b"]']


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two archives in it."""
    monkeypatch.chdir(tmp_path)
    as_zip(FILES, tmp_path / "own")
    as_zip(FILES, tmp_path / "other")
    return tmp_path


# A target that is a file

COMMANDS = {
    "filter": ["filter", *NOTHING_LEFT, "own.zip"],
    "filter-to-another": ["filter", *NOTHING_LEFT, "-o", "other.zip", "own.zip"],
    "transform": ["transform", "-t", "split_components", "own.zip"],
    "patch": ["patch", "own.zip:segmask", "other.zip:segmask"],
    "patch-to-another": ["patch", "-o", "other.zip", "own.zip:segmask", "other.zip:segmask"],
    "convert-to-coco": ["convert", "-i", "own.zip", "-f", "coco_segments", "-o", "own.zip"],
    "merge": ["merge", "-f", "segmask", "-o", "own.zip", "own.zip:segmask", "other.zip:segmask"],
}
if not IS_OLD:  # Datumaro 1.11 converts no format to itself, and filters no annotations
    of_labels = ["-e", '/item/annotation[label="Car"]', "-m", "i+a"]
    COMMANDS["filter-annotations"] = ["filter", *of_labels, "own.zip"]
    COMMANDS["convert"] = ["convert", "-i", "own.zip", "-f", "segmask", "-o", "own.zip"]


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_file_is_refused_without_overwrite(
    arguments: list[str], here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = {name: (here / name).read_bytes() for name in ("own.zip", "other.zip")}
    assert datum(list(arguments)) == 1
    assert REFUSAL in caplog.text
    assert {name: (here / name).read_bytes() for name in before} == before
    assert sorted(os.listdir(here)) == ["other.zip", "own.zip"]


def test_other_formats_fail_at_a_file_as_ever(here: Path) -> None:
    before = (here / "own.zip").read_bytes()
    with pytest.raises(FileExistsError):
        datum(["convert", "-i", "own.zip", "-f", "coco", "-o", "own.zip"])
    assert (here / "own.zip").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "status"),
    [("filter", 1), ("transform", 1), ("convert-to-coco", 2)],  # the last refuses what was typed
)
def test_our_commands_refuse_a_file_too(name: str, status: int, here: Path) -> None:
    before = (here / "own.zip").read_bytes()
    assert segmask(COMMANDS[name]) == status
    assert (here / "own.zip").read_bytes() == before


def test_with_overwrite_a_file_is_replaced(here: Path) -> None:
    command = ["filter", "-e", '/item[id="b"]', "--overwrite", "own.zip"]
    assert datum(command) == 0
    assert len(Dataset.import_from("own.zip", "segmask")) == 0


def test_python_saves_to_a_file_unasked(here: Path) -> None:
    dataset = Dataset.import_from("own.zip", "segmask")
    dataset.remove("a", "default")
    dataset.save()
    assert len(Dataset.import_from("own.zip", "segmask")) == 0


@pytest.mark.parametrize("way", ["datum", "segmask", "filtered", "python"])
def test_a_zip_that_is_named_is_the_zip(way: str, here: Path) -> None:
    """And no folder of that name with a zip in it."""
    source = ["own.zip"]
    if way in ("datum", "filtered"):  # Datumaro 1.11 converts no format to itself
        Dataset.import_from("own.zip", "segmask").export("source", "datumaro")
        source = ["source", "-if", "datumaro"]
    arguments = ["convert", "-i", *source, "-f", "segmask", "-o", "new/out.zip"]
    if way == "python":
        dataset = Dataset.import_from("own.zip", "segmask")
        dataset.export("new/out.zip", "segmask", zip=True)
        dataset.put(dataset.get("a").wrap(id="b"))
        dataset.save()  # to that zip
    elif way == "filtered":
        assert segmask([*arguments, "-e", "/item", "--", "--zip"]) == 0
    else:
        assert {"datum": datum, "segmask": segmask}[way]([*arguments, "--", "--zip"]) == 0
    assert [path.name for path in here.joinpath("new").iterdir()] == ["out.zip"]
    ids = {item.id for item in Dataset.import_from("new/out.zip", "segmask")}
    assert ids == ({"a", "b"} if way == "python" else {"a"})


def test_a_zip_that_is_named_is_not_replaced_unasked(here: Path) -> None:
    before = (here / "other.zip").read_bytes()
    dataset = Dataset.import_from("own.zip", "segmask")
    with pytest.raises(SegmaskExportError, match="it is a file"):
        dataset.export("other.zip", "segmask", zip=True)
    arguments = ["convert", "-i", "own.zip", "-f", "segmask", "-o", "other.zip", "--", "--zip"]
    assert segmask(arguments) != 0
    assert datum(arguments) != 0
    assert (here / "other.zip").read_bytes() == before


def test_a_folder_that_is_called_as_a_zip_gets_a_zip(here: Path) -> None:
    (here / "out.zip").mkdir()
    Dataset.import_from("own.zip", "segmask").export("out.zip", "segmask", zip=True)
    assert [path.name for path in here.joinpath("out.zip").iterdir()] == ["segmask.zip"]


def test_options_are_explained_though_the_target_is_a_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        datum(["convert", "-i", "own.zip", "-f", "segmask", "-o", "own.zip", "--", "-h"])
    assert "--mask-mode" in capsys.readouterr().out


@pytest.mark.parametrize(
    "plugin", [SegmaskImporter, SegmaskExporter, CocoSegmentsExporter, YoloSegmentsExporter]
)
def test_help_shows_a_sentence_for_users(plugin: type) -> None:
    parser: argparse.ArgumentParser = plugin.build_cmdline_parser()  # type: ignore[attr-defined]
    assert parser.description
    assert parser.description.endswith(".")
    assert "``" not in parser.description
    assert "\n\n" not in parser.description


# Where an archive may lie


def a_coco_dataset(path: Path) -> None:
    item = DatasetItem("a", annotations=[Bbox(1, 1, 2, 2, label=0)], media=Image.from_numpy(PIXELS))
    Dataset.from_iterable([item], categories=["a"]).export(str(path), "coco_instances")


def put(where: Path, kind: str) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    (as_zip if kind == "zip" else as_folder)(FILES, where)


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("folders", range(4))
@pytest.mark.parametrize("beside", [False, True])
def test_detection_and_import_agree(
    kind: str, folders: int, beside: bool, tmp_path: Path, without_us: Environment
) -> None:
    """But for formats of Datumaro that know what lies beside the archive: they go first."""
    above = tmp_path.joinpath(*"xyz"[: max(0, folders - (kind == "folder"))])
    put(above / "task", kind)
    if beside:
        (tmp_path / "README.md").write_text("read me")
    theirs = without_us.detect_dataset(str(tmp_path), depth=2) if beside and folders else []
    assert len(Dataset.import_from(str(tmp_path), "segmask")) == 1
    for path in (str(tmp_path), f"{tmp_path}/"):
        assert Environment().detect_dataset(path, depth=2) in (["segmask"], theirs)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_lies_too_deep_is_neither_detected_nor_imported(kind: str, tmp_path: Path) -> None:
    put(tmp_path / "w/x/y/z/task", kind)
    (tmp_path / "README.md").write_text("read me")
    assert "segmask" not in Environment().detect_dataset(str(tmp_path), depth=2)
    with pytest.raises(ArchiveError):
        Dataset.import_from(str(tmp_path), "segmask")


def test_of_two_archives_neither_is_detected(tmp_path: Path) -> None:
    for name in ("a", "b"):
        as_folder(FILES, tmp_path / name)
    assert "segmask" not in Environment().detect_dataset(str(tmp_path), depth=2)
    with pytest.raises(ArchiveError, match="2 archives are side by side"):
        Dataset.import_from(str(tmp_path), "segmask")


def test_other_formats_go_first_if_the_archive_lies_in_their_folder(
    tmp_path: Path, without_us: Environment
) -> None:
    a_coco_dataset(tmp_path)
    as_folder(FILES, tmp_path / "masks")
    theirs = without_us.detect_dataset(str(tmp_path), depth=2)
    assert theirs
    assert Environment().detect_dataset(str(tmp_path), depth=2) == theirs


@pytest.mark.parametrize("name", ["ImageSets/Segmentation/default.txt", "labelmap.txt"])
def test_a_list_or_label_map_as_the_path(name: str, tmp_path: Path) -> None:
    root = as_folder(FILES, tmp_path / "task")
    with pytest.raises(ArchiveError) as raised:
        Dataset.import_from(str(root / name), "segmask")
    assert f"this is the file {name} of an archive" in str(raised.value)
    assert "the archive is the folder above: give the path" in str(raised.value)
    assert str(root) in str(raised.value)


# Paths


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("load", [Dataset, StreamDataset])
def test_after_chdir_all_masks_are_there(
    kind: str, load: type[Dataset], here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here / "task", kind)
    name = "task.zip" if kind == "zip" else "task"
    dataset, opened = load.import_from(name, "segmask"), SegmaskBase(name)
    monkeypatch.chdir(elsewhere)
    for items in (dataset, opened):
        assert [(len(i.annotations), i.media.data.shape) for i in items] == [(2, (1, 4, 3))]
    dataset.export("out", "segmask", save_media=True)
    assert sorted(os.listdir(elsewhere / "out/JPEGImages")) == ["a.jpg"]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_after_chdir_save_goes_to_the_archive(
    kind: str, here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here / "task", kind)
    name = "task.zip" if kind == "zip" else "task"
    dataset = Dataset.import_from(name, "segmask")
    monkeypatch.chdir(elsewhere)
    dataset.remove("a", "default")
    dataset.save()
    assert os.listdir(elsewhere) == []
    assert len(Dataset.import_from(str(here / name), "segmask")) == 0


def test_after_chdir_the_same_name_is_another_place(
    here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folder(FILES, here / "task")
    dataset = Dataset.import_from("task", "segmask")
    monkeypatch.chdir(elsewhere)
    dataset.save("task")
    assert len(Dataset.import_from(str(elsewhere / "task"), "segmask")) == 1


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments"])
@pytest.mark.parametrize("load", [Dataset, StreamDataset])
def test_after_chdir_all_of_our_other_formats_is_there(
    form: str, load: type[Dataset], here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = as_folder(FILES, here / "task")
    Dataset.import_from(str(task), "segmask").export(str(here / "set"), form, save_media=True)
    dataset = load.import_from("set", form)
    monkeypatch.chdir(elsewhere)
    assert {(len(i.annotations), i.media.data.shape) for i in dataset} == {(2, (1, 4, 3))}


def test_paths_of_other_formats_stay_as_they_are(here: Path) -> None:
    a_coco_dataset(here / "coco")
    assert Dataset.import_from("coco", "coco_instances").data_path == "coco"


@pytest.mark.parametrize("gone", [".", "SegmentationClass", "SegmentationObject", "JPEGImages"])
def test_a_root_that_is_gone_is_an_error(gone: str, tmp_path: Path) -> None:
    root = as_folder(FILES, tmp_path / "task")
    dataset, opened = Dataset.import_from(str(root), "segmask"), open_archive(root)
    (root / gone).rename(tmp_path / "away")
    with pytest.raises(DatasetImportError, match="is gone now") as raised:
        list(iter(dataset))
    assert str(root) in str(raised.value)
    with pytest.raises(MissingFileError):
        read_item(opened.storage, ClassLookup(opened.label_map), "a", 100)


def test_a_zip_that_is_gone_is_an_error_for_another_process(tmp_path: Path) -> None:
    storage = pickle.dumps(open_archive(str(as_zip(FILES, tmp_path / "task"))).storage)
    (tmp_path / "task.zip").unlink()
    with pytest.raises(MissingFileError):
        pickle.loads(storage).read("SegmentationClass/a.png")


def test_path_objects_are_taken_everywhere(here: Path) -> None:
    own, out = here / "own.zip", here / "out"
    for load in (Dataset, StreamDataset):
        assert len(list(load.import_from(own, "segmask"))) == 1
        assert len(list(load.import_from(own))) == 1
    assert len(SegmaskBase(own)) == 1
    assert list(open_archive(own).subsets) == ["default"]
    assert len(datumaro_segmask.Masks(own)) == 1
    dataset = Dataset.import_from(own, "segmask")
    dataset.save(own)
    dataset.export(out, "segmask")
    pytest.importorskip("pyarrow")
    datumaro_segmask.write_table(own, out / "table")
    datumaro_segmask.write_table([own, out], out / "two")
    assert datumaro_segmask.to_table([own]).num_rows == datumaro_segmask.to_table(own).num_rows
    datumaro_segmask.write_table(dataset, out / "of_dataset")
    table = datumaro_segmask.read_table(out / "table")
    assert table.write_archive(out / "archive") == 1
    assert table.write_archive(out / "archive.zip") == 1
    assert table.write_coco(out / "coco") == 1
    for plan in (make_plan(own), make_plan([own])):
        run_plan(plan, ParquetShards(), out / "run", overwrite=True)
    labels = as_folder(FILES, here / "task") / "labelmap.txt"
    datumaro_segmask.write_archive(out / "made", labels, list(dataset))


@pytest.mark.skipif(IS_OLD, reason="Datumaro 1.11 has no experimental datasets")
def test_load_segmask_takes_path_objects(here: Path) -> None:
    pytest.importorskip("datumaro.experimental")
    from datumaro_segmask.experimental import load_segmask

    assert len(load_segmask(here / "own.zip")) == 1


def test_a_relative_table_is_read_after_chdir(
    here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    datumaro_segmask.write_table("own.zip", "table")
    table, plan = datumaro_segmask.read_table("table"), make_plan("own.zip")
    monkeypatch.chdir(elsewhere)
    assert len(list(table)) == 1
    assert run_plan(plan, ParquetShards(), "run")["items"] == 1
