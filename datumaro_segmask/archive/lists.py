"""What an archive declares, without Datumaro: its label map, its lists, and what no list names.

Source: docs/format.md, sections 1 and 2.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from ..errors import (
    ArchiveError,
    LabelMapError,
    Report,
    SegmaskImportError,
    SubsetListError,
    reporting,
    stop,
)
from ..storage import FolderStorage, Storage, StoredLists, layout, open_storage
from .files import (
    PassedFolder,
    has_masks,
    how_to_save,
    masked_ids,
    masks_of_other_types,
    passed_folders,
    right_place,
)
from .item import Reader
from .labelmap import LabelMap, parse_label_map, voc_label_map
from .subset_lists import parse_subset_list, why_no_list

MAX_LABEL_MAP_BYTES = 1 << 24
MAX_LIST_BYTES = 1 << 31  # ten million ids of 200 bytes
_LIKE_LISTS = (".txt", ".lst", ".list", ".csv", ".tsv", "")
_MAX_LINE_BYTES = 1 << 20  # read at once: sixteen times the longest line of a label map


class PassedList(NamedTuple):
    """A file among the subset lists that is not one. ``why``: the reason; None for a wrong name."""

    file: str
    why: str | None


@dataclass(frozen=True)
class Archive:
    """What an archive declares: its labels, and the ids of each subset.

    ``subsets`` has the ids in the order of the list, each once; ``in`` is fast. Without
    ``has_lists`` they are those of all masks. ``passed_lists``: files among the lists that are not
    lists.
    """

    storage: Storage
    label_map: LabelMap
    subsets: dict[str, Collection[str]]
    has_lists: bool = True
    passed_lists: tuple[PassedList, ...] = ()

    def lists(self, item_id: str) -> bool:
        """Return whether a subset has an item of this id, however its accents are encoded."""
        forms = layout.forms_of(item_id)
        return any(form in ids for ids in self.subsets.values() for form in forms)

    def reader(self, **options: Any) -> Reader:
        """Return what reads its items; ``options`` are those of `Reader`."""
        return Reader(self.storage, self.label_map, **options)


def open_archive(
    path: str | os.PathLike[str], stream: bool = False, report: Report = stop
) -> Archive:
    """Open the archive at ``path`` (a folder or a zip) and read its label map and its lists.

    ``stream``: keep the ids on the disk, so that memory does not grow with their number.
    ``report``: gets faults, which are ArchiveError, LabelMapError, SubsetListError or
    UnsafePathError; by default the first one is raised. Remarks that are not faults come from
    `rules`.
    """
    storage = open_storage(path)
    label_map = LabelMap(())
    with reporting(report):
        label_map = read_label_map(storage, report)
    names, passed_lists = _sort_lists(storage, label_map, report)
    lists = _reads_of(names, storage, report)
    reads = lists or {layout.DEFAULT_SUBSET: partial(unlisted_items, storage, report)}
    subsets: dict[str, Collection[str]]
    if stream:
        subsets = StoredLists(reads, by_name=not lists).lists()
    else:
        subsets = {
            subset: dict.fromkeys(read() if lists else sorted(read()))
            for subset, read in reads.items()
        }
    archive = Archive(storage, label_map, subsets, bool(lists), passed_lists)
    passed = next(passed_folders(storage, archive.lists if lists else lambda _: True), None)
    if passed and next(masked_ids(storage), None) is None:
        report(_no_mask_folder(passed, storage.place(passed.name)))
    return archive


def read_label_map(storage: Storage, report: Report = stop) -> LabelMap:
    """Read the label map of an archive, or return that of VOC if it has none.

    Raises LabelMapError, or reports what can be read past.
    """
    if not storage.exists(layout.LABEL_MAP):
        return replace(voc_label_map(), elsewhere=storage.place_above(layout.LABEL_MAP))
    return _read_label_map(storage, layout.LABEL_MAP, storage.place(layout.LABEL_MAP), report)


def read_label_map_file(path: str) -> LabelMap:
    """Read a label map outside of an archive. Raises LabelMapError or MissingFileError."""
    folder, name = os.path.split(path)
    return _read_label_map(FolderStorage(folder or os.curdir), name, path, stop)


def _read_label_map(storage: Storage, name: str, where: str, report: Report) -> LabelMap:
    lines = _read_lines(storage, name, LabelMapError, MAX_LABEL_MAP_BYTES, report)
    return parse_label_map("\n".join(line.rstrip("\r\n") for line in lines), where, report)


def find_lists(
    storage: Storage, label_map: LabelMap, report: Report = stop
) -> dict[str, Callable[[], Iterator[str]]]:
    """Return by subset a call that reads its list, id by id; nothing where there are no lists.

    The calls can be pickled, if ``report`` can, to which SubsetListError and UnsafePathError go;
    so does UnsafePathError for a list whose name cannot be a subset. A table that lies among the
    lists, such as one of the classes, is passed over.
    """
    return _reads_of(_sort_lists(storage, label_map, report)[0], storage, report)


def _reads_of(
    names: dict[str, str], storage: Storage, report: Report
) -> dict[str, Callable[[], Iterator[str]]]:
    return {subset: partial(_read_list, storage, name, report) for subset, name in names.items()}


def _sort_lists(
    storage: Storage, label_map: LabelMap, report: Report
) -> tuple[dict[str, str], tuple[PassedList, ...]]:
    """Return the lists by subset, and the files among them that are none."""
    names: dict[str, str] = {}
    passed: list[PassedList] = []
    for name in sorted(storage.files(layout.SUBSETS)):
        subset = layout.subset_of(name)
        if subset is not None:
            with reporting(report):
                names[layout.check_subset(subset, storage.place(name))] = name
        elif layout.split_suffix(name)[1].lower() in _LIKE_LISTS:
            passed.append(PassedList(name, None))
    labels = {label.name for label in label_map.labels}
    probed = names.values() if len(names) > 1 else ()  # a lone one is read, whatever it is like
    whys = {name: _why_no_list(storage, name, labels) for name in probed}
    tabled = {name: why for name, why in whys.items() if why is not None}
    if len(tabled) < len(names):
        passed += (PassedList(name, why) for name, why in tabled.items())
        names = {subset: name for subset, name in names.items() if name not in tabled}
    return names, tuple(passed)


def _why_no_list(storage: Storage, name: str, labels: set[str]) -> str | None:
    lines = _read_lines(storage, name, SubsetListError, MAX_LIST_BYTES, stop)
    with suppress(SegmaskImportError), closing(lines):  # what it is comes when it is read
        return why_no_list(lines, labels, partial(has_masks, storage))
    return None


def _read_list(storage: Storage, name: str, report: Report) -> Iterator[str]:
    exists = partial(has_masks, storage)
    lines = _read_lines(storage, name, SubsetListError, MAX_LIST_BYTES, report)
    # An error keeps all that is being read alive; the file should not wait for it.
    with reporting(report), closing(lines):
        yield from parse_subset_list(lines, storage.place(name), exists, report)


def unlisted_items(storage: Storage, report: Report = stop) -> Iterator[str]:
    """Yield the ids of all items with masks, of an archive without lists.

    Raises ArchiveError where there are none, and reports UnsafePathError for one that cannot be an
    id.
    """
    item_id = None
    other = next(masks_of_other_types(storage), None)
    for item_id, mask in masked_ids(storage):
        with reporting(report):
            yield layout.check_name(item_id, storage.place(mask))
    if item_id is None:
        for folder in passed_folders(storage):
            raise _no_mask_folder(folder, storage.place(folder.name))
        raise ArchiveError(
            "the archive has neither subset lists nor masks"
            + (f", but files such as {other}" if other else ""),
            storage.place(layout.SUBSETS),
            "a list of items for each subset, such as default.txt",
            how_to_save(other) if other else "export the task again as 'Segmentation mask 1.1'",
        )


def _no_mask_folder(folder: PassedFolder, where: str) -> ArchiveError:
    """Return the error for an archive whose only masks are in a folder that is ignored."""
    return ArchiveError(
        f"the only masks are in a folder {folder.name!r}, which is none of the format",
        where,
        f"masks in {layout.CLASS_MASKS} and {layout.INSTANCE_MASKS}",
        right_place(folder),
        kind="mask-folder",
    )


def _read_lines(
    storage: Storage, name: str, error_class: type[SegmaskImportError], limit: int, report: Report
) -> Generator[str]:
    """Yield the lines of a text in UTF-8; of one that is none, where that is reported, in Latin-1.

    Latin-1 gives every byte a letter. What has NULs is no text at all.
    """
    before, encoding = 0, "utf-8"
    with storage.open(name, limit) as file:
        for number, line in enumerate(iter(partial(file.readline, _MAX_LINE_BYTES), b""), 1):
            if len(line) == _MAX_LINE_BYTES:
                raise error_class(
                    f"the line has {_MAX_LINE_BYTES:,} bytes or more",
                    f"{storage.place(name)}:{number}",
                    "text of short lines",
                    "check that this file is what its name says",
                )
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as cause:
                error = error_class(
                    f"byte {before + cause.start:,} ({line[cause.start]:#04x}) is not UTF-8",
                    f"{storage.place(name)}:{number}",
                    "text in UTF-8",
                    "save the file as UTF-8; many editors call that its encoding",
                )
                if b"\0" in line:
                    raise error from cause
                report(error)
                encoding = "latin-1"
                text = line.decode(encoding)
            yield from _LONE_RETURN.split(text) if "\r" in text else (text,)
            before += len(line)


_LONE_RETURN = re.compile(r"\r(?!\n|$)")  # which old Macs end lines with
