"""All rules, and what they find in an archive, an item, all of its items; what an import logs.

Rules stand in the order of a report; the names of their kinds are stable.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from .. import colors
from ..archive import Archive, Item, Label, LabelMap, Reader, Scan, nearest, remedy_of
from ..archive import open_archive as open_silently
from ..errors import (
    MaskSizeError,
    Report,
    SegmaskImportError,
    UndeclaredColorError,
    printable,
    reporting,
    stop,
)
from ..regions import NOTHING
from ..storage import Entry, Storage, layout
from . import cvat, files, labels, lists, masks
from .facts import ArchiveFacts, ItemFacts, LabelFacts, WholeFacts
from .rule import ARCHIVE, ITEM, WHOLE, Finding, Rule

RULES: dict[str, Rule] = {
    rule.kind: rule
    for module in (labels, lists, files, masks, cvat)
    for rule in vars(module).values()
    if isinstance(rule, Rule)
}


def severity_of(finding: Finding, for_cvat: bool) -> str | None:
    """Return how grave a finding is, None where it is nothing."""
    return RULES[finding.kind].severity_for(for_cvat)


def rules_of(looks_at: str) -> list[Rule]:
    """Return the rules that look at archives, at items, or at all of the items."""
    return [rule for rule in RULES.values() if rule.looks_at == looks_at]


log = logging.getLogger(__name__)


def open_archive(
    path: str | os.PathLike[str], stream: bool = False, report: Report = stop
) -> Archive:
    """Open an archive as `archive.open_archive` does, and log what should be known of it.

    One warning a rule.
    """
    archive = open_silently(path, stream, report)
    facts = ArchiveFacts(archive, os.fspath(path))
    for rule in rules_of(ARCHIVE):
        if rule.is_logged:
            log_findings(archive.storage.place, rule.findings(facts))
    return archive


def log_findings(place: Callable[[str], str], findings: Iterable[Finding]) -> None:
    """Log findings of one kind in one line: the first by name, and how many there are."""
    first, count = None, 0
    for finding in findings:
        count += 1
        if first is None or finding.file < first.file:
            first = finding
    if first is not None:
        total = f" ({count:,} items in all)" if count > 1 else ""
        text = f"{place(first.file)}: {first.what}{total}. To fix it: {first.fix}."
        log.warning("%s", printable(text))


def log_background(label_map: LabelMap) -> None:
    """Log whether it is in doubt which label of an export is the background."""
    facts = LabelFacts(label_map)
    log_findings(lambda _: label_map.where, RULES["background"].findings(facts))


def judge_archive(facts: ArchiveFacts) -> Iterator[Finding]:
    """Yield what is to be said of an archive before its items are read."""
    yield from _found(rules_of(ARCHIVE), facts, facts.for_cvat)


def judge_whole(facts: WholeFacts, for_cvat: bool) -> Iterator[Finding]:
    """Yield what is to be said of an archive when its items have been read."""
    yield from _found(rules_of(WHOLE), facts, for_cvat)


def judge_items(
    reader: Reader, entries: Iterable[Entry], for_cvat: bool
) -> Iterator[tuple[Entry, Item | None, list[Finding]]]:
    """Yield each item, None where it cannot be read, and what is to be said of it."""
    for entry, scan in reader.scans(entries):
        yield entry, *_judge_item(reader, scan, for_cvat)


def _judge_item(reader: Reader, scan: Scan, for_cvat: bool) -> tuple[Item | None, list[Finding]]:
    if for_cvat and len(scan.errors) == 1 and isinstance(scan.errors[0], UndeclaredColorError):
        scan = _as_cvat_sees(scan, reader, scan.errors[0]) or scan
    errors, item = [*scan.errors], scan.item()
    storage, label_map = reader.storage, reader.label_map
    if isinstance(item, Item) and label_map.labels:
        with reporting(errors.append):
            facts = ItemFacts(scan, item, reader, for_cvat)
            return item, list(_found(rules_of(ITEM), facts, for_cvat))
    found = (findings_of(error, storage, label_map, scan.item_id) for error in errors)
    return None, [finding for some in found for finding in some]


def _as_cvat_sees(scan: Scan, reader: Reader, error: UndeclaredColorError) -> Scan | None:
    """Return an item whose undeclared gray values mean nothing, None if they lie in instances.

    Beside an instance mask CVAT looks at the pixels of instances alone.
    """
    if error.kind != RULES["undeclared-value"].kind or not scan.has_numbers:
        return None
    label_map, count = reader.label_map, len(reader.label_map.labels)
    more = (
        Label(f"\n{value}", (0, 0, 0), value, is_stand_in=True) for value, _ in error.undeclared
    )
    # The colours of stand-ins do not count, as the mask is gray.
    widened = replace(label_map, labels=(*label_map.labels, *more))
    widened_reader = Reader(reader.storage, widened, max_pixels=reader.max_pixels)
    found = widened_reader.scan(scan.item_id)
    is_extra = found.labels >= count
    if np.any(is_extra & (found.numbers > 0)):
        return None
    return replace(
        found,
        errors=[],
        labels=np.where(is_extra, NOTHING, found.labels),
        instances=[i for i in found.instances if i.label is None or i.label < count],
    )


def _found(
    rules: Iterable[Rule], facts: ArchiveFacts | ItemFacts | WholeFacts, for_cvat: bool
) -> Iterator[Finding]:
    for rule in rules:
        if rule.severity_for(for_cvat) is not None:
            yield from rule.findings(facts)


_OWN = 8  # undeclared values of one mask that are findings of their own


def findings_of(
    error: SegmaskImportError, storage: Storage, label_map: LabelMap, item: str | None = None
) -> Iterator[Finding]:
    """Yield what a reader has reported; each undeclared value of a mask is a finding of its own."""
    file = place_in(storage, error.where)
    if isinstance(error, UndeclaredColorError) and error.undeclared:
        yield from _undeclared(error, label_map, file, item)
        return
    what = error.what
    # A size is expected of one file: naming it would part findings that are alike.
    if error.expected and not isinstance(error, MaskSizeError):
        what += f"; expected: {error.expected}"
    yield Finding(error.kind, file, what, error.remedy, item)


def place_in(storage: Storage, where: str) -> str:
    """Return the place in the archive that an error names, or as it names it."""
    root = storage.place(layout.IMAGES).removesuffix(layout.IMAGES)
    return where.removeprefix(root).replace(os.sep, "/")


def _undeclared(
    error: UndeclaredColorError, label_map: LabelMap, file: str, item: str | None
) -> Iterator[Finding]:
    found = error.undeclared
    in_gray = error.kind == "undeclared-value"
    for number, pixels in found[:_OWN]:
        fix = error.cause or remedy_of(number, in_gray)
        if in_gray:
            value = str(number)
            what = f"{value} is not a line of the label map, which has {len(label_map.labels):,}"
        else:
            value = colors.text_of(colors.unpack(number))
            near = nearest(number, label_map)
            what = f"no label has the colour {value}" + (f"; nearest: {near}" if near else "")
        yield Finding(error.kind, file, what, fix, item, pixels=pixels, value=value)
    rest = found[_OWN:]
    if rest:
        what = f"{len(rest):,} more that no label declares"
        total = sum(pixels for _, pixels in rest)
        yield Finding(error.kind, file, what, fix, item, pixels=total)
