"""Saving in place, overwriting and exporting twice: what once lost or mixed people's files."""

from __future__ import annotations

import errno
import gc
import os
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import Bbox
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError, DatasetImportError
from datumaro.components.exporter import ExportErrorPolicy
from datumaro.components.importer import ImportErrorPolicy
from datumaro.components.media import Image

from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.formats import archive as archive_format
from datumaro_segmask.storage import write
from datumaro_segmask.storage.layout import STAGING
from datumaro_segmask.storage.write import FolderSink, SubsetLists, ZipSink

from ..archives import archive, as_folder, as_zip, jpeg, rgb

pytestmark = pytest.mark.usefixtures("registered")

IDS = ["1", "2", "3", "4"]
PICTURES = {item_id: jpeg(2, 4, shade=50 * int(item_id)) for item_id in IDS}
FILES = archive(
    {item_id: rgb("0110 0220") for item_id in IDS},
    {item_id: rgb("0110 0220") for item_id in IDS},
    lists={"train": "1\n2\n3\n4\n"},
    images={f"{item_id}.jpg": data for item_id, data in PICTURES.items()},
)
NEEDS_LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return as_folder(FILES, tmp_path / "task")


def load(path: Path, **options: Any) -> Dataset:
    return Dataset.import_from(str(path), "segmask", **options)


def pictures(root: Path) -> dict[str, bytes]:
    folder = root / "JPEGImages"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def rename(dataset: Dataset, *pairs: tuple[str, str]) -> None:
    """Rename items at once, so that they may swap their ids."""
    items = {old: dataset.get(old, "train") for old, _ in pairs}
    for old, _ in pairs:
        dataset.remove(old, "train")
    for old, new in pairs:
        dataset.put(items[old].wrap(id=new))


# 1, pictures follow their items


def test_renamed_and_saved_twice(source: Path) -> None:
    dataset = load(source)
    for old, new in (("1", "x"), ("x", "y"), ("y", "z")):
        rename(dataset, (old, new))
        dataset.save()
    assert pictures(source)["z.jpg"] == PICTURES["1"]
    assert len(pictures(source)) == 4


def test_swapped_saved_edited_and_saved(source: Path) -> None:
    dataset = load(source)
    rename(dataset, ("1", "2"), ("2", "1"))
    dataset.save()
    dataset.put(dataset.get("1", "train").wrap(annotations=[Bbox(0, 0, 2, 2, label=1)]))
    dataset.save()
    found = pictures(source)
    assert (found["1.jpg"], found["2.jpg"]) == (PICTURES["2"], PICTURES["1"])


def test_chain_saved_twice(source: Path) -> None:
    dataset = load(source)
    for _ in range(2):
        rename(dataset, ("1", "2"), ("2", "3"), ("3", "4"), ("4", "1"))
        dataset.save()
    assert pictures(source) == {
        f"{new}.jpg": PICTURES[old] for old, new in zip("1234", "3412", strict=True)
    }


@pytest.mark.parametrize("save_media", [False, True])
def test_item_without_a_picture_swapped_and_back(save_media: bool, source: Path) -> None:
    """The picture that lay at its id in between goes; else it would be read as its own."""
    (source / "JPEGImages/4.jpg").unlink()
    dataset = load(source)
    for there in ("1", "2", "3"):
        for _ in range(2):
            rename(dataset, (there, "4"), ("4", there))
            dataset.save(save_media=save_media)
        assert pictures(source) == {f"{i}.jpg": PICTURES[i] for i in "123"}


# 2, one dataset by many paths


