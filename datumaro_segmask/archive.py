"""The format without Datumaro: what an archive holds, and its items, one at a time.

`open_archive` reads the lists and the label map; `read_item` reads the masks of one item. Both
are plain functions of values that can be pickled, so that a loop, a thread or another process
may call them alike. Source: docs/format.md, sections 1 to 4.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import imagesize

from . import layout
from .colors import color_to_number
from .errors import ArchiveError, LabelMapError, MaskSizeError, SegmaskImportError, SubsetListError
from .labelmap import LabelMap, parse_label_map, voc_label_map
from .lookup import ClassLookup, numbers_of
from .png import MaskReader, block_rows
from .png_container import parse_header
from .runs import Instance, Scanner, group_runs
from .storage import FolderStorage, Storage
from .storage_open import open_storage

log = logging.getLogger(__name__)

MAX_LABEL_MAP_BYTES = 1 << 24
MAX_LIST_BYTES = 1 << 27  # a million ids of 134 bytes


@dataclass(frozen=True)
class Archive:
    """What an archive declares: its labels, and the ids of each subset in the order of the list."""

    storage: Storage
    label_map: LabelMap
    subsets: dict[str, list[str]]

    @cached_property
    def sets(self) -> dict[str, frozenset[str]]:
        """The ids of each subset once more, for those who ask whether one is there."""
        return {subset: frozenset(ids) for subset, ids in self.subsets.items()}


@dataclass(frozen=True)
class Item:
    """One item as it was read.

    ``size`` is height and width in pixels, None where neither a mask nor an image tells it.
    ``image`` is the place of the image in the archive. ``instances`` is empty for an item without
    masks; those of an item without a class mask have no label.
    """

    item_id: str
    size: tuple[int, int] | None
    image: str | None
    instances: list[Instance]
    has_labels: bool = True


def open_archive(path: str) -> Archive:
    """Open the archive at ``path`` (a folder or a zip) and read its label map and its lists.

    Logs, once each, what a reader should know: masks that no list names, lists that are missing.
    Raises ArchiveError, LabelMapError, SubsetListError or UnsafePathError.
    """
    storage = open_storage(path)
    label_map = read_label_map(storage)
    subsets = read_subsets(storage)
    if subsets:
        _report_unlisted(storage, subsets)
        return Archive(storage, label_map, subsets)
    ids = unlisted_items(storage)
    log.warning(
        "%s: there are no subset lists, so all %d items with masks are taken for the subset %r. "
        "Write the ids of the items, one a line, into %s.txt to choose them and their order.",
        storage.place(layout.SUBSETS),
        len(ids),
        layout.DEFAULT_SUBSET,
        layout.DEFAULT_SUBSET,
    )
    return Archive(storage, label_map, {layout.DEFAULT_SUBSET: ids})


def read_label_map(storage: Storage) -> LabelMap:
    """Read the label map of an archive, or return that of VOC where it has none.

    Raises LabelMapError.
    """
    if not storage.exists(layout.LABEL_MAP):
        return voc_label_map()
    place = storage.place(layout.LABEL_MAP)
    text = _read_text(storage, layout.LABEL_MAP, LabelMapError, MAX_LABEL_MAP_BYTES)
    return parse_label_map(text, place)


def read_label_map_file(path: str) -> LabelMap:
    """Read a label map that stands on its own. Raises LabelMapError or MissingFileError."""
    folder, name = os.path.split(path)
    storage = FolderStorage(folder or os.curdir)
    text = _read_text(storage, name, LabelMapError, MAX_LABEL_MAP_BYTES)
    return parse_label_map(text, path)


def has_masks(storage: Storage, item_id: str) -> bool:
    """Tell whether an item has a class mask or an instance mask."""
    masks = layout.class_mask(item_id), layout.instance_mask(item_id)
    return any(storage.exists(mask) for mask in masks)


def read_subsets(storage: Storage) -> dict[str, list[str]]:
    """Read the lists of an archive: the ids of each subset; none where there are no lists.

    Raises SubsetListError or UnsafePathError.
    """
    subsets = {}
    for name in sorted(storage.files(layout.SUBSETS)):
        subset = name.removeprefix(layout.SUBSETS + "/").removesuffix(layout.LIST_SUFFIX)
        if "/" in subset or not name.endswith(layout.LIST_SUFFIX):
            continue
        place = storage.place(name)
        text = _read_text(storage, name, SubsetListError, MAX_LIST_BYTES)
        subsets[layout.check_name(subset, place)] = layout.parse_subset_list(
            text, place, partial(has_masks, storage)
        )
    return subsets


def unlisted_items(storage: Storage) -> list[str]:
    """Return the ids of all items with masks, sorted, of an archive without lists.

    Raises ArchiveError where there are none, UnsafePathError for one that cannot be an id.
    """
    ids = sorted(set(_masked_ids(storage)))
    if not ids:
        raise ArchiveError(
            "the archive has neither subset lists nor masks",
            storage.place(layout.SUBSETS),
            "a list of items for each subset, such as default.txt",
            "export the task again as 'Segmentation mask 1.1'",
        )
    return [layout.check_name(item_id, storage.place()) for item_id in ids]


def _read_text(storage: Storage, name: str, kind: type[SegmaskImportError], limit: int) -> str:
    data = storage.read(name, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise kind(
            f"byte {error.start:,} ({data[error.start]:#04x}) is no UTF-8",
            f"{storage.place(name)}:{line}",
            "text in UTF-8",
            "save the file as UTF-8; many editors call that its encoding",
        ) from error


def _masked_ids(storage: Storage) -> Iterator[str]:
    """Yield the id of every mask; twice, where an item has both."""
    for folder in (layout.CLASS_MASKS, layout.INSTANCE_MASKS):
        for name in storage.files(folder):
            stem, suffix = layout.split_suffix(name.removeprefix(folder + "/"))
            if suffix == layout.MASK_SUFFIX:
                yield stem


def _report_unlisted(storage: Storage, subsets: dict[str, list[str]]) -> None:
    listed = {item_id for ids in subsets.values() for item_id in ids}
    unlisted = {item_id for item_id in _masked_ids(storage) if item_id not in listed}
    if unlisted:
        log.warning(
            "%s: the masks of %d items that no list in %s names are left out (such as %r). "
            "Add their ids to a list to import them.",
            storage.place(),
            len(unlisted),
            layout.SUBSETS,
            min(unlisted),
        )


def read_item(storage: Storage, lookup: ClassLookup, item_id: str, max_pixels: int) -> Item:
    """Read the masks of one item, and where its image is.

    Raises SegmaskImportError: PngError, UndeclaredColorError, MaskSizeError, MissingFileError,
    UnsafePathError, ArchiveError.
    """
    class_mask, instance_mask = layout.class_mask(item_id), layout.instance_mask(item_id)
    image = find_image(storage, item_id)
    image_size = read_image_size(storage, image) if image else None
    masks = [name for name in (class_mask, instance_mask) if storage.exists(name)]
    if not masks:
        return Item(item_id, image_size, image, [])
    data = {name: storage.read(name) for name in masks}
    size = _common_size(storage, data, image, image_size, max_pixels)
    if masks == [instance_mask]:
        instances = _read_numbers(storage, instance_mask, data[instance_mask], max_pixels)
    else:
        instances = _read_labels(storage, lookup, data, max_pixels)
    return Item(item_id, size, image, instances, has_labels=class_mask in data)


def _common_size(
    storage: Storage,
    masks: dict[str, bytes],
    image: str | None,
    image_size: tuple[int, int] | None,
    max_pixels: int,
) -> tuple[int, int]:
    sizes = {}
    for name, data in masks.items():
        header = parse_header(data, storage.place(name), max_pixels)
        sizes[name] = header.height, header.width
    if image and image_size:
        sizes[image] = image_size
    (first, size), *others = sizes.items()
    for other, other_size in others:
        if other_size != size:
            raise MaskSizeError(
                f"the size is {_show(size)}, but {other} has {_show(other_size)}",
                storage.place(first),
                "class mask, instance mask and image of one size (width x height)",
                "export the item again, or scale the masks without smoothing (nearest neighbour)",
            )
    return size


def _read_labels(
    storage: Storage, lookup: ClassLookup, masks: dict[str, bytes], max_pixels: int
) -> list[Instance]:
    names = list(masks)
    place = storage.place(names[0])
    readers = [MaskReader(masks[names[0]], place, lookup.number_of, max_pixels)]
    readers += [
        MaskReader(masks[name], storage.place(name), color_to_number, max_pixels)
        for name in names[1:]
    ]
    height, width = readers[0].header.height, readers[0].header.width
    scanner = Scanner(height, width, place)
    rows = block_rows(*readers)
    for blocks in zip(*(reader.blocks(rows) for reader in readers), strict=True):
        scanner.add(*blocks)
    runs = scanner.runs()
    labels = lookup.labels_of(runs.values[0], readers[0])
    if labels is None:
        raise lookup.error(masks[names[0]], place, max_pixels)
    numbers = labels * 0 if len(readers) == 1 else numbers_of(runs.values[1], readers[1])
    return group_runs(runs.begin, runs.end, numbers, labels, height, width, place)


def _read_numbers(storage: Storage, name: str, data: bytes, max_pixels: int) -> list[Instance]:
    """Read the instances of an item that has no class mask: they have no label."""
    place = storage.place(name)
    reader = MaskReader(data, place, color_to_number, max_pixels)
    height, width = reader.header.height, reader.header.width
    scanner = Scanner(height, width, place)
    for block in reader.blocks():
        scanner.add(block)
    runs = scanner.runs()
    numbers = numbers_of(runs.values[0], reader)
    # One pretended label for all pixels of an instance; black ones belong to none.
    found = group_runs(runs.begin, runs.end, numbers, (numbers > 0) - 1, height, width, place)
    return [Instance(None, i.number, i.counts, i.area, i.bbox) for i in found]


_SUFFIXES = sorted(layout.IMAGE_SUFFIXES, key=lambda s: (s not in (".jpg", ".png", ".jpeg"), s))
_SUFFIXES += [suffix.upper() for suffix in _SUFFIXES]


_HEAD = 1 << 16  # bytes of an image that nearly always tell its size


def find_image(storage: Storage, item_id: str) -> str | None:
    """Return the place of an item's image, whatever its suffix, or None."""
    names = (layout.image(item_id, suffix) for suffix in _SUFFIXES)
    return next((name for name in names if storage.exists(name)), None)


def read_image_size(storage: Storage, name: str) -> tuple[int, int] | None:
    """Return height and width of an image from its header, None where that cannot be read."""
    return _parse_image_size(storage.head(name, _HEAD)) or _parse_image_size(storage.read(name))


def _parse_image_size(data: bytes) -> tuple[int, int] | None:
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception:  # imagesize 1 raises what it meets, imagesize 2 returns -1
        return None
    return (int(height), int(width)) if width > 0 and height > 0 else None


def _show(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
