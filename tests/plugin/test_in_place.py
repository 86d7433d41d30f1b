"""Saving a dataset over its own source: nothing changes but what was changed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import Bbox, Polygon
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.exporter import ExportErrorPolicy
from datumaro.components.importer import ImportErrorPolicy
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.storage import open_storage
from datumaro_segmask.storage.layout import STAGING

from .. import processes
from ..archives import archive, as_folder, as_zip, jpeg, png, rgb

pytestmark = pytest.mark.filterwarnings("ignore:The XPathDatasetFilter class")  # of Datumaro's

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


@pytest.fixture(params=["folder", "zip"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "zip":
        return as_zip(FILES, tmp_path / "task.zip")
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


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    "options",
    [{"keep_background": True}, {"ignore_index": 255}, {"ignore_index": 255, "unknown": "keep"}],
    ids="-".join,
)
def test_masks_stay_whatever_the_import_made_of_them(
    options: dict[str, Any], zipped: bool, tmp_path: Path
) -> None:
    """Twice: what is known of a saved archive holds for the next save, too."""
    masks = {name: np.full((4, 6), 255, np.uint8) for name in "abc"}
    for mask in masks.values():
        mask[:2], mask[2] = 0, 1
    files = archive({name: png(mask) for name, mask in masks.items()})
    path = as_zip(files, tmp_path / "x.zip") if zipped else as_folder(files, tmp_path / "x")
    if "keep_background" in options:
        options = {**options, "ignore_index": 255}
    dataset = Dataset.import_from(str(path), "segmask", **options)
    for removed in ("b", "c"):
        dataset.remove(removed, "default")
        dataset.save()
    storage = open_storage(str(path))
    assert storage.read("SegmentationClass/a.png") == files["SegmentationClass/a.png"]
    assert not storage.exists("SegmentationClass/b.png")
    assert not storage.exists("SegmentationClass/c.png")


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


def test_renamed_item_keeps_its_image_and_others_their_bytes(either: Path) -> None:
    before, old = content(either), pixels(either)
    dataset = load(either)
    dataset.transform("rename", regex="|two|zwei|")
    dataset.save()
    after, new = content(either), pixels(either)
    assert after["JPEGImages/zwei.jpg"] == before["JPEGImages/two.jpg"]
    assert not [name for name in after if "two" in name]
    assert new["zwei", "train"] == old["two", "train"]
    for name in ("SegmentationClass/one.png", "SegmentationClass/sub/three.png"):
        assert after[name] == before[name]


def test_two_items_that_swap_their_names_swap_their_files(either: Path) -> None:
    before, old = content(either), pixels(either)
    dataset = load(either)
    items = {item.id: item for item in dataset}
    for item_id, other in (("one", "two"), ("two", "one")):
        dataset.put(items[other].wrap(id=item_id))
    dataset.save()
    after, new = content(either), pixels(either)
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


# Whatever holds for a folder holds for a zip

STRANGERS = {
    "README.md": b"mine",
    "Annotations/one.xml": b"<annotation/>",
    "SegmentationClass/unlisted.png": rgb("1"),
    "JPEGImages/unlisted.jpg": jpeg(2, 4),
    "ImageSets/Segmentation/empty.txt": b"",
    "SegmentationClass/notes.txt": b"mine",
}
BROKEN = {
    "SegmentationClass/broken.png": rgb("0110 0220")[:-20],
    "JPEGImages/broken.jpg": jpeg(2, 4),
}
LISTED = {"ImageSets/Segmentation/train.txt": b"one\nbroken\ntwo\n"}


class _Lenient(ImportErrorPolicy):
    def _handle_item_error(self, error: Exception) -> None:
        pass


@pytest.fixture(params=["folder", "zip", "zip in a folder", "folder in a zip"])
def mixed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive with files of others, and an item that cannot be read."""
    files = {**FILES, **STRANGERS, **BROKEN, **LISTED}
    if request.param == "folder":
        return as_folder(files, tmp_path / "task")
    if request.param == "folder in a zip":
        files = {f"my task/{name}": data for name, data in files.items()} | {"outside": b"mine"}
    path = as_zip(files, tmp_path / "given/task.zip")
    return path.parent if request.param == "zip in a folder" else path


def content(path: Path) -> dict[str, bytes]:
    """Return all files of a folder, or of the zip that it is or holds, each of which is once."""
    zips = [path] if path.is_file() else list(path.glob("*.zip"))
    if not zips:
        return files_in(path)
    with zipfile.ZipFile(zips[0]) as read:
        assert len(set(read.namelist())) == len(read.namelist())
        return {name: read.read(name) for name in read.namelist()}


