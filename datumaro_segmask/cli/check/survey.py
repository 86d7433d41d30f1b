"""All findings of an archive, and counts of what is in it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from secrets import token_hex

from ...archive import WAYS, Archive, Item, LabelMap, Reader, open_archive
from ...errors import SegmaskImportError, check_options
from ...options import MAX_PIXELS, Numbers
from ...progress import track
from ...rules import (
    RULES,
    SEVERITIES,
    ArchiveFacts,
    Finding,
    WholeFacts,
    findings_of,
    judge_archive,
    judge_items,
    judge_whole,
    severity_of,
)
from ...storage import Entry, Storage, open_storage
from ..parallel import in_chunks

_MAX_FAULTS = 100  # lines of one file: what has more is not the file it seems to be
_LINE = re.compile(r":\d+$")
_PART = 250  # items that a cluster gets at a time: a few ranges of a zip in a store
_DESC = "Checking masks"
NO_LABEL = "(no label)"


@dataclass
class Survey:
    """All that `check` has found in one archive.

    ``for_cvat``: whether it was checked for CVAT. ``root``: the folder or zip with the label map.
    ``findings``: the most severe first, those of one kind together. ``subsets``: the counts by the
    name of the subset. ``labels``: the names in the order of the label map.
    """

    for_cvat: bool
    root: str
    findings: list[Finding]
    subsets: dict[str, SubsetCount]
    labels: list[str]

    def totals(self) -> dict[str, int]:
        """Return the number of findings of each severity: ``error``, ``warning``, ``note``."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}


def check(
    path: str | os.PathLike[str],
    *,
    for_cvat: bool = False,
    ignore_index: int | None = None,
    max_pixels: int = MAX_PIXELS,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Survey:
    """Read the whole archive at ``path``, and return what is wrong with it.

    ``for_cvat``: judge it as CVAT will read it, not as this package does. ``ignore_index`` and
    ``max_pixels``: as in an import. ``jobs`` processes, or ``executor``, read the items. Raises
    SegmaskImportError if no archive can be opened, and OptionError for a number that is out of
    range.
    """
    numbers = {"ignore_index": ignore_index, "max_pixels": max_pixels, "jobs": jobs}
    check_options(Numbers, numbers, "check")
    path = os.fspath(path)
    collected = _Collected()
    archive = open_archive(path, report=collected.report)
    storage, label_map = archive.storage, archive.label_map
    facts = ArchiveFacts(archive, path, for_cvat)
    findings = [f for error in collected.errors for f in findings_of(error, storage, label_map)]
    findings += judge_archive(facts)
    counts = {subset: SubsetCount() for subset in archive.subsets}
    entries = [(item_id, subset) for subset, ids in archive.subsets.items() for item_id in ids]
    seen: set[str] = set()
    ways: dict[str, list[str]] = {way: [] for way in WAYS}
    judge = Judge(path, label_map, for_cvat, ignore_index, max_pixels)
    for checked in check_items(judge, archive, entries, jobs, executor):
        item_id, subset = checked.entry
        counts[subset].merge(checked.count)
        if checked.way is not None and checked.class_mask is not None:
            ways[checked.way].append(checked.class_mask)
        if item_id not in seen:  # an item of two subsets has its masks once
            findings += [replace(finding, subset=subset) for finding in checked.findings]
        seen.add(item_id)
    lacks_images = any(of.images < of.items - of.broken for of in counts.values())
    used = {name for of in counts.values() for name in of.labels}
    findings += judge_whole(WholeFacts(facts, ways, lacks_images, used), for_cvat)
    names = [label.name for label in label_map.labels if not label.is_stand_in]
    ranked = _ranked(findings, for_cvat)
    return Survey(for_cvat, storage.place(), ranked, counts, names)


def _ranked(findings: list[Finding], for_cvat: bool) -> list[Finding]:
    """Return what counts as a finding, the gravest first, and by kind."""
    kinds = {kind: rank for rank, kind in enumerate(RULES)}
    graded = [(severity_of(finding, for_cvat), finding) for finding in findings]
    counted = [replace(finding, severity=s) for s, finding in graded if s is not None]
    return sorted(counted, key=lambda f: (SEVERITIES.index(f.severity), kinds[f.kind]))


class _Collected:
    """Collects what is said of an archive as a whole, where an import would end or log it."""

    def __init__(self) -> None:
        self.errors: list[SegmaskImportError] = []
        self._lines: Counter[str] = Counter()  # by file, those with a fault

    def report(self, error: SegmaskImportError) -> None:
        """Take a fault; end the reading of a file that has too many."""
        if self.errors and error is self.errors[-1]:
            return  # which has ended the reading of its file
        self.errors.append(error)
        file, has_line = _LINE.subn("", error.where)
        self._lines[file] += has_line
        if self._lines[file] == _MAX_FAULTS:
            raise error


# Counts


@dataclass
class LabelCount:
    """Counts of a label: instances (with a number), items that have it, pixels."""

    instances: int = 0
    items: int = 0
    pixels: int = 0

    def merge(self, other: LabelCount) -> None:
        """Add the counts of other items."""
        self.instances += other.instances
        self.items += other.items
        self.pixels += other.pixels


@dataclass
class SubsetCount:
    """Counts of a subset. ``annotated``: items with masks; ``broken``: unreadable items."""

    items: int = 0
    annotated: int = 0
    images: int = 0
    broken: int = 0
    labels: dict[str, LabelCount] = field(default_factory=dict)

    def merge(self, other: SubsetCount) -> None:
        """Add the counts of other items."""
        self.items += other.items
        self.annotated += other.annotated
        self.images += other.images
        self.broken += other.broken
        for name, count in other.labels.items():
            self.labels.setdefault(name, LabelCount()).merge(count)

    def add(self, item: Item, label_map: LabelMap) -> None:
        """Count what is in an item that could be read."""
        self.annotated += bool(item.instances)
        self.images += item.image is not None
        of_item = set()
        for instance in item.instances:
            name = NO_LABEL if instance.label is None else label_map.labels[instance.label].name
            of_item.add(name)
            count = self.labels.setdefault(name, LabelCount())
            count.pixels += instance.area
            count.instances += instance.number > 0
        for name in of_item:
            self.labels[name].items += 1


# The items, checked here, or in parts by processes or a cluster. A part is a pure function of small
# values.


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