@NEEDS_LINKS
@pytest.mark.parametrize("way", ["link to real", "real to link", "parent to root"])
def test_in_place_by_whatever_path(way: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    given = {"link to real": tmp_path / "link", "real to link": source}.get(way, tmp_path)
    target = tmp_path / "link" if way == "real to link" else source
    if way == "parent to root":
        (tmp_path / "link").unlink()
    dataset = load(given)
    rename(dataset, ("1", "x"))
    dataset.export(str(target), "segmask")
    assert pictures(source) == {
        "x.jpg": PICTURES["1"], **{f"{i}.jpg": PICTURES[i] for i in IDS[1:]}
    }  # fmt: skip
    assert not (source / "SegmentationClass/1.png").exists()


# 3, what cannot move is found out before anything does


def test_folder_in_the_way_of_a_list(source: Path) -> None:
    (source / "ImageSets/Segmentation/val.txt").mkdir()
    dataset = load(source)
    dataset.put(DatasetItem("new", subset="val"))
    dataset.remove("1", "train")
    with pytest.raises(DatasetExportError, match=r"a folder is in the way"):
        dataset.save()
    assert pictures(source) == {f"{i}.jpg": PICTURES[i] for i in IDS}
    (source / "ImageSets/Segmentation/val.txt").rename(source / "ImageSets/Segmentation/x.txt")
    dataset.save()  # a folder that is in nobody's way is no list
    assert "1.jpg" not in pictures(source)


@pytest.mark.parametrize(
    ("patch", "says"),
    [("stat", "is on another disk"), ("access", "permission denied"), ("rename", "cross-device")],
)
def test_picture_folder_that_takes_no_files(
    patch: str, says: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another disk, read-only, or a mount that shows only when a file is to move there."""
    real: Any = getattr(os, patch)

    folder = str(source / "JPEGImages")

    def is_there(path: Any, descriptor: int | None) -> bool:
        if descriptor is None:
            return str(path).startswith(folder)
        return os.path.samestat(os.fstat(descriptor), os.lstat(folder))

    def fails(path: Any, *args: Any, **options: Any) -> Any:
        inside = is_there(path, options.get("src_dir_fd"))
        if inside == (patch == "rename" and is_there(args[0], options.get("dst_dir_fd"))):
            return real(path, *args, **options)
        if patch == "stat":
            status = list(real(path, *args, **options))
            status[2] += 1  # the device
            return os.stat_result(status)
        if patch == "access":
            return False
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    dataset = load(source)
    rename(dataset, ("1", "x"), ("2", "1"))
    with monkeypatch.context() as patched:
        patched.setattr(os, patch, fails)
        with pytest.raises((DatasetExportError, OSError), match=says):
            dataset.save()
    assert pictures(source) == {f"{i}.jpg": PICTURES[i] for i in IDS}
    assert [path.name for path in source.iterdir() if path.name.startswith(STAGING)] == []
    dataset.save()
    assert pictures(source)["1.jpg"] == PICTURES["2"]


# 5, one writer at a time


@pytest.mark.parametrize("make", [FolderSink, lambda path: ZipSink(f"{path}/task.zip")])
def test_second_writer_is_told_of_the_first(make: Any, tmp_path: Path) -> None:
    first = make(str(tmp_path))
    with pytest.raises(SegmaskExportError, match=rf"process {os.getpid()} on ") as caught:
        make(str(tmp_path))
    assert "wait until it has ended" in caught.value.remedy
    first.abandon()
    assert list(tmp_path.iterdir()) == []
    make(str(tmp_path)).abandon()


def test_folder_that_was_made_in_vain_goes(tmp_path: Path) -> None:
    sink = FolderSink(str(tmp_path / "new"))
    sink.put("a/b", b"")
    sink.abandon()
    assert list(tmp_path.iterdir()) == []


def test_discarded_file_that_is_put_as_well_is_the_new_one(tmp_path: Path) -> None:
    as_folder({"a": b"old", "b": b"old"}, tmp_path)
    sink = FolderSink(str(tmp_path))
    sink.discard("a")
    sink.discard("b")
    sink.put("a", b"new")
    sink.finish()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new"}


@pytest.mark.parametrize("writers", [2, 4, 8])
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_many_writers(writers: int, zipped: bool, tmp_path: Path) -> None:
    """At least one wins; what is there is the whole of one of them."""
    datasets = []
    for number in range(writers):
        files = archive({f"{number}-{i}": rgb("0110") for i in range(5)})
        dataset = load(as_folder(files, tmp_path / f"in{number}"))
        dataset.init_cache()
        datasets.append(dataset)
    out = tmp_path / "out"
    out.mkdir()
    errors: list[BaseException] = []
    ready = threading.Barrier(writers)

    def write(dataset: Dataset) -> None:
        ready.wait()
        try:
            dataset.export(str(out), "segmask", zip=zipped)
        except SegmaskExportError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(dataset,)) for dataset in datasets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) < writers
    assert all("another export is writing there" in str(error) for error in errors)
    ids = {item.id for item in load(out)}
    assert len({item_id.partition("-")[0] for item_id in ids}) == 1
    assert len(ids) == 5
    assert not [path for path in out.iterdir() if path.name.startswith(STAGING)]


# 7, one id in two subsets


def test_same_id_in_two_subsets_one_edited(tmp_path: Path) -> None:
    files = archive({"a": rgb("0110")}, lists={"train": "a\n", "val": "a\n"})
    source = as_folder(files, tmp_path / "task")
    dataset = load(source)
    dataset.put(dataset.get("a", "val").wrap(annotations=[Bbox(0, 0, 1, 1, label=1)]))
    with pytest.raises(DatasetExportError, match="other masks or another image"):
        dataset.save()
    assert (source / "SegmentationClass/a.png").read_bytes() == files["SegmentationClass/a.png"]


def test_same_id_and_masks_with_other_pictures(tmp_path: Path) -> None:
    items = [
        DatasetItem("a", subset=subset, media=Image.from_numpy(np.full((2, 4, 3), shade, np.uint8)),
                    annotations=[Bbox(0, 0, 2, 2, label=0)])
        for subset, shade in (("train", 10), ("val", 200))
    ]  # fmt: skip
    dataset = Dataset.from_iterable(items, categories=["car"])
    with pytest.raises(DatasetExportError, match="other masks or another image"):
        dataset.export(str(tmp_path / "out"), "segmask", save_media=True)
    dataset.export(str(tmp_path / "out"), "segmask")  # without the pictures they are alike


def test_ids_that_look_the_same_are_found_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = as_folder(archive({"a": rgb("0110"), "b": rgb("0110")}), tmp_path / "task")
    dataset = load(source)
    item = dataset.get("b", "default")
    dataset.remove("b", "default")
    dataset.put(item.wrap(id="A"))
    with monkeypatch.context() as patched:
        patched.setattr(archive_format, "FOLDS_CASE", True)
        with pytest.raises(DatasetExportError, match="looks the same"):
            dataset.save()
    assert (source / "SegmentationClass/b.png").exists()
    if not archive_format.FOLDS_CASE:
        dataset.save()
        assert "looks the same" in caplog.text


# 8 and 9, pictures that come and go


def test_pictures_in_memory_are_saved(tmp_path: Path) -> None:
    source = as_folder(archive({"a": rgb("0110 0220")}), tmp_path / "task")
    dataset = load(source)
    shade = Image.from_numpy(np.full((2, 4, 3), 90, np.uint8))
    dataset.put(dataset.get("a", "default").wrap(media=shade))
    dataset.put(DatasetItem("bare", subset="default", media=shade))
    dataset.save(save_media=True)
    assert set(pictures(source)) == {"a.jpg", "bare.jpg"}


def test_picture_of_another_extension_takes_the_place_of_the_old(source: Path) -> None:
    dataset = load(source)
    shade = Image.from_numpy(np.full((2, 4, 3), 90, np.uint8), ext=".png")
    dataset.put(dataset.get("1", "train").wrap(media=shade))
    dataset.save()  # with or without save_media: the old one must have a successor
    assert "1.png" in pictures(source)
    assert "1.jpg" not in pictures(source)
    assert (load(source).get("1", "train").media.data == 90).all()


def test_item_that_is_new_gets_no_picture_of_one_that_went(source: Path) -> None:
    dataset = load(source)
    dataset.remove("1", "train")
    dataset.put(DatasetItem("1", subset="train"))
    dataset.save()
    assert "1.jpg" not in pictures(source)


def test_picture_that_came_after_the_import_stays(tmp_path: Path) -> None:
    source = as_folder(archive({"a": rgb("0110 0220")}), tmp_path / "task")
    dataset = load(source)
    dataset.put(dataset.get("a", "default").wrap(attributes={"seen": True}))
    as_folder({"JPEGImages/a.jpg": PICTURES["1"]}, source)
    dataset.save()
    assert pictures(source) == {"a.jpg": PICTURES["1"]}


def test_export_over_pictures_of_another_size(source: Path, tmp_path: Path) -> None:
    other = as_folder(archive({"1": rgb("000 111 222")}), tmp_path / "other")
    before = pictures(source)
    is_there = "image of another dataset is there, of 4 x 2"
    for save_media in (False, True):  # the other one has no image to write
        with pytest.raises(DatasetExportError, match=is_there):
            load(other).export(str(source), "segmask", save_media=save_media)
        assert pictures(source) == before
    big = Image.from_numpy(np.zeros((3, 3, 3), np.uint8), ext=".png")
    dataset = load(other)
    dataset.put(dataset.get("1", "default").wrap(media=big))
    dataset.export(str(source), "segmask", save_media=True)
    assert [path.name for path in (source / "JPEGImages").glob("1.*")] == ["1.png"]
    assert load(source).get("1", "default").media.size == (3, 3)


def test_export_over_pictures_that_fit_keeps_them(source: Path, tmp_path: Path) -> None:
    other = as_folder(archive({"1": rgb("0000 1111")}), tmp_path / "other")
    before = pictures(source)
    load(other).export(str(source), "segmask")
    assert pictures(source) == before


# 10, zips


def test_zip_over_itself_keeps_its_pictures(tmp_path: Path) -> None:
    path = as_zip(FILES, tmp_path / "out/segmask.zip")
    load(path).export(str(tmp_path / "out"), "segmask", zip=True)
    with zipfile.ZipFile(path) as written:
        assert written.read("JPEGImages/1.jpg") == PICTURES["1"]


def test_dataset_of_a_zip_is_saved_there_again_and_again(tmp_path: Path) -> None:
    path = as_zip(FILES, tmp_path / "task.zip")
    dataset = load(path)
    for old, new in (("1", "x"), ("x", "y")):
        rename(dataset, (old, new))
        dataset.save()
        assert (dataset.get(new, "train").media.data is not None) is True
    with zipfile.ZipFile(path) as written:
        assert written.read("JPEGImages/y.jpg") == PICTURES["1"]
        assert "JPEGImages/1.jpg" not in written.namelist()
    assert [file.name for file in tmp_path.iterdir()] == ["task.zip"]


# 11, what was asked of the import is written


@pytest.mark.parametrize("options", [{"instances": "components"}, {"annotation": "polygon"}])
def test_import_options_are_written(options: dict[str, str], tmp_path: Path) -> None:
    source = as_folder(archive({"a": rgb("1010 0000")}), tmp_path / "task")
    expected = len(load(source, **options).get("a", "default").annotations)
    load(source, **options).save()
    found = load(source).get("a", "default").annotations
    assert (source / "SegmentationObject/a.png").exists()
    if options == {"instances": "components"}:
        assert len(found) == expected == 2


def test_change_inside_of_an_item_is_written(source: Path) -> None:
    dataset = load(source)
    dataset.init_cache()
    del dataset.get("1", "train").annotations[0]
    dataset.save()
    assert len(load(source).get("1", "train").annotations) == 1


# 12, links in the target


@NEEDS_LINKS
def test_links_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    for name in (f"{STAGING}folder.writer", "labelmap.txt", "segmask.zip"):
        (out / name).symlink_to(tmp_path / "victim")
    source = load(as_folder(archive({"a": rgb("0110")}), tmp_path / "task"))
    source.export(str(out), "segmask")
    source.export(str(out), "segmask", zip=True)
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (out / "labelmap.txt").is_symlink()


# 14, what the dataset does not have


class _Lenient(ImportErrorPolicy):
    def _handle_item_error(self, error: Exception) -> None:
        pass


def test_items_that_were_not_read_stay_in_their_lists(source: Path) -> None:
    (source / "SegmentationClass/2.png").write_bytes(b"broken")
    (source / "ImageSets/Segmentation/empty.txt").write_text("")
    dataset = load(source, error_policy=_Lenient())
    rename(dataset, ("1", "x"))
    dataset.save()
    lists = source / "ImageSets/Segmentation"
    assert sorted((lists / "train.txt").read_text().split()) == ["2", "3", "4", "x"]
    assert (lists / "empty.txt").read_text() == ""
    assert (source / "SegmentationClass/2.png").read_bytes() == b"broken"
    assert pictures(source)["2.jpg"] == PICTURES["2"]


class _LenientExport(ExportErrorPolicy):
    def _handle_item_error(self, error: Exception) -> None:
        pass


def test_items_that_were_not_read_keep_their_masks_with_a_warning(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (source / "SegmentationClass/2.png").write_bytes(b"broken")
    dataset = load(source, error_policy=_Lenient())
    dataset.save(mask_mode="index")
    assert "of 1 item that the dataset does not have" in caplog.text
    assert (source / "SegmentationClass/2.png").read_bytes() == b"broken"


def test_item_that_cannot_be_saved_stays_as_it_was(source: Path) -> None:
    dataset = load(source)
    bare = DatasetItem("1", subset="train", annotations=[Bbox(0, 0, 1, 1, label=1)])  # no size
    dataset.put(bare)
    dataset.put(bare.wrap(id="new"))
    dataset.save(error_policy=_LenientExport())
    assert (source / "ImageSets/Segmentation/train.txt").read_text() == "1\n2\n3\n4\n"
    for name in ("SegmentationClass/1.png", "SegmentationObject/1.png", "JPEGImages/1.jpg"):
        assert (source / name).read_bytes() == FILES[name]


def test_table_of_classes_among_the_lists_stays(source: Path) -> None:
    as_folder({"ImageSets/Segmentation/class.txt": b"car\t1\nroad\t2\n"}, source)
    dataset = load(source)
    rename(dataset, ("1", "x"))
    dataset.save()
    assert (source / "ImageSets/Segmentation/class.txt").read_bytes() == b"car\t1\nroad\t2\n"
    dataset.export(str(source), "segmask")
    assert (source / "ImageSets/Segmentation/class.txt").exists()


def test_second_dataset_of_a_folder_that_has_changed(source: Path) -> None:
    first, second = load(source), load(source)
    rename(first, ("1", "x"))
    first.save()
    with pytest.raises(DatasetExportError, match="has changed the folder"):
        second.save()
    assert pictures(source)["x.jpg"] == PICTURES["1"]
    assert len(load(source).get("x", "train").annotations) == 2


# 15 and 16


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit of the system")
def test_many_subsets_need_few_open_files() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 20, hard))
    try:
        lists = SubsetLists()
        for number in range(300):
            lists.add(f"s{number}", str(number))
        found = {name: list(lines) for name, lines in lists.texts().items()}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == {f"ImageSets/Segmentation/s{n}.txt": [str(n)] for n in range(300)}


def test_lists_go_to_the_disk_while_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_BUFFERED", 10)
    lists = SubsetLists()
    for number in range(25):
        lists.add("s", str(number))
    waiting = sum(map(len, lists._lines.values()))
    assert waiting == 5
    assert list(lists.texts()["ImageSets/Segmentation/s.txt"]) == [str(n) for n in range(25)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by /proc")
def test_no_file_stays_open(source: Path, tmp_path: Path) -> None:
    dataset = load(source)
    dataset.init_cache()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    dataset.export(str(tmp_path / "out"), "segmask", save_media=True)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.skipif(sys.platform == "win32", reason="a file there has a name for as long as it is")
def test_a_killed_export_leaves_nothing_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lists = SubsetLists()
    lists.add("s", "a")
    assert list(lists.texts()["ImageSets/Segmentation/s.txt"]) == ["a"]  # it is on the disk
    assert os.listdir(tmp_path) == []


def test_only_what_was_written_is_flushed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    if hasattr(os, "sync"):
        monkeypatch.setattr(os, "sync", lambda: pytest.fail("the disks of the whole machine"))
    load(source).export(str(tmp_path / "out"), "segmask", save_media=True)
    assert len(flushed) >= 12 + 2  # masks and pictures, list and label map


def test_import_of_a_folder_that_an_export_is_moving_into(source: Path) -> None:
    as_folder({f"{STAGING}x/journal": b""}, source)
    with pytest.raises(DatasetImportError):
        load(source)


def test_a_zip_that_was_saved_has_no_changes_left(tmp_path: Path) -> None:
    dataset = load(as_zip(archive({"a": rgb("0110"), "b": rgb("0110")}), tmp_path / "task.zip"))
    dataset.remove("b", "default")
    assert dataset.is_modified
    dataset.save()
    assert not dataset.is_modified
