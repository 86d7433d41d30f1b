"""What is to be said of an archive that is no error: findings, for `check` and for the log.

An import logs those that it takes to `log_findings`, one line a kind. The errors of the readers
become findings in `findings_of`. Source: docs/format.md, sections 1 to 4.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from .. import colors
from ..errors import MaskSizeError, SegmaskImportError, UndeclaredColorError, counted
from ..storage import layout
from ..storage.read import Storage
from .item import Scan
from .labelmap import BACKGROUND, LabelMap
from .meaning import ClassLookup, remedy_of_color, remedy_of_value
from .numbering import LAST_SHARED

log = logging.getLogger(__name__)

_SHOWN = 8  # undeclared values of one mask that are findings of their own
_FIX_NUMBERS = (
    "'datum convert -if segmask -f segmask' numbers the instances from 1; images with more than "
    "255 have to be cut"
)


@dataclass(frozen=True)
class Finding:
    """One finding.

    ``file`` is the place in the archive, with the line where there are lines. ``what`` says what
    was met, ``fix`` what to do. ``pixels`` is how many pixels it is about, None where it is not
    about pixels. ``value`` is the colour or gray value it is about, as text.
    """

    kind: str
    file: str
    what: str
    fix: str
    item: str | None = None
    subset: str | None = None
    pixels: int | None = None
    value: str | None = None


Note: TypeAlias = Callable[[Callable[[str], str], Iterable[Finding]], None]
"""Takes findings of one kind that are no errors, and what gives their files a name in messages."""


def log_findings(place: Callable[[str], str], findings: Iterable[Finding]) -> None:
    """Log findings of one kind in one line: the first by name, and how many there are."""
    first, count = None, 0
    for finding in findings:
        count += 1
        if first is None or finding.file < first.file:
            first = finding
    if first is not None:
        total = f" ({count:,} items in all)" if count > 1 else ""
        log.warning("%s: %s%s. To fix it: %s.", place(first.file), first.what, total, first.fix)


# Errors as findings


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
    nearest = ClassLookup(label_map).nearest
    for number, pixels in found[:_SHOWN]:
        if error.kind == "undeclared-value":
            value = str(number)
            what = f"{value} is none of the {len(label_map.labels):,} lines of the label map"
            fix = remedy_of_value(number)
        else:
            value = colors.show(number)
            near = nearest(number)
            what = f"no label has the colour {value}" + (f"; nearest: {near}" if near else "")
            fix = remedy_of_color(number, len(found))
        yield Finding(error.kind, file, what, fix, item, pixels=pixels, value=value)
    rest = found[_SHOWN:]
    if rest:
        what = f"{len(rest):,} more colours or values are not declared"
        total = sum(pixels for _, pixels in rest)
        yield Finding(error.kind, file, what, fix, item, pixels=total)


# The archive as a whole


def no_label_map(storage: Storage) -> Iterator[Finding]:
    """Yield whether the labels of VOC hold, for want of others."""
    if not storage.exists(layout.LABEL_MAP):
        what = "there is no label map, so the labels of the VOC dataset hold"
        fix = "write a label map if other labels are meant"
        yield Finding("no-label-map", layout.LABEL_MAP, what, fix)


def no_lists(count: int) -> Finding:
    """Return what is said of an archive without subset lists, which has ``count`` items."""
    subset = layout.DEFAULT_SUBSET
    what = f"there are no subset lists, so all {counted(count, 'item')} with masks are taken for "
    what += f"the subset {subset!r}"
    fix = f"write their ids, one a line, into {layout.subset_list(subset)}"
    return Finding("no-lists", layout.SUBSETS, what, fix)


def unlisted_masks(item_id: str, file: str) -> Finding:
    """Return what is said of an item that no list names, though it has a mask, ``file``."""
    problem = layout.problem_of_name(item_id)
    if problem is not None:
        what, fix = f"its name cannot be an id: {problem}", "rename the file"
        return Finding("unsafe-path", file, what, fix, item_id)
    what, fix = "no list names it, so it is left out", "add its id to a list to import it"
    return Finding("unlisted-masks", file, what, fix, item_id)


def background_doubts(label_map: LabelMap) -> Iterator[Finding]:
    """Yield what makes it doubtful which label is the background (docs/format.md, section 2)."""
    labels = label_map.labels
    named = [i for i, label in enumerate(labels) if label.name.lower() == BACKGROUND]
    black = label_map.black
    if black is not None and named and black not in named:
        assert label_map.background is not None
        what = f"{labels[label_map.background].name!r} is the background by its name, but CVAT "
        what += f"goes by the colour and takes {labels[black].name!r}, which is black"
        fix = "make the background black, in the masks too"
        yield Finding("background", layout.LABEL_MAP, what, fix)
    elif len(named) > 1:
        names = ", ".join(repr(labels[i].name) for i in named)
        what, fix = f"several labels have the name of the background: {names}", "rename all but one"
        yield Finding("background", layout.LABEL_MAP, what, fix)


def no_background(label_map: LabelMap) -> Iterator[Finding]:
    """Yield whether no label at all is the background."""
    if label_map.labels and label_map.background is None:
        what = "no label is named background or black, so black pixels have no label"
        fix = "add the line 'background:0,0,0::' to the label map"
        yield Finding("no-background", layout.LABEL_MAP, what, fix)


# An item that is read: what may not be meant


def doubts_of_item(scan: Scan, label_map: LabelMap, for_cvat: bool) -> Iterator[Finding]:
    """Yield what is odd about the files of an item that can be read."""
    item_id = scan.item_id
    class_mask, instance_mask = layout.class_mask(item_id), layout.instance_mask(item_id)
    if scan.image and scan.image_size is None:
        what, fix = "its size cannot be read", "check that it is an image, and save it again"
        yield Finding("unreadable-image", scan.image, what, fix, item_id)
    if not scan.has_labels and not scan.has_numbers:
        what, fix = "it has no masks", "leave it so if it has no objects, else add its masks"
        yield Finding("listed-without-masks", class_mask, what, fix, item_id)
    elif not scan.has_labels:
        what, fix = "its instances have no label", "add the class mask"
        yield Finding("missing-class-mask", class_mask, what, fix, item_id)
    elif not scan.has_numbers:
        what = "there is no instance mask"
        fix = "'datumaro-segmask from-masks' makes instances of class masks"
        yield Finding("missing-instance-mask", instance_mask, what, fix, item_id)
    if scan.has_numbers:
        yield from _past_255(scan, instance_mask, for_cvat)
        if scan.has_labels:
            yield from _doubts_of_pairs(scan, label_map, instance_mask)


def _past_255(scan: Scan, name: str, for_cvat: bool) -> Iterator[Finding]:
    """Say that CVAT and VOC know 255 numbers: it merges gray ones, and refuses colours."""
    high = {n: pixels for n, pixels in scan.pixels_of_numbers().items() if n > LAST_SHARED}
    if not high:
        return
    who, pixels, value = _instances(list(high)), sum(high.values()), None
    kind = "instance-number"
    if scan.instance_is_gray:
        kind = "sixteen-bits" if for_cvat else kind
        what = f"CVAT takes {who} modulo 256"
    else:
        value = ",".join(map(str, colors.voc_color(min(high))))
        what = f"the colour of {who} is none of VOC's first 256"
    yield Finding(kind, name, what, _FIX_NUMBERS, scan.item_id, pixels=pixels, value=value)


def _doubts_of_pairs(scan: Scan, label_map: LabelMap, name: str) -> Iterator[Finding]:
    """Say which pixels have a label or an instance alone, and which instances several labels."""
    bare: dict[int, int] = {}
    labels: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for number, label, pixels in scan.pixels_of_pairs():
        if label is not None:
            labels[number][label_map.labels[label].name] += pixels
        elif number:
            bare[number] = pixels
    loose = labels.pop(0, Counter())
    if loose:
        what = f"pixels of {_shares(loose)} belong to no instance"
        fix = "leave it so if this is 'stuff', else draw them into the instance mask"
        file, pixels = layout.class_mask(scan.item_id), loose.total()
        yield Finding("class-without-instance", file, what, fix, scan.item_id, pixels=pixels)
    for number, shares in labels.items():
        if len(shares) > 1:
            what = f"instance {number} spans {_shares(shares)}"
            fix = "give all its pixels one label, or each part a number of its own"
            rest = shares.total() - max(shares.values())
            yield Finding("instance-over-labels", name, what, fix, scan.item_id, pixels=rest)
    if bare:
        what = f"pixels of {_instances(list(bare))} lie on the background"
        fix = "label these pixels in the class mask, or blacken them in the instance mask"
        pixels = sum(bare.values())
        yield Finding("instance-without-class", name, what, fix, scan.item_id, pixels=pixels)


def _shares(shares: Counter[str]) -> str:
    return ", ".join(f"{name} ({pixels:,} px)" for name, pixels in shares.most_common())


def _instances(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"instance {numbers[0]}"
    return f"{len(numbers)} instances ({numbers[0]}, {numbers[1]} ...)"
