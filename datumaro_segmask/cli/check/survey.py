"""All findings of an archive, and counts of what is in it."""

from __future__ import annotations

import os
import re
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from ...archive import WAYS, open_archive
from ...errors import SegmaskImportError, check_options
from ...options import MAX_PIXELS, Numbers
from ...rules import (
    RULES,
    SEVERITIES,
    ArchiveFacts,
    Finding,
    WholeFacts,
    findings_of,
    judge_archive,
    judge_whole,
    severity_of,
)
from .items import SubsetCount
from .parts import Judge, check_items

_MAX_FAULTS = 100  # lines of one file: what has more is not the file it seems to be
_LINE = re.compile(r":\d+$")


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
