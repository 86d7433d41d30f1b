"""The format without Datumaro: what an archive holds, and its items, one at a time.

`open_archive` reads the lists and the label map; `read_item` reads the masks of one item. Both
are plain functions of values that can be pickled, so that a loop, a thread or another process
may call them alike. Source: docs/format.md, sections 1 to 4.
"""

from __future__ import annotations

import io
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import imagesize

from . import layout
from .colors import color_to_number
from .errors import ArchiveError, LabelMapError, MaskSizeError, SegmaskImportError, SubsetListError
from .labelmap import LabelMap, parse_label_map, voc_label_map
from .lookup import ClassLookup, numbers_of
from .on_disk import StoredLists
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
    """What an archive declares: its labels, and the ids of each subset.

    Ids stand in the order of the list, each once, and are quick to find.
    """

    storage: Storage
    label_map: LabelMap
    subsets: dict[str, Collection[str]]


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


def open_archive(path: str, stream: bool = False) -> Archive:
    """Open the archive at ``path`` (a folder or a zip) and read its label map and its lists.

    With ``stream`` the ids are kept on the disk, so that memory does not grow with them. Logs,
    once each, what a reader should know: masks that no list names, lists that are missing. Raises
    ArchiveError, LabelMapError, SubsetListError or UnsafePathError.
    """
    storage = open_storage(path)
    label_map = read_label_map(storage)
    lists = find_lists(storage)
    reads = lists or {layout.DEFAULT_SUBSET: partial(unlisted_items, storage)}
    subsets: dict[str, Collection[str]]
    if stream:
        store = StoredLists(reads, by_name=not lists)
        subsets, listed = store.lists(), store.__contains__
    else:
        subsets = {
            subset: dict.fromkeys(read() if lists else sorted(read()))
            for subset, read in reads.items()
        }
        listed = set().union(*subsets.values()).__contains__
    if lists:
        _report_unlisted(storage, listed)
    else:
        log.warning(
            "%s: there are no subset lists, so all %d items with masks are taken for the subset "
            "%r. Write the ids of the items, one a line, into %s.txt to choose them and their "
            "order.",
            storage.place(layout.SUBSETS),
            len(subsets[layout.DEFAULT_SUBSET]),
            layout.DEFAULT_SUBSET,
            layout.DEFAULT_SUBSET,
        )
    return Archive(storage, label_map, subsets)


def read_label_map(storage: Storage) -> LabelMap:
    """Read the label map of an archive, or return that of VOC where it has none.

    Raises LabelMapError.
    """
    if not storage.exists(layout.LABEL_MAP):
        return voc_label_map()
    place = storage.place(layout.LABEL_MAP)
    text = "".join(_read_lines(storage, layout.LABEL_MAP, LabelMapError, MAX_LABEL_MAP_BYTES))
    return parse_label_map(text, place)


def read_label_map_file(path: str) -> LabelMap:
    """Read a label map that stands on its own. Raises LabelMapError or MissingFileError."""
    folder, name = os.path.split(path)
    storage = FolderStorage(folder or os.curdir)
    text = "".join(_read_lines(storage, name, LabelMapError, MAX_LABEL_MAP_BYTES))
    return parse_label_map(text, path)


def has_masks(storage: Storage, item_id: str) -> bool:
    """Tell whether an item has a class mask or an instance mask."""
    masks = layout.class_mask(item_id), layout.instance_mask(item_id)
    return any(storage.exists(mask) for mask in masks)


def check_archive(storage: Storage) -> None:
    """Read what is read when an archive is opened, and keep nothing. Raises as `open_archive`."""
    read_label_map(storage)
    for read in find_lists(storage).values() or [partial(unlisted_items, storage)]:
        deque(read(), maxlen=0)


def find_lists(storage: Storage) -> dict[str, Callable[[], Iterator[str]]]:
    """Return by subset a call that reads its list, id by id; nothing where there are no lists.

    The calls can be pickled, and raise SubsetListError or UnsafePathError. Raises UnsafePathError
    for a list whose name cannot be a subset.
    """
    lists: dict[str, Callable[[], Iterator[str]]] = {}
    for name in sorted(storage.files(layout.SUBSETS)):
        subset = name.removeprefix(layout.SUBSETS + "/").removesuffix(layout.LIST_SUFFIX)
        if "/" in subset or not name.endswith(layout.LIST_SUFFIX):
            continue
        subset = layout.check_name(subset, storage.place(name))
        lists[subset] = partial(_read_list, storage, name)
    return lists


def _read_list(storage: Storage, name: str) -> Iterator[str]:
    exists = partial(has_masks, storage)
    # An error keeps all that is being read alive; the file should not wait for it.
    with closing(_read_lines(storage, name, SubsetListError, MAX_LIST_BYTES)) as lines:
        yield from layout.parse_subset_list(lines, storage.place(name), exists)


def unlisted_items(storage: Storage) -> Iterator[str]:
    """Yield the ids of all items with masks, of an archive without lists.

    Raises ArchiveError where there are none, UnsafePathError for one that cannot be an id.
    """
    item_id = None
    for item_id in _masked_ids(storage):
        yield layout.check_name(item_id, storage.place())
    if item_id is None:
        raise ArchiveError(
            "the archive has neither subset lists nor masks",
            storage.place(layout.SUBSETS),
            "a list of items for each subset, such as default.txt",
            "export the task again as 'Segmentation mask 1.1'",
        )


def _read_lines(
    storage: Storage, name: str, kind: type[SegmaskImportError], limit: int
) -> Generator[str]:
    before = 0
    with storage.open(name, limit) as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise kind(
                    f"byte {before + error.start:,} ({line[error.start]:#04x}) is no UTF-8",
                    f"{storage.place(name)}:{number}",
                    "text in UTF-8",
                    "save the file as UTF-8; many editors call that its encoding",
                ) from error
            before += len(line)


def _masked_ids(storage: Storage) -> Iterator[str]:
    """Yield the id of every item that has a mask, once."""
    for folder in (layout.CLASS_MASKS, layout.INSTANCE_MASKS):
        for name in storage.files(folder):
            item_id, suffix = layout.split_suffix(name.removeprefix(folder + "/"))
            if suffix == layout.MASK_SUFFIX and (
                folder == layout.CLASS_MASKS or not storage.exists(layout.class_mask(item_id))
            ):
                yield item_id


def _report_unlisted(storage: Storage, is_listed: Callable[[str], bool]) -> None:
    count, example = 0, ""
    for item_id in _masked_ids(storage):
        if not is_listed(item_id):
            count += 1
            example = min(example or item_id, item_id)
    if count:
        log.warning(
            "%s: the masks of %d items that no list in %s names are left out (such as %r). "
            "Add their ids to a list to import them.",
            storage.place(),
            count,
            layout.SUBSETS,
            example,
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
    with storage.open(name) as file:
        head = file.read(_HEAD)
    return _parse_image_size(head) or _parse_image_size(storage.read(name))


def _parse_image_size(data: bytes) -> tuple[int, int] | None:
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception:  # imagesize 1 raises what it meets, imagesize 2 returns -1
        return None
    return (int(height), int(width)) if width > 0 and height > 0 else None


def _show(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
