"""The work of one worker: some items of one archive, named by their ids, read one by one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TypeAlias

from ..archive import Archive, LabelMap, Reader, join_label_maps, read_label_map
from ..errors import check_options
from ..options import MAX_PIXELS, PART_ITEMS, Numbers
from ..rules import open_archive
from ..storage import Entry, Storage, absolute, fitting, open_storage, shown


@dataclass(frozen=True, slots=True)
class Part:
    """Some items of one archive. ``first``: the number of items in all earlier parts."""

    number: int
    path: str
    entries: tuple[Entry, ...]
    first: int

    def digest(self) -> str:
        """Return a text that differs if another part has the same number."""
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

    ``run`` identifies the run: the same worker may do parts of the next run, and then another
    archive may be at ``path``.
    """
    storage = open_storage(path)
    return reading.reader(storage, read_label_map(storage))


@dataclass(frozen=True)
class Plan:
    """Archives, and the number of items per part. The ids are kept on the disk.

    ``label_map``: the labels of all archives; labels of the same name are one label.
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

    ``part_items``: items per part. Raises SegmaskImportError, and OptionError for a number of items
    that is out of range.
    """
    check_options(Numbers, {"shard_items": part_items}, "make_plan")
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found = fitting(absolute(path) for path in listed)
    archives = [(path, open_archive(path, stream=True)) for path in found]
    label_map = join_label_maps([archive.label_map for _, archive in archives])
    return Plan(tuple(archives), part_items, label_map)


def _batched(entries: Iterator[Entry], size: int) -> Iterator[tuple[Entry, ...]]:
    return iter(lambda: tuple(islice(entries, size)), ())
