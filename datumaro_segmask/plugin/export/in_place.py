"""An export over its own source: whether it is one, what was there, and where pictures lie.

All of it goes by real paths: a dataset may be called by a link, by a folder above it or by the
zip that it lies in, and is the same one. Source: docs/format.md, section 5.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import CategoriesInfo, DatasetItem, IDataset
from datumaro.components.media import Image, ImageFromFile, MediaElement

from ...archive import (
    LabelMap,
    Reader,
    find_lists,
    has_masks,
    read_image_head,
    read_label_map,
    shared_colors,
    unlisted_items,
)
from ...errors import SegmaskExportError, SegmaskImportError
from ...formats import WITHOUT_IMAGE, put_image
from ...regions import Instance
from ...storage import (
    Aside,
    FolderSink,
    FolderStorage,
    Sink,
    Storage,
    ZipStorage,
    archive_roots,
    at,
    is_inside,
    layout,
    open_storage,
)
from ..annotations import to_instance
from ..host import known_archive, names_zip
from ..importer import NAME
from ..labels import make_categories
from ..media import (
    MissingImage,
    StoredImage,
    check_size,
    image_data,
    image_in_file,
    place_of,
    size_of,
)

ZIP_NAME = f"{NAME}.zip"


@dataclass(frozen=True)
class ArchivePlace:
    """Where an archive lies: the real path of its root folder, or of its zip."""

    path: str
    is_zip: bool


def place_of_archive(path: str) -> ArchivePlace | None:
    """Return where the archive at ``path`` lies, as an import finds it; None if there is none."""
    roots = archive_roots(path)
    if len(roots) != 1:
        return None
    return ArchivePlace(os.path.realpath(roots[0]), os.path.isfile(roots[0]))


@dataclass(frozen=True)
class ExportTarget:
    """Where an export goes to, and whether the dataset was imported from there."""

    place: ArchivePlace
    in_place: bool


def source_of(dataset: IDataset) -> ArchivePlace | None:
    """Return where the archive lies that a dataset was imported from; None if it was of none."""
    if isinstance(dataset, Dataset) and dataset.format == NAME and dataset.data_path:
        return place_of_archive(dataset.data_path)
    return None


def vanished_source(dataset: IDataset, save_dir: str) -> str | None:
    """Return where the archive lay over which a dataset is to be saved, if none is there now."""
    known = known_archive(dataset)
    if known is None or not isinstance(dataset, Dataset) or not dataset.data_path:
        return None
    is_saved = os.path.realpath(dataset.data_path) == os.path.realpath(save_dir)
    return known.place if is_saved and place_of_archive(save_dir) is None else None


def find_target(dataset: IDataset, save_dir: str, as_zip: bool) -> ExportTarget:
    """Return the target of an export of ``dataset`` to ``save_dir``; raises SegmaskExportError.

    Over its own source it is that source, a zip too. Otherwise it is ``save_dir`` or, ``as_zip``,
    the zip `ZIP_NAME` in it; if ``save_dir`` is called as a zip and no folder, it is that zip.
    """
    vanished = vanished_source(dataset, save_dir)
    if vanished is not None and names_zip(vanished):
        return ExportTarget(ArchivePlace(vanished, True), in_place=False)
    source = source_of(dataset)
    if source is not None and source == place_of_archive(save_dir):
        if source.is_zip or not as_zip:
            return ExportTarget(source, in_place=True)
    elif os.path.isfile(save_dir):
        raise SegmaskExportError(
            "it is a file", save_dir, "a folder, or a new path", "choose another path"
        )
    root = os.path.realpath(save_dir)
    if not as_zip:
        return ExportTarget(ArchivePlace(root, False), in_place=False)
    if names_zip(save_dir):
        return ExportTarget(ArchivePlace(root, True), in_place=False)
    # A link of this name is replaced, and what it leads to stays as it is.
    place = ArchivePlace(os.path.join(root, ZIP_NAME), True)
    return ExportTarget(place, in_place=place == source)


class Before:
    """The archive that a dataset is saved over: its labels, its items, their masks.

    ``reading`` are the options of the `Reader` that gave the dataset its items.
    """

    def __init__(self, storage: Storage, reading: Mapping[str, Any]) -> None:
        self.storage = storage
        self.label_map: LabelMap = read_label_map(storage)
        self._reader = Reader(storage, self.label_map, **reading)
        lists = find_lists(storage, self.label_map)
        self.subsets = {subset: dict.fromkeys(read()) for subset, read in lists.items()}
        if not lists:
            self.subsets = {layout.DEFAULT_SUBSET: dict.fromkeys(unlisted_items(storage))}

    def is_labelled_as(self, categories: CategoriesInfo) -> bool:
        """Return whether a dataset still has these labels, and masks in colour tell them apart."""
        own = make_categories(self.label_map)
        is_same = all(categories.get(kind) == labels for kind, labels in own.items())
        return is_same and not any(shared_colors(self.label_map))

    def __contains__(self, key: tuple[str, str]) -> bool:
        item_id, subset = key
        return item_id in self.subsets.get(subset, ())

    def has_masks(self, item_id: str) -> bool:
        """Return whether an item has a mask."""
        return has_masks(self.storage, item_id)

    def has_same_masks(self, item: DatasetItem) -> bool:
        """Return whether the masks of an item are those that the archive has for it."""
        if not all(isinstance(a, Mask) and a.z_order == 0 for a in item.annotations):
            return False
        try:
            old = self._reader.read(item.id)
        except SegmaskImportError:
            return False
        try:
            new = sorted(_key(to_instance(mask)[0]) for mask in item.annotations)
        except Exception:  # what a source's mask raises is said when it is to be written
            return False
        return new == sorted(map(_key, old.instances))


def _key(instance: Instance) -> tuple[int, int, bytes]:
    label = -1 if instance.label is None else instance.label
    return instance.number, label, instance.counts


@dataclass(frozen=True)
class Picture:
    """The picture of an item: its place in the archive, and how it gets there.

    As ``data``, or as a copy of the file at ``source``; with neither it lies there already.
    """

    name: str
    data: bytes | Aside | None = None
    source: str | None = None

    @property
    def content(self) -> Hashable:
        """What another picture with the same bytes has, too."""
        return self.data.content if isinstance(self.data, Aside) else (self.data, self.source)


class Pictures:
    """The pictures of an export: which are written, which move, which go.

    A picture that lies in the archive that is ``there`` follows its item, with ``save_media`` or
    without, and so do the pictures in memory that an earlier save has written, which are ``saved``
    by their `id`. ``in_place``: the dataset is saved over its own source. ``writes_new``: pictures
    that do not lie there are written without ``save_media`` too, and so are those that lay in the
    archive ``vanished``. ``find_ext`` is the rule of Datumaro's exporter for a picture's extension.
    `relocate` can be called with ``remember``.
    """

    def __init__(
        self,
        there: Storage | None,
        find_ext: Callable[[DatasetItem], str],
        *,
        save_media: bool,
        in_place: bool,
        writes_new: bool,
        vanished: str | None,
        saved: Mapping[int, object],
        remember: bool,
    ) -> None:
        self._there = there
        self._find_ext = find_ext
        self._save_media = save_media
        self._in_place = in_place
        self._writes_new = writes_new
        self._vanished = vanished
        self._saved = saved
        self._remember = remember
        self._placed: list[tuple[DatasetItem, str]] = []
        self._real_paths: dict[str, str] = {}

    def of(self, item_id: str) -> list[str]:
        """Return the places of all pictures that the archive has for an item."""
        return [name for form in layout.forms_of(item_id) for name in self._by_stem.get(form, ())]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in () if self._there is None else self._there.files(layout.IMAGES):
            stem, suffix = layout.split_suffix(name.removeprefix(f"{layout.IMAGES}/"))
            if suffix.lower() in layout.IMAGE_SUFFIXES:
                found.setdefault(stem, []).append(name)
        return found

    def plan(
        self, item: DatasetItem, has_new_masks: bool, left_out: Counter[str]
    ) -> Picture | None:
        """Return the picture that the item will have in the archive, None for none.

        One that is to be written, and that nobody has, is counted in ``left_out``.

        Raises SegmaskExportError for a picture that is gone, that cannot be encoded, that is of
        another size than the dataset says, or that lies there from another dataset and does not
        fit the new masks.
        """
        place = self._place(item.media)
        if place is not None and self._there is not None and self._there.exists(place):
            stem, suffix = layout.split_suffix(place.removeprefix(f"{layout.IMAGES}/"))
            wanted = self._find_ext(item)
            if wanted.lower() != suffix.lower():
                return self._encode(item, wanted, left_out)
            stays = stem in layout.forms_of(item.id)
            if has_new_masks or not stays:
                check_size(item, read_image_head(self._there, place))
            if stays:
                return Picture(place)
            name, path = layout.image(item.id, suffix), self._there.path(place)
            data = self._there.read(place) if path is None else None
            return Picture(name, data, path)
        has_data = isinstance(item.media, Image) and item.media.has_data
        # The file that an earlier save wrote of it may be the last, and it may be another item's.
        is_lost = self._in_place and not has_data and id(item.media) in self._saved
        has_vanished = self._lay_in_vanished(item.media)
        if (self._in_place and place is not None) or is_lost or (has_vanished and not has_data):
            where = place or getattr(item.media, "path", "")
            raise SegmaskExportError(
                f"its image is gone: {where}",
                place_of(item),
                "the folder as it was when it was imported",
                "import it again and repeat the changes, or export to another folder",
            )
        # An archive that is saved over is whole in itself, a folder as a zip: what the dataset has
        # in memory, or of elsewhere, is nowhere else once the dataset is opened again.
        picture = None
        if self._save_media or has_vanished or (has_data and self._writes_new):
            picture = self._encode(item, self._find_ext(item), left_out)
        if picture is None and has_new_masks and not self._in_place:
            self._check_fit(item)
        return picture

    def write(
        self, item_id: str, picture: Picture | None, sink: Sink, item: DatasetItem | None
    ) -> None:
        """Put the picture of an item where it belongs, and discard those that it replaces.

        ``item``: the item itself, without which nothing is remembered, or saved in place.
        """
        if picture is None:
            # Someone may have put a picture beside the masks of an item that had none.
            if not self._in_place or item is None or not _wants_none(item):
                return
        elif picture.data is not None:
            put_image(sink, picture.name, picture.data)
        elif picture.source is not None and isinstance(sink, FolderSink):
            sink.copy(picture.name, picture.source)
        if self._remember and item is not None:
            self._placed.append((item, "" if picture is None else picture.name))
        if picture is None or picture != Picture(picture.name):
            for name in self.of(item_id):
                if picture is None or name != picture.name:
                    sink.discard(name)

    def relocate(self, place: ArchivePlace) -> dict[int, object]:
        """Let the items of the dataset in memory know where their pictures are now.

        Returns the pictures that do not lie in the archive, and have a file there, by their `id`.
        """
        storage = open_storage(place.path) if place.is_zip and self._placed else None
        elsewhere: dict[int, object] = {}
        for item, name in self._placed:
            media = item.media
            old = self._place(media)
            if isinstance(media, MissingImage):
                if self._in_place and media.size is not None:
                    item.media = MissingImage(item.id, media.size)  # which has no picture now
            elif not name or media is None:
                continue
            elif old is None or not self._in_place:
                elsewhere[id(media)] = media
            elif isinstance(media, StoredImage) and storage is not None:
                item.media = StoredImage(storage, name, media.size, _turn(media, old, name))
            elif isinstance(media, ImageFromFile) and old != name:
                path = at(place.path, name)
                item.media = image_in_file(path, media.size, _turn(media, old, name))
        return elsewhere

    def _encode(self, item: DatasetItem, suffix: str, left_out: Counter[str]) -> Picture | None:
        if not isinstance(item.media, Image) or not item.media.has_data:
            left_out[WITHOUT_IMAGE] += 1
            return None
        return Picture(layout.image(item.id, suffix), image_data(item, suffix))

    def _place(self, media: MediaElement | None) -> str | None:
        """Return the place of a picture in the archive, None if it lies elsewhere."""
        if isinstance(media, StoredImage):
            zips = media.storage, self._there
            mine, theirs = (s.identity if isinstance(s, ZipStorage) else None for s in zips)
            return media.name if mine is not None and mine == theirs else None
        if not isinstance(media, ImageFromFile) or not isinstance(self._there, FolderStorage):
            return None
        root = self._there.place()
        folder, name = os.path.split(media.path)  # the picture itself may be a link to elsewhere
        if not is_inside(folder := self._real_path(folder), at(root, layout.IMAGES)):
            return None
        return os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")

    def _real_path(self, folder: str) -> str:
        if folder not in self._real_paths:
            self._real_paths = {folder: os.path.realpath(folder)}  # the last one: most share theirs
        return self._real_paths[folder]

    def _lay_in_vanished(self, media: MediaElement | None) -> bool:
        if self._vanished is None:
            return False
        if isinstance(media, StoredImage):
            return os.path.realpath(media.storage.place()) == self._vanished
        if not isinstance(media, ImageFromFile):
            return False
        return is_inside(self._real_path(os.path.dirname(media.path)), self._vanished)

    def _check_fit(self, item: DatasetItem) -> None:
        old = self.of(item.id)
        if not old or self._there is None:
            return
        head, size = read_image_head(self._there, old[0]), size_of(item)
        found = None if head is None else head.shown
        if head is not None and found is not None and size not in (found, head.size):
            raise SegmaskExportError(
                f"an image of another dataset is there, of {found[1]} x {found[0]} pixels, and "
                f"the masks have {size[1]} x {size[0]}",
                self._there.place(old[0]),
                "an image of the size of its masks, or none",
                "export the images too (save_media), or export to another folder",
            )


def _wants_none(item: DatasetItem) -> bool:
    """Return whether an item is to have no picture, and not only one that cannot be read."""
    if isinstance(item.media, MissingImage):
        return bool(item.media.item_id != item.id)
    return item.media is None


def _turn(media: Image, old: str, new: str) -> int | None:
    """Return how a picture still has to be turned: one that became another type was drawn so."""
    is_copy = layout.split_suffix(old)[1].lower() == layout.split_suffix(new)[1].lower()
    return getattr(media, "turn", None) if is_copy else None
