"""What one worker does: some items of one archive, named by their ids, read one by one."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

from ..archive import (
    Archive,
    Label,
    LabelMap,
    Reader,
    read_label_map,
    with_own_colors,
)
from ..errors import ArchiveError, SegmaskExportError
from ..png import MAX_PIXELS
from ..rules import open_archive
from ..storage import Entry, Storage, Store, absolute, is_url, open_storage, shown

PART_ITEMS = 2000
MOST_PART_ITEMS = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """Some items of one archive. ``first`` is how many items all parts before have."""

    number: int
    path: str
    entries: tuple[Entry, ...]
    first: int

    def digest(self) -> str:
        """Return what tells this part from another of the same number."""
        text = "\n".join(f"{subset}/{item_id}" for item_id, subset in self.entries)
        return hashlib.sha256(f"{shown(self.path)}\n{text}".encode(errors="replace")).hexdigest()


@dataclass(frozen=True)
class Reading:
    """How items are read: see `SegmaskBase`."""

    ignore_index: int | None = None
    max_pixels: int = MAX_PIXELS

    def reader(self, storage: Storage, label_map: LabelMap) -> Reader:
        """Return what reads the items of an archive so."""
        return Reader(
            storage, label_map, ignore_index=self.ignore_index, max_pixels=self.max_pixels
        )


@lru_cache(maxsize=4)
def open_reader(path: str, reading: Reading, run: str) -> Reader:
    """Open an archive, once for all parts of it that come to this process in one run.

    ``run`` tells the run from others: the same worker may do parts of the next one, and by then
    another archive may lie at ``path``.
    """
    storage = open_storage(path)
    return reading.reader(storage, read_label_map(storage))


def version(path: str) -> str | None:
    """Return what differs when a file has changed; None for what is no file of this machine."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    is_file = stat.S_ISREG(status.st_mode)
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns" if is_file else None


@dataclass(frozen=True)
class Plan:
    """Archives, and how many items a part of them has; the ids lie on the disk.

    ``label_map`` has the labels of all archives, those of one name as one.
    """

    archives: tuple[tuple[str, Archive], ...]
    part_items: int
    label_map: LabelMap

    def parts(self) -> Iterator[Part]:
        """Yield the parts, which are the same for the same archives."""
        number = first = 0
        for path, archive in self.archives:
            entries = ((i, subset) for subset, ids in archive.subsets.items() for i in ids)
            for batch in _batched(entries, self.part_items):
                yield Part(number, path, batch, first)
                number, first = number + 1, first + len(batch)

    def __len__(self) -> int:
        return sum(-(-items // self.part_items) for items in self.items())

    def items(self) -> list[int]:
        """Return how many items each archive has."""
        return [sum(map(len, archive.subsets.values())) for _, archive in self.archives]


Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""An archive, or several: paths, URLs, or patterns of them."""


def make_plan(paths: Paths, part_items: int = PART_ITEMS) -> Plan:
    """Open archives and read their lists: paths, URLs, or patterns such as ``tasks/*.zip``.

    Raises SegmaskImportError, or SegmaskExportError for a number of items that no part can have.
    """
    if not 0 < part_items <= MOST_PART_ITEMS:
        raise SegmaskExportError(
            f"{part_items:,} items a shard are asked for",
            "the options",
            f"from 1 to {MOST_PART_ITEMS:,}",
            "choose between 1,000 and 4,000 if in doubt",
        )
    found = [match for path in _listed(paths) for match in _matches(path)]
    archives = [(path, open_archive(path, stream=True)) for path in dict.fromkeys(found)]
    label_map = _joined([archive.label_map for _, archive in archives])
    return Plan(tuple(archives), part_items, label_map)


def _listed(paths: Paths) -> list[str]:
    return [
        absolute(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)
    ]


def _matches(path: str) -> list[str]:
    """Return what a pattern fits, in the order of names; a path that is there is no pattern."""
    if not glob.has_magic(path.partition("://")[2] or path) or os.path.exists(path):
        return [path]
    if is_url(path):
        store = Store(path)
        found = store.ask("find what fits", store.root, partial(_fits, store.root)) or []
    else:
        found = glob.glob(path)
    if not found:
        raise ArchiveError("no path fits", shown(path), "archives", "check the pattern")
    return sorted(found)


def _fits(pattern: str, system: Any) -> list[str]:
    return [system.unstrip_protocol(match) for match in system.glob(pattern)]


def _batched(entries: Iterator[Entry], size: int) -> Iterator[tuple[Entry, ...]]:
    batch: list[Entry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == size:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


def _joined(label_maps: Sequence[LabelMap]) -> LabelMap:
    """Return the labels of all maps in the order in which they come, each with a free colour."""
    if len({label_map.labels for label_map in label_maps}) == 1:
        return label_maps[0]
    labels: dict[str, Label] = {}
    for label_map in label_maps:
        for label in label_map.labels:
            labels.setdefault(label.name, label)
    return with_own_colors(labels.values(), "the labels of all archives")
