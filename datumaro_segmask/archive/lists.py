"""What an archive declares, without Datumaro: its label map, its lists, and what no list names.

Source: docs/format.md, sections 1 and 2.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from ..errors import ArchiveError, LabelMapError, SegmaskImportError, SubsetListError
from ..storage import layout
from ..storage.ids import StoredLists
from ..storage.open import open_storage
from ..storage.read import FolderStorage, Storage
from .labelmap import LabelMap, parse_label_map, voc_label_map

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
