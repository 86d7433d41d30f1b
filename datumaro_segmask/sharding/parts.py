"""What one worker does: some items of one archive, named by their ids, read one by one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TypeAlias

from ..archive import Archive, LabelMap, Reader, join_label_maps, read_label_map
from ..errors import SegmaskExportError
from ..png import MAX_PIXELS
from ..rules import open_archive
from ..storage import Entry, Storage, absolute, fitting, open_storage, shown

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
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found = fitting(absolute(path) for path in listed)
    archives = [(path, open_archive(path, stream=True)) for path in found]
    label_map = join_label_maps([archive.label_map for _, archive in archives])
    return Plan(tuple(archives), part_items, label_map)


def _batched(entries: Iterator[Entry], size: int) -> Iterator[tuple[Entry, ...]]:
    return iter(lambda: tuple(islice(entries, size)), ())
