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
from typing import Any

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
from .diagnostics import (
    Finding,
    Note,
    background_doubts,
    color_doubts,
    inner_archive,
    list_name,
    log_findings,
    look_alikes,
    name_doubts,
    no_list,
    no_lists,
    no_mask,
    no_mask_folder,
    no_masks,
    passed_folder,
    two_images,
    two_masks,
    unlisted_masks,
)
from .files import find_mask, has_masks, inner_archives, masked_ids, passed_folders, several_images
from .labelmap import LabelMap, parse_label_map, voc_label_map
from .reader import Reader
from .subset_lists import parse_subset_list, why_no_list

MAX_LABEL_MAP_BYTES = 1 << 24
MAX_LIST_BYTES = 1 << 31  # ten million ids of 200 bytes
_LIKE_LISTS = (".txt", ".lst", ".list", ".csv", ".tsv", "")
_MAX_LINE_BYTES = 1 << 20  # read at once: sixteen times the longest line of a label map


@dataclass(frozen=True)
class Archive:
    """What an archive declares: its labels, and the ids of each subset.

    Ids stand in the order of the list, each once, and are quick to find.
    """

    storage: Storage
    label_map: LabelMap
    subsets: dict[str, Collection[str]]

    def reader(self, **options: Any) -> Reader:
        """Return what reads its items; ``options`` are those of `Reader`."""
        return Reader(self.storage, self.label_map, **options)


def open_archive(
    path: str, stream: bool = False, report: Report = stop, note: Note = log_findings
) -> Archive:
    """Open the archive at ``path`` (a folder or a zip) and read its label map and its lists.

    With ``stream`` the ids are kept on the disk, so that memory does not grow with them. Faults go
    to ``report``: ArchiveError, LabelMapError, SubsetListError or UnsafePathError, and what is no
    fault, but should be known, to ``note``: by default it is logged, once each.
    """
    storage = open_storage(path)
    label_map = LabelMap(())
    with reporting(report):
        label_map = read_label_map(storage, report)
    for doubts in (background_doubts, color_doubts, name_doubts):
        note(storage.place, doubts(label_map))
    note(storage.place, look_alikes(storage))
    lists = find_lists(storage, label_map, report, note)
    reads = lists or {layout.DEFAULT_SUBSET: partial(unlisted_items, storage, report)}
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
    twice: dict[str, str] = {}
    note(storage.place, _other_types(storage, twice))
    note(storage.place, _two_masks(storage, twice))
    passed = list(passed_folders(storage, listed if lists else lambda _: True))
    if passed and next(masked_ids(storage), None) is None:
        report(no_mask_folder(passed[0], storage.place(passed[0].name)))
    else:
        note(storage.place, map(passed_folder, passed))
    with_masks = (any(map(listed, layout.forms_of(item_id))) for item_id, _ in masked_ids(storage))
    count = sum(map(len, subsets.values()))
    if count and not any(with_masks):
        note(storage.place, [no_masks(count)])
    note(storage.place, map(inner_archive, inner_archives(storage)))
    note(storage.place, (two_images(*found) for found in several_images(storage, listed)))
    if lists:
        unlisted = (
            unlisted_masks(item_id, mask)
            for item_id, mask in masked_ids(storage)
            if not any(map(listed, layout.forms_of(item_id)))
        )
        note(storage.place, unlisted)
    else:
        note(storage.place, [no_lists(len(subsets[layout.DEFAULT_SUBSET]))])
    return Archive(storage, label_map, subsets)


def read_label_map(storage: Storage, report: Report = stop) -> LabelMap:
    """Read the label map of an archive, or return that of VOC where it has none.

    Raises LabelMapError, or reports what can be read past.
    """
    if not storage.exists(layout.LABEL_MAP):
        return replace(voc_label_map(), elsewhere=storage.above(layout.LABEL_MAP))
    return _read_label_map(storage, layout.LABEL_MAP, storage.place(layout.LABEL_MAP), report)