def differing(path: Path, before: dict[str, bytes]) -> set[str]:
    after = content(path)
    names = before.keys() | after.keys()
    return {n.removeprefix("my task/") for n in names if before.get(n) != after.get(n)}


def lenient(path: Path) -> Dataset:
    return Dataset.import_from(str(path), "segmask", error_policy=_Lenient())


@pytest.mark.parametrize("save_media", [False, True])
def test_unchanged_dataset_changes_no_file(save_media: bool, mixed: Path) -> None:
    before = content(mixed)
    lenient(mixed).save(save_media=save_media)
    lists = "ImageSets/Segmentation/train.txt"
    assert differing(mixed, before) <= {lists}
    (text,) = (data for name, data in content(mixed).items() if name.endswith(lists))
    assert sorted(text.split()) == [b"broken", b"one", b"two"]


@pytest.mark.parametrize("save_media", [False, True])
def test_files_of_others_stay_when_an_item_is_removed(save_media: bool, mixed: Path) -> None:
    before = content(mixed)
    dataset = lenient(mixed)
    dataset.remove("two", "train")
    dataset.save(save_media=save_media)
    gone = {"JPEGImages/two.jpg", "SegmentationClass/two.png", "SegmentationObject/two.png"}
    assert differing(mixed, before) == {*gone, "ImageSets/Segmentation/train.txt"}


def test_items_that_could_not_be_read_stay_in_a_stream(mixed: Path) -> None:
    before = content(mixed)
    stream = StreamDataset.import_from(str(mixed), "segmask", error_policy=_Lenient())
    # By another path: Datumaro asks for a patch where they are alike, which no stream has.
    target = mixed.parent / ".." / mixed.parent.name / mixed.name
    stream.export(str(target), "segmask", save_media=True)
    changed = differing(mixed, before)
    assert not changed & {*STRANGERS, *BROKEN, "outside"}
    (text,) = (data for name, data in content(mixed).items() if name.endswith("train.txt"))
    assert sorted(text.split()) == [b"broken", b"one", b"two"]


