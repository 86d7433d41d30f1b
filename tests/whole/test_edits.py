"""Any sequence of edits and saves gives what an export into an empty folder gives, pictures too.

`STEPS` in the environment asks for about as many steps as it says, instead of some 2,000.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import PIL.Image
import pytest
from datumaro.components.annotation import AnnotationType, LabelCategories, Mask, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.importer import ImportErrorPolicy
from datumaro.components.media import Image
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

import datumaro_segmask
from datumaro_segmask.storage.layout import STAGING

from ..archives import archive, as_folder, as_zip, jpeg, rgb

STEPS_A_RUN = 50
IDS = st.sampled_from(["1", "2", "3", "a/4", "a.b", "five"])
SUBSETS = st.sampled_from(["train", "val", "test_2"])
SHADES = st.integers(0, 255)
EXTENSIONS = st.sampled_from([".png", ".bmp"])  # which keep a shade as it is

FILES = archive(
    {
        "1": rgb("0110 0220"),
        "2": rgb("2200 2200"),
        "3": rgb("1111 2222"),
        "a/4": rgb("0000 0000"),
    },
    {"1": rgb("0110 0220"), "2": rgb("1100 2200")},
    lists={"train": "1\n2\n", "val": "3\na/4\n", "empty": ""},
    images={"1.jpg": jpeg(2, 4, 10), "2.png": b"", "3.jpg": jpeg(2, 4, 250)},
)
STRANGERS = {
    "README.md": b"mine",
    "Annotations/1.xml": b"<annotation/>",
    "SegmentationClass/unlisted.png": rgb("1"),
    "JPEGImages/unlisted.jpg": jpeg(2, 4, 33),
    "ImageSets/Segmentation/empty.txt": b"",
}
BROKEN = {
    "SegmentationClass/broken.png": rgb("0110 0220")[:-20],
    "SegmentationObject/broken.png": rgb("0110 0220"),
    "JPEGImages/broken.jpg": jpeg(2, 4, 44),
}
"""An item that no import can read; it is listed in ``val``."""


FORMS: dict[str, dict[str, Any]] = {
    "coco_segments": {},
    "yolo_segments": {},
    "panoptic_segments": {},
    "semantic_masks": {},
    "semantic_masks nnunet": {"layout": "nnunet"},
}
FILES_OF_USERS = {
    "coco_segments": {"annotations/mine.json": b"{}", "images/train/mine.txt": b"", "a.txt": b"a"},
    "yolo_segments": {"labels/train/mine.txt": b"0", "labels/extra/1.txt": b"0", "README": b"a"},
    "panoptic_segments": {"annotations/panoptic_train/mine.png": b"", "annotations/x.json": b"{}"},
    "semantic_masks": {"masks/train/mine.png": b"", "masks/mine/1.png": b"", "images/a.txt": b"a"},
    "semantic_masks nnunet": {"labelsTr/mine.png": b"", "imagesTr/mine_0000.png": b"", "a": b"a"},
}


class Lenient(ImportErrorPolicy):
    def _handle_item_error(self, error: Exception) -> None:
        pass


def shade_of(data: bytes) -> int | bytes:
    """Return the one shade of a picture that was made here, or the bytes of any other."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        if image.format == "JPEG":
            return data
        return int(np.asarray(image.convert("L"))[0, 0])


def gray_png(shade: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L", (4, 2), shade).save(file, "PNG")
    return file.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, without the records of exports."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".segmask-files.")
    }


