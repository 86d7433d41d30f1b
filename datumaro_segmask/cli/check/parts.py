"""The items of an archive, checked one after the other here, or in parts by processes or a cluster.

A part is a pure function of small values. One with broken items has them among its findings, like
the check of the whole archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from secrets import token_hex

from ...archive import Archive, LabelMap, Reader
from ...progress import track
from ...rules import Finding, judge_items
from ...storage import Entry, Storage, open_storage
from ..parallel import in_chunks
from .items import SubsetCount

_PART = 250  # items that a cluster gets at a time: a few ranges of a zip in a store
_DESC = "Checking masks"


@dataclass(frozen=True)
class Judge:
    """How items are judged, whoever does it. ``path`` is that of the archive.

    ``check`` tells one check from the next, for a worker may see both, and the archive may be
    another by then.
    """

    path: str
    label_map: LabelMap
    for_cvat: bool
    ignore_index: int | None
    max_pixels: int
    check: str = field(default_factory=token_hex)


@dataclass(frozen=True)
class Checked:
    """What is known of one item; ``class_mask`` and ``way``, how that was read, are of `Item`."""

    entry: Entry
    count: SubsetCount
    class_mask: str | None
    way: str | None
    findings: list[Finding]


def check_items(
    judge: Judge,
    archive: Archive,
    entries: Sequence[Entry],
    jobs: int = 1,
    executor: Executor | None = None,
) -> Iterator[Checked]:
    """Yield what is known of each item, in the order of the entries, and show the progress."""
    if jobs <= 1 and executor is None:
        checked = _checked(judge, archive.storage, entries)
        yield from track(checked, _DESC, len(entries))
        return
    size = None if executor is None else _PART
    yield from in_chunks(partial(_check_part, judge), entries, _DESC, jobs, executor, size)


def _check_part(judge: Judge, _: int, entries: Sequence[Entry]) -> list[Checked]:
    return list(_checked(judge, _storage(judge.path, judge.check), entries))


@lru_cache(maxsize=1)
def _storage(path: str, _: str) -> Storage:
    return open_storage(path)


def _checked(judge: Judge, storage: Storage, entries: Sequence[Entry]) -> Iterator[Checked]:
    label_map = judge.label_map
    reader = Reader(
        storage, label_map, ignore_index=judge.ignore_index, max_pixels=judge.max_pixels
    )
    for entry, item, found in judge_items(reader, entries, judge.for_cvat):
        count = SubsetCount(items=1)
        if item is not None:
            count.add(item, label_map)
        else:
            count.broken += bool(found)
        place, way = (None, None) if item is None else (item.class_mask, item.way)
        yield Checked(entry, count, place, way, found)