@pytest.mark.parametrize("root", ["", "my task/"])
@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("transform", ["-t", "rename", "--", "-e", "|two|zwei|"]),
        ("filter", ["-e", "/item[id!='two']"]),
    ],
)
def test_files_of_others_stay_in_the_commands_of_datumaro(
    command: str, options: list[str], root: str, tmp_path: Path
) -> None:
    files = {f"{root}{name}": data for name, data in {**FILES, **STRANGERS}.items()}
    path = as_zip(files, tmp_path / "task.zip")
    before = content(path)
    args = ["--overwrite", *options[:2], f"{path}:segmask", *options[2:]]
    done = processes.command(command, *args, module="datumaro", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    changed = differing(path, before)
    assert {name for name in changed if "two" not in name and "zwei" not in name} == {
        "ImageSets/Segmentation/train.txt"
    }
    assert "SegmentationClass/two.png" in changed


def test_item_of_two_subsets_is_written_once(tmp_path: Path) -> None:
    lists = {"train": "one\n", "trainval": "one\ntwo\n", "val": "two\n"}
    masks = {"one": rgb("0110 0220"), "two": rgb("2200 2200")}
    images = {"one.jpg": jpeg(2, 4), "two.jpg": jpeg(2, 4, 99)}
    files = archive(masks, lists=lists, images=images)
    source = as_zip(files, tmp_path / "task.zip")
    dataset = load(source)
    dataset.export(str(tmp_path / "zip"), "segmask", zip=True, save_media=True)
    dataset.export(str(tmp_path / "shards"), "segmask", shard_items=2, save_media=True)
    stream = StreamDataset.import_from(str(source), "segmask")
    stream.export(str(tmp_path / "stream"), "segmask", zip=True, save_media=True)
    items = [item for item in load(source) for _ in range(2)]
    datumaro_segmask.write_archive(tmp_path / "w.zip", ["background", "car", "road"], items)
    dataset = load(source)
    dataset.put(dataset.get("one", "train").wrap(attributes={"seen": 1}))
    dataset.save(save_media=True)
    written = [source, tmp_path / "zip", tmp_path / "stream", tmp_path / "w.zip"]
    for path in written:
        assert sum(name.endswith(".png") for name in content(path)) == 2
        assert {(item.id, item.subset) for item in load(path)} == {
            ("one", "train"), ("one", "trainval"), ("two", "trainval"), ("two", "val")
        }  # fmt: skip
        for name, text in lists.items():
            assert content(path)[f"ImageSets/Segmentation/{name}.txt"] == text.encode()
    for path in (tmp_path / "shards").glob("*.zip"):
        assert len(content(path)) > 3
        assert len(load(path)) == 2  # each shard is whole in itself


def test_other_pixels_of_one_id_are_an_error_in_a_zip(tmp_path: Path) -> None:
    source = as_zip(archive({"a": rgb("01")}, lists={"train": "a", "val": "a"}), tmp_path / "a.zip")
    before = source.read_bytes()
    dataset = load(source)
    dataset.put(dataset.get("a", "val").wrap(annotations=[Bbox(0, 0, 1, 1, label=1)]))
    with pytest.raises(DatasetExportError, match="other masks or another image"):
        dataset.save()
    assert source.read_bytes() == before


# Pictures in memory, and files of elsewhere


def with_arrays(ids: str) -> Dataset:
    items = [
        DatasetItem(
            item_id,
            subset="train",
            media=Image.from_numpy(np.full((2, 4, 3), 40 * number, np.uint8), ext=".png"),
            annotations=[Bbox(0, 0, 2, 2, label=1, group=1)],
        )
        for number, item_id in enumerate(ids)
    ]
    return Dataset.from_iterable(items, categories=["background", "car"])


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("way", ["save", "export"])
def test_pictures_that_came_as_arrays_follow_their_items(
    zipped: bool, way: str, tmp_path: Path
) -> None:
    dataset, out = with_arrays("abc"), tmp_path / "out"
    dataset.export(str(out), "segmask", save_media=True, zip=zipped)
    first = content(out)
    dataset.transform("rename", regex="|b|x|")
    for _ in range(2):  # as they did before, they do again
        dataset.save(save_media=False) if way == "save" else dataset.export(
            str(out), "segmask", zip=zipped
        )
        after = content(out)
        assert after["JPEGImages/x.png"] == first["JPEGImages/b.png"]
        assert {name for name in after if name.startswith("JPEG")} == {
            "JPEGImages/a.png", "JPEGImages/c.png", "JPEGImages/x.png"
        }  # fmt: skip
    dataset.transform("rename", regex="|x|y|")
    dataset.save(save_media=False)
    assert content(out)["JPEGImages/y.png"] == first["JPEGImages/b.png"]


def test_pictures_put_into_an_imported_dataset_follow_their_items(source: Path) -> None:
    dataset = load(source)
    for item in with_arrays("ab"):
        dataset.put(item)
    dataset.save(save_media=True)
    first = content(source)
    dataset.transform("rename", regex="|^a$|x|")
    dataset.save()
    assert content(source)["JPEGImages/x.png"] == first["JPEGImages/a.png"]
    assert "JPEGImages/a.png" not in content(source)


def test_pictures_of_new_items_are_written_in_any_case(
    either: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load(either)
    dataset.put(next(iter(with_arrays("x"))))
    dataset.put(dataset.get("one", "train").wrap(id="bare", media=None))
    dataset.save()
    assert "JPEGImages/x.png" in content(either)
    assert "Left out" not in caplog.text  # nobody has asked for pictures


def test_pictures_in_files_of_elsewhere_follow_their_items(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jpg").write_bytes(jpeg(2, 4, 77))
    dataset = load(source)
    media = Image.from_file(str(tmp_path / "elsewhere.jpg"))
    dataset.put(DatasetItem("new", subset="train", media=media))
    dataset.save(save_media=True)
    dataset.transform("rename", regex="|new|newer|")
    dataset.save()
    assert content(source)["JPEGImages/newer.jpg"] == jpeg(2, 4, 77)


# What was put, and then goes


def entries_in(path: Path) -> set[tuple[str, str]]:
    return {(item.id, item.subset) for item in load(path)}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("transform", "options", "expected"),
    [
        ("rename", {"regex": "|two|zwei|"}, {("one", "train"), ("zwei", "train")}),
        ("map_subsets", {"mapping": {"train": "val"}}, {("one", "val"), ("two", "val")}),
        ("filter", {"expr": "/item[id!='two']"}, {("one", "train")}),
    ],
)
def test_item_that_was_put_and_then_went_does_not_come_back(
    cached: bool,
    transform: str,
    options: dict[str, Any],
    expected: set[tuple[str, str]],
    either: Path,
) -> None:
    dataset = load(either)
    if cached:
        dataset.init_cache()
    dataset.put(dataset.get("two", "train").wrap(attributes={"seen": True}))
    if transform == "filter":
        dataset.filter(options["expr"])
    else:
        dataset.transform(transform, **options)
    dataset.save()
    assert entries_in(either) == {*expected, ("sub/three", "val")}
    lost = {name for name in FILES if "two" in name} if transform != "map_subsets" else set()
    assert not lost & set(content(either))


def test_item_that_was_put_removed_and_saved_between_does_not_come_back(either: Path) -> None:
    dataset = load(either)
    dataset.put(dataset.get("two", "train").wrap(id="new"))
    dataset.save()
    dataset.put(dataset.get("new", "train").wrap(attributes={"seen": True}))
    dataset.filter("/item[id!='new']")
    dataset.save()
    assert ("new", "train") not in entries_in(either)


def test_items_that_others_have_added_stay(source: Path) -> None:
    dataset = load(source)
    dataset.init_cache()
    lists = source / "ImageSets/Segmentation/train.txt"
    as_folder({"SegmentationClass/theirs.png": rgb("0110 0220")}, source)
    lists.write_text(lists.read_text() + "theirs\n")
    dataset.remove("two", "train")
    dataset.save()
    assert entries_in(source) == {("one", "train"), ("sub/three", "val"), ("theirs", "train")}


def test_dataset_of_one_subset_leaves_the_others(either: Path) -> None:
    whole = SegmaskBase(str(either))
    part = Dataset.from_extractors(whole.get_subset("train"))
    part.bind(str(either), "segmask")
    part.remove("two", "train")
    part.save()
    assert entries_in(either) == {("one", "train"), ("sub/three", "val")}


def test_item_that_could_not_be_read_and_is_put_is_as_any_other(mixed: Path) -> None:
    dataset = lenient(mixed)
    dataset.put(dataset.get("one", "train").wrap(id="broken"))
    dataset.save()
    dataset.filter("/item[id!='broken']")
    dataset.save()
    assert ("broken", "train") not in entries_in(mixed)
    assert not [name for name in content(mixed) if name.endswith("broken.png")]


def test_item_that_cannot_be_written_by_its_new_name_keeps_its_files(
    either: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = content(either)
    dataset = load(either)
    item = dataset.get("two", "train")
    dataset.remove("two", "train")
    dataset.put(item.wrap(id="no file name\n"))
    seen = Counted()
    dataset.save(error_policy=seen)
    assert seen.items == [("no file name\n", "train")]
    assert differing(either, before) == {"ImageSets/Segmentation/train.txt"}
    assert "the files of 1 item that the dataset no longer has stay" in caplog.text


# Pictures of another size


@pytest.mark.parametrize("name", ["segmask", "coco_segments", "yolo_segments"])
def test_picture_of_another_size_is_an_error_of_its_item(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(40, 60))
    items = [
        DatasetItem(
            item_id,
            subset="train",
            media=Image.from_file(str(tmp_path / "a.jpg"), size=size),
            annotations=[Polygon([0, 0, 30, 0, 30, 30], label=1)],
        )
        for item_id, size in (("fits", (40, 60)), ("lies", (80, 120)), ("turned", (60, 40)))
    ]
    dataset = Dataset.from_iterable(items, categories=["background", "car"])
    with pytest.raises(DatasetExportError, match=r"'lies'.*has 60 x 40 pixels.*says 120 x 80"):
        dataset.export(str(tmp_path / "strict"), name, save_media=True)
    seen = Counted()
    dataset.export(str(tmp_path / "out"), name, save_media=True, error_policy=seen)
    assert seen.items == [("lies", "train"), ("turned", "train")]
    pictures = [path.name for path in (tmp_path / "out").rglob("*.jpg")]
    assert pictures == ["fits.jpg"]


class Counted(ExportErrorPolicy):
    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, str]] = []

    def report_item_error(self, error: Exception, *, item_id: tuple[str, str]) -> None:
        self.items.append(item_id)


@pytest.mark.parametrize("way", ["from an array", "copied"])
def test_picture_of_another_size_is_found_in_place_too(way: str, either: Path) -> None:
    before = content(either)
    dataset = load(either)
    item = dataset.get("one", "train")
    media = Image.from_numpy(np.zeros((3, 3, 3), np.uint8), ext=".jpg", size=(2, 4))
    changed = [Bbox(0, 0, 8, 8, label=1)]
    if way == "copied":
        item.media._size = (8, 8)
        item = item.wrap(annotations=changed)
    else:
        item = item.wrap(media=media)
    dataset.put(item)
    with pytest.raises(DatasetExportError, match=r"item 'one'.*pixels, and the dataset says"):
        dataset.save(save_media=True)
    assert content(either) == before