def read_label_map_file(path: str) -> LabelMap:
    """Read a label map that stands on its own. Raises LabelMapError or MissingFileError."""
    folder, name = os.path.split(path)
    return _read_label_map(FolderStorage(folder or os.curdir), name, path, stop)


def _read_label_map(storage: Storage, name: str, where: str, report: Report) -> LabelMap:
    lines = _read_lines(storage, name, LabelMapError, MAX_LABEL_MAP_BYTES, report)
    return parse_label_map("\n".join(line.rstrip("\r\n") for line in lines), where, report)


def find_lists(
    storage: Storage,
    label_map: LabelMap,
    report: Report = stop,
    note: Note = lambda place, findings: None,
) -> dict[str, Callable[[], Iterator[str]]]:
    """Return by subset a call that reads its list, id by id; nothing where there are no lists.

    The calls can be pickled, if ``report`` can, to which SubsetListError and UnsafePathError go;
    so does UnsafePathError for a list whose name cannot be a subset. A table that lies among the
    lists, such as one of the classes, is passed over, and ``note`` told.
    """
    names: dict[str, str] = {}
    tables: list[Finding] = []
    for name in sorted(storage.files(layout.SUBSETS)):
        subset = layout.subset_of(name)
        if subset is not None:
            with reporting(report):
                names[layout.check_name(subset, storage.place(name))] = name
        elif layout.split_suffix(name)[1].lower() in _LIKE_LISTS:
            tables.append(list_name(name))
    labels = {label.name for label in label_map.labels}
    probed = names.values() if len(names) > 1 else ()  # a lone one is read, whatever it is like
    whys = {name: _why_no_list(storage, name, labels) for name in probed}
    tabled = {name: why for name, why in whys.items() if why is not None}
    if len(tabled) < len(names):
        tables += (no_list(name, why) for name, why in tabled.items())
        names = {subset: name for subset, name in names.items() if name not in tabled}
    note(storage.place, tables)
    return {subset: partial(_read_list, storage, name, report) for subset, name in names.items()}


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
    other = next(_other_types(storage), None)
    for item_id, mask in masked_ids(storage):
        with reporting(report):
            yield layout.check_name(item_id, storage.place(mask))
    if item_id is None:
        for folder in passed_folders(storage):
            raise no_mask_folder(folder, storage.place(folder.name))
        raise ArchiveError(
            "the archive has neither subset lists nor masks"
            + (f", but files such as {other.file}" if other else ""),
            storage.place(layout.SUBSETS),
            "a list of items for each subset, such as default.txt",
            other.fix if other else "export the task again as 'Segmentation mask 1.1'",
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
                    f"byte {before + cause.start:,} ({line[cause.start]:#04x}) is no UTF-8",
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


def _other_types(storage: Storage, twice: dict[str, str] | None = None) -> Iterator[Finding]:
    """Yield the files in the folders of masks that are no masks by their suffix.

    On the way ``twice`` gets the masks that are not taken, by the one that is, as their suffixes
    differ in case.
    """
    for folder in (layout.CLASS_MASKS, layout.INSTANCE_MASKS):
        for name in storage.files(folder):
            stem, suffix = layout.split_suffix(name)
            if suffix.lower() in layout.OTHER_MASK_SUFFIXES:
                yield no_mask(name)
            elif twice is not None and suffix.lower() == layout.MASK_SUFFIX != suffix:
                taken = find_mask(storage, folder, stem.removeprefix(f"{folder}/"))
                if taken not in (None, name):
                    twice[taken or ""] = name


def _two_masks(storage: Storage, twice: dict[str, str]) -> Iterator[Finding]:
    folders = {name.partition("/")[0] for name in twice}
    # Where the case of letters does not count, the one that is taken may be the other.
    names = (name for folder in folders for name in storage.files(folder))
    return (two_masks(name, twice[name]) for name in names if name in twice)