class Edits(RuleBasedStateMachine):
    """``pictures``: by id the picture that an item has in memory, and whether it is a file yet."""

    items = Bundle("items")

    @initialize(zipped=st.booleans(), broken=st.booleans())
    def start(self, zipped: bool, broken: bool) -> None:
        datumaro_segmask.register()
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.top = Path(tempfile.mkdtemp(dir=base))
        self.zipped = zipped
        self.broken = broken
        self.others = {**STRANGERS, **(BROKEN if broken else {})}
        files = {**FILES, **self.others, "JPEGImages/2.png": gray_png(99)}
        if broken:
            files["ImageSets/Segmentation/val.txt"] += b"broken\n"
        self.root = self.top / "given/my task"
        if zipped:
            self.zip = as_zip(files, self.top / "zips/task.zip")
        else:
            as_folder(files, self.root)
        self.pictures: dict[str, tuple[int | bytes, bool]] = {
            name.removeprefix("JPEGImages/").rpartition(".")[0]: (shade_of(data), True)
            for name, data in files.items()
            if name.startswith("JPEGImages/") and name not in self.others
        }
        self.on_disk = dict(self.pictures)
        self.open({}, "root")

    def open(self, options: dict[str, Any], way: str) -> None:
        path = self.root
        if self.zipped:
            path = self.zip.parent if way == "parent" else self.zip
        elif way == "parent":
            path = self.top / "given"
        elif way == "link" and sys.platform != "win32":
            path = self.top / "link"
            if not path.is_symlink():
                path.symlink_to(self.root)
        self.dataset = self.load(path, **options)

    def load(self, path: Path, **options: Any) -> Dataset:
        # With a policy Datumaro reads all at once, without one when it is asked.
        policy = Lenient() if self.broken else None
        return Dataset.import_from(str(path), "segmask", error_policy=policy, **options)

    # What can be done to the items

    def any_item(self, data: st.DataObject) -> DatasetItem | None:
        items = sorted(self.dataset, key=lambda item: item.id)
        return data.draw(st.sampled_from(items)) if items else None

    def ids(self) -> set[str]:
        return {item.id for item in self.dataset}

    def labels(self) -> LabelCategories:
        labels: LabelCategories = self.dataset.categories()[AnnotationType.label]
        return labels

    @rule(item_id=IDS, subset=SUBSETS, shade=SHADES, ext=EXTENSIONS, kind=st.integers(0, 3))
    def put(self, item_id: str, subset: str, shade: int, ext: str, kind: int) -> None:
        """A new item, or another one in the place of an old one."""
        for item in list(self.dataset):
            if item.id == item_id:
                self.dataset.remove(item.id, item.subset)
        media = None
        self.pictures.pop(item_id, None)
        if kind % 2:
            media = Image.from_numpy(np.full((2, 4, 3), shade, np.uint8), ext=ext)
            self.pictures[item_id] = shade, False
        pixels = np.zeros((2, 4), np.uint8)
        pixels[:, : shade % 4] = 1
        masks = [Mask(pixels, label=shade % len(self.labels()), group=shade % 3)]
        self.dataset.put(
            DatasetItem(item_id, subset=subset, media=media, annotations=masks * (kind > 1))
        )

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if item := self.any_item(data):
            self.dataset.remove(item.id, item.subset)
            self.pictures.pop(item.id, None)

    @rule(data=st.data(), item_id=IDS)
    def rename(self, data: st.DataObject, item_id: str) -> None:
        item = self.any_item(data)
        if item and item_id not in self.ids():
            self.dataset.remove(item.id, item.subset)
            self.dataset.put(item.wrap(id=item_id))
            if item.id in self.pictures:
                self.pictures[item_id] = self.pictures.pop(item.id)

    @rule(data=st.data())
    def swap(self, data: st.DataObject) -> None:
        first, second = self.any_item(data), self.any_item(data)
        if first and second and first.id != second.id:
            self.dataset.remove(first.id, first.subset)
            self.dataset.remove(second.id, second.subset)
            self.dataset.put(first.wrap(id=second.id))
            self.dataset.put(second.wrap(id=first.id))
            mine, theirs = (self.pictures.pop(i.id, None) for i in (first, second))
            for item_id, picture in ((second.id, mine), (first.id, theirs)):
                if picture is not None:
                    self.pictures[item_id] = picture

    @rule(data=st.data(), subset=SUBSETS)
    def move(self, data: st.DataObject, subset: str) -> None:
        if item := self.any_item(data):
            self.dataset.remove(item.id, item.subset)
            self.dataset.put(item.wrap(subset=subset))

    @rule(data=st.data(), inside=st.booleans())
    def relabel(self, data: st.DataObject, inside: bool) -> None:
        """Through Datumaro, or in the annotation itself, of which Datumaro learns nothing."""
        item = self.any_item(data)
        if item and item.annotations:
            label = data.draw(st.integers(0, len(self.labels()) - 1))
            if inside:
                item.annotations[0].label = label
            else:
                changed = [item.annotations[0].wrap(label=label), *item.annotations[1:]]
                self.dataset.put(item.wrap(annotations=changed))

    @rule(names=st.permutations(["car", "road", "tree"]))
    def rename_labels(self, names: list[str]) -> None:
        if not list(self.dataset):  # Datumaro forgets the labels of a dataset without items
            return
        old = [label.name for label in self.labels() if label.name != "background"]
        mapping = dict(zip(old, names, strict=False))
        self.dataset.transform("remap_labels", mapping=mapping, default="keep")
        self.dataset.init_cache()

    @rule(data=st.data(), shade=SHADES, ext=EXTENSIONS)
    def replace_picture(self, data: st.DataObject, shade: int, ext: str) -> None:
        if item := self.any_item(data):
            media = Image.from_numpy(np.full((2, 4, 3), shade, np.uint8), ext=ext)
            self.dataset.put(item.wrap(media=media))
            self.pictures[item.id] = shade, False

    @rule(data=st.data(), shade=SHADES)
    def replace_picture_by_a_file(self, data: st.DataObject, shade: int) -> None:
        if item := self.any_item(data):
            path = self.top / f"{shade}.png"
            path.write_bytes(gray_png(shade))
            self.dataset.put(item.wrap(media=Image.from_file(str(path))))
            self.pictures[item.id] = shade, False

    @rule(data=st.data())
    def drop_picture(self, data: st.DataObject) -> None:
        item = self.any_item(data)
        if item and not any(isinstance(a, Polygon) for a in item.annotations):
            self.dataset.put(item.wrap(media=None))
            self.pictures.pop(item.id, None)

    # Saving

    @rule(save_media=st.booleans(), mode=st.sampled_from(["color", "palette", "index"]))
    def save(self, save_media: bool, mode: str) -> None:
        # Saved in place an archive is whole in itself: what is in memory goes there in any case.
        written = {item_id: (picture, True) for item_id, (picture, _) in self.pictures.items()}
        expected = self.exported(self.top / "model", list(self.dataset))
        self.dataset.save(save_media=save_media, mask_mode=mode)
        self.on_disk = written
        self.pictures.update(written)  # from now on they are files, and follow their items
        self.compare(expected)

    def exported(self, folder: Path, items: list[DatasetItem]) -> dict[Any, Any]:
        copy = Dataset.from_iterable(items, categories=self.dataset.categories())
        copy.export(str(folder), "segmask")
        found = self.content(folder)
        shutil.rmtree(folder)
        return found

    def content(self, path: Path) -> dict[Any, Any]:
        dataset = self.load(path)
        labels = dataset.categories()[AnnotationType.label]
        return {
            (item.id, item.subset): sorted(
                (labels[mask.label].name, mask.group, mask.rle["counts"])
                for mask in item.annotations
            )
            for item in dataset
        }

    def compare(self, expected: dict[Any, Any]) -> None:
        assert self.content(self.zip if self.zipped else self.root) == expected
        assert self.pictures_there() == {i: picture for i, (picture, _) in self.on_disk.items()}

    def files_there(self) -> dict[str, bytes]:
        if self.zipped:
            with zipfile.ZipFile(self.zip) as archive:
                assert len(set(archive.namelist())) == len(archive.namelist())
                return {name: archive.read(name) for name in archive.namelist()}
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file()
        }

    def pictures_there(self) -> dict[str, int | bytes]:
        found: dict[str, int | bytes] = {}
        for name, data in self.files_there().items():
            assert STAGING not in name
            if name.startswith("JPEGImages/") and name not in self.others:
                item_id = name.removeprefix("JPEGImages/").rpartition(".")[0]
                assert item_id not in found, f"{item_id} has two pictures"
                found[item_id] = shade_of(data)
        return found

    @rule(
        way=st.sampled_from(["root", "link", "parent"]),
        options=st.sampled_from([{}, {}, {"instances": "components"}, {"annotation": "polygon"}]),
    )
    def save_and_open(self, way: str, options: dict[str, Any]) -> None:
        self.save(save_media=True, mode="color")
        self.pictures = dict(self.on_disk)
        self.open(options, way)

    @rule(
        data=st.data(),
        way=st.sampled_from(["rename", "map_subsets", "filter"]),
        item_id=IDS,
        subset=SUBSETS,
        reopen=st.booleans(),
    )
    def put_and_transform(
        self, data: st.DataObject, way: str, item_id: str, subset: str, reopen: bool
    ) -> None:
        """An item that was put before the dataset was read is renamed, moved or filtered out."""
        item = self.any_item(data)
        if item is None:
            return
        if reopen:
            self.save_and_open("root", {})
            item = self.dataset.get(item.id, item.subset)
        self.dataset.put(item.wrap(attributes={"seen": True}))
        if way == "rename" and item_id not in self.ids():
            self.dataset.transform("rename", regex=f"|^{re.escape(item.id)}$|{item_id}|")
            if item.id in self.pictures:
                self.pictures[item_id] = self.pictures.pop(item.id)
        elif way == "map_subsets":
            self.dataset.transform("map_subsets", mapping={item.subset: subset})
        elif way == "filter" and len(self.ids()) > 1:  # Datumaro loses the labels with the last
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of Datumaro's own filter
                self.dataset.filter(f"/item[id!='{item.id}']")
                self.dataset.init_cache()
            self.pictures.pop(item.id, None)

    @rule(
        item_id=IDS,
        subset=SUBSETS,
        shade=SHADES,
        ext=EXTENSIONS,
        with_masks=st.booleans(),
        save_media=st.booleans(),
    )
    def put_a_picture_and_save(
        self,
        item_id: str,
        subset: str,
        shade: int,
        ext: str,
        with_masks: bool,
        save_media: bool,
    ) -> None:
        """Left to chance, a picture in memory hardly ever meets a save before it is changed."""
        self.put(item_id, subset, shade, ext, 3 if with_masks else 1)
        self.save(save_media, "color")

    # Other exports

    def fresh_export(self, form: str, save_media: bool) -> tuple[Any, dict[str, bytes] | None]:
        """Return what exports the dataset, and the files of an empty folder; None if it fails."""
        name, fresh = form.split()[0], self.top / "fresh"
        copy = Dataset.from_iterable(list(self.dataset), categories=self.dataset.categories())
        export = partial(copy.export, format=name, save_media=save_media, **FORMS[form])
        try:
            export(str(fresh))
        except DatasetExportError:
            found = None
        else:
            here, there = str(self.top / form).encode(), str(fresh).encode()  # as data.yaml has it
            found = {n: data.replace(there, here) for n, data in files_below(fresh).items()}
        shutil.rmtree(fresh, ignore_errors=True)
        return export, found

    @rule(form=st.sampled_from([*FORMS]), save_media=st.booleans())
    def export_again(self, form: str, save_media: bool) -> None:
        """Over its own earlier export, with files of the user in it, as into an empty folder."""
        out, mine = self.top / form, FILES_OF_USERS[form]
        before = files_below(out)
        export, expected = self.fresh_export(form, save_media)
        if expected is None:
            with pytest.raises(DatasetExportError):
                export(str(out))
            assert files_below(out) == before
            return
        export(str(out))
        pictures = {} if save_media else {n: d for n, d in before.items() if n.startswith("images")}
        found = files_below(out)
        users = {name: found.pop(name) for name in mine if name in found}
        assert users == (mine if before else {})
        for name in pictures:  # without `save_media` those of items that stay do
            if name not in expected and name not in mine:
                assert found.pop(name, pictures[name]) == pictures[name]
        assert found == expected
        as_folder(mine, out)

    @rule(data=st.data(), form=st.sampled_from([*FORMS]), edited=st.booleans())
    def export_over_a_file_of_the_user(self, data: st.DataObject, form: str, edited: bool) -> None:
        """One that is called as one of the export, or one of the export that was changed since."""
        export, expected = self.fresh_export(form, True)
        out = self.top / "of the user"
        if not expected:
            return
        if edited:
            export(str(out))
        name = data.draw(st.sampled_from(sorted(expected)))
        as_folder({name: b"mine"}, out)
        before = files_below(out)
        with pytest.raises(DatasetExportError, match="files are in the way"):
            export(str(out))
        assert files_below(out) == before
        shutil.rmtree(out)

    @rule(written=st.booleans())
    def table(self, written: bool) -> None:
        """The archive as it lies there becomes a table, and an archive again."""
        path = self.zip if self.zipped else self.root
        if self.broken or not self.content(path):  # of no item there is no table to read
            return
        source: Any = datumaro_segmask.to_table(str(path))
        if written:
            datumaro_segmask.write_table(str(path), str(self.top / "table"), shard_items=2)
            source = str(self.top / "table")
        again = self.top / "again.zip"
        datumaro_segmask.read_table(source).write_archive(str(again))
        assert self.content(again) == self.content(path)
        again.unlink()
        shutil.rmtree(self.top / "table", ignore_errors=True)

    @invariant()
    def files_of_others_stay(self) -> None:
        if hasattr(self, "on_disk"):
            files = self.files_there()
            assert {name: files.get(name) for name in self.others} == self.others
            if self.broken:
                assert b"broken" in files["ImageSets/Segmentation/val.txt"].split()

    @invariant()
    def nothing_is_lost_between_saves(self) -> None:
        if hasattr(self, "on_disk"):
            assert self.pictures_there() == {i: picture for i, (picture, _) in self.on_disk.items()}

    def teardown(self) -> None:
        if hasattr(self, "top"):
            shutil.rmtree(self.top)


TestEdits = Edits.TestCase
TestEdits.settings = settings(
    max_examples=max(1, int(os.environ.get("STEPS", "2000")) // STEPS_A_RUN),
    stateful_step_count=STEPS_A_RUN,
    derandomize="STEPS" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
