"""All findings of an archive, and counts of what is in it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from datumaro.components.progress_reporting import NullProgressReporter

from ...archive.item import Item
from ...archive.labelmap import BACKGROUND, BLACK, LabelMap
from ...archive.lists import unlisted_items
from ...errors import ArchiveError, SegmaskImportError
from ...plugin.host import track
from ...png.container import MAX_PIXELS
from ...storage import layout
from ...storage.open import open_storage
from ...storage.read import Storage
from .cvat import cvat_label_map_findings, cvat_subset_findings
from .findings import KINDS, SEVERITIES, Finding
from .items import ItemChecker
from .tolerant import is_stand_in, of_error, read_labels, read_lists


@dataclass
class LabelCount:
    """What there is of a label: instances (those with a number), items that have it, pixels."""

    instances: int = 0
    items: int = 0
    pixels: int = 0


@dataclass
class SubsetCount:
    """What there is in a subset. ``annotated`` counts items with masks, ``broken`` unread ones."""

    items: int = 0
    annotated: int = 0
    images: int = 0
    broken: int = 0
    labels: dict[str, LabelCount] = field(default_factory=dict)


@dataclass
class Survey:
    """What `check` knows at the end: findings by severity and kind, and counts by subset."""

    for_cvat: bool
    findings: list[Finding]
    subsets: dict[str, SubsetCount]
    labels: list[str]

    def totals(self) -> dict[str, int]:
        """Return the number of findings of each severity."""
        found = Counter(finding.severity(self.for_cvat) for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}


def survey(
    path: str,
    *,
    for_cvat: bool = False,
    ignore_index: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Survey:
    """Read the archive at ``path`` as a whole. Raises SegmaskImportError if it cannot be opened."""
    storage = open_storage(path)
    label_map, findings = read_labels(storage)
    subsets, faults = _read_subsets(storage)
    findings += faults
    if label_map is not None:
        findings += _background_findings(label_map)
    if for_cvat:
        findings += cvat_subset_findings(subsets)
        findings += [] if label_map is None else cvat_label_map_findings(storage, label_map)
    with _quiet():
        checker = ItemChecker(
            storage,
            label_map,
            ignore_index=ignore_index,
            max_pixels=max_pixels,
            for_cvat=for_cvat,
        )
        counts = _check_items(checker, subsets, label_map, findings)
    kinds = list(KINDS)
    ranked = [
        (SEVERITIES.index(severity), kinds.index(finding.kind), finding)
        for finding in findings
        if (severity := finding.severity(for_cvat)) is not None
    ]
    ranked.sort(key=lambda rank: rank[:2])
    labels = () if label_map is None else label_map.labels
    names = [label.name for label in labels if not is_stand_in(label)]
    return Survey(for_cvat, [finding for *_, finding in ranked], counts, names)


def _read_subsets(storage: Storage) -> tuple[dict[str, list[str]], list[Finding]]:
    """Read the lists, or take all masks for the subset `default` where there are none.

    Raises ArchiveError where there are neither.
    """
    subsets, findings = read_lists(storage)
    ids: list[str] = []
    try:
        ids = sorted(unlisted_items(storage))
    except ArchiveError:  # no masks
        if not subsets and not findings:
            raise
    except SegmaskImportError as error:
        findings.append(of_error(error, storage, layout.CLASS_MASKS))
    if not subsets and not findings:
        what = f"all {len(ids):,} items with masks are taken for the subset 'default'"
        fix = f"write their ids, one a line, into {layout.subset_list(layout.DEFAULT_SUBSET)}"
        return {layout.DEFAULT_SUBSET: ids}, [Finding("no-lists", layout.SUBSETS, what, fix)]
    listed = {item_id for listed in subsets.values() for item_id in listed}
    for item_id in ids:
        if item_id not in listed:
            masks = layout.class_mask(item_id), layout.instance_mask(item_id)
            file = next(mask for mask in masks if storage.exists(mask))
            what, fix = "no list names it, so it is not read", "add its id to a list"
            findings.append(Finding("unlisted-masks", file, what, fix, item_id))
    return subsets, findings


def _background_findings(label_map: LabelMap) -> Iterator[Finding]:
    black = next((label for label in label_map.labels if label.color == BLACK), None)
    named = [label for label in label_map.labels if label.name.lower() == BACKGROUND]
    if not named and black is None:
        what = "no label is named background or black, so black pixels have no label"
        fix = "add the line 'background:0,0,0::' to the label map"
        yield Finding("no-background", layout.LABEL_MAP, what, fix)
    elif named and black is not None and black not in named:
        what = f"{named[0].name!r} is it by its name, but CVAT goes by the colour and takes "
        what += f"{black.name!r}, which is black"
        fix = "make the background black, in the masks too"
        yield Finding("background", layout.LABEL_MAP, what, fix)
    elif len(named) > 1:
        names = ", ".join(repr(label.name) for label in named)
        what, fix = f"several labels have the name: {names}", "rename all but one"
        yield Finding("background", layout.LABEL_MAP, what, fix)


def _check_items(
    checker: ItemChecker,
    subsets: dict[str, list[str]],
    label_map: LabelMap | None,
    findings: list[Finding],
) -> dict[str, SubsetCount]:
    counts = {subset: SubsetCount() for subset in subsets}
    entries = [(item_id, subset) for subset, ids in subsets.items() for item_id in ids]
    reporter = NullProgressReporter()
    seen: set[str] = set()
    for item_id, subset in track(entries, reporter, "Checking masks", len(entries)):
        item, found = checker.check(item_id)
        if item_id not in seen:  # an item of two subsets has its masks once
            findings += [_in_subset(finding, subset) for finding in found]
        seen.add(item_id)
        _count(counts[subset], item, bool(found), label_map)
    return counts


def _in_subset(finding: Finding, subset: str) -> Finding:
    return replace(finding, subset=subset)


def _count(
    count: SubsetCount, item: Item | None, has_faults: bool, label_map: LabelMap | None
) -> None:
    count.items += 1
    if item is None:
        count.broken += has_faults
        return
    count.annotated += bool(item.instances)
    count.images += item.image is not None
    of_item: dict[str, set[int]] = {}
    for instance in item.instances:
        name = "(no label)"
        if label_map is not None and instance.label is not None:
            name = label_map.labels[instance.label].name
        of_label = count.labels.setdefault(name, LabelCount())
        of_label.pixels += instance.area
        of_label.instances += instance.number > 0
        of_item.setdefault(name, set()).add(instance.number)
    for name in of_item:
        count.labels[name].items += 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's log back: what it would say of the archive are findings here."""
    log = logging.getLogger(__package__.partition(".")[0])
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
