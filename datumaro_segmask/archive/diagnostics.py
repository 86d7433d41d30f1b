"""What is to be said of an archive that is no error: findings, for `check` and for the log.

An import logs those that it takes to `log_findings`, one line a kind. Source: docs/format.md,
sections 1 to 4.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from ..errors import ArchiveError, counted, printable
from ..storage import Storage, layout
from .files import PassedFolder
from .labelmap import BACKGROUND, BLACK, VOC_LABELS, Label, LabelMap, shared_colors

log = logging.getLogger(__name__)

_LOOKED_AT = 100_000  # files in which a label map by another name is looked for
_COLOR_IN_NAME = re.compile(  # three numbers or six digits at the end, or any line's beginning
    r"[^\w.+-]\s*((\d{1,3})\s*([,;|\t ])\s*\d{1,3}\s*\3\s*\d{1,3}|#[0-9a-f]{6})\W*$"
    r"|:\s*\d{1,3},\d{1,3},\d{1,3}\s*:",
    re.I,
)
_NUMBER_IN_NAME = re.compile(r"(\d{1,5})[\s,;:.)=|-]\s*\D")
_LOOK_ALIKE = re.compile(
    r"(label|class|colou?r|obj|names?\b)[^/]*(\.(txt|csv|tsv|json|names|ya?ml|rtf|pbtxt)|map)"
    r"([._ ~(-](bak|old|orig|copy|backup|save|\d)?[^/]*)?",
    re.I,
)
_NO_LABELS = {
    BACKGROUND, "void", "unlabeled", "unlabelled", "unknown", "none", "nothing", "other", "ignore"
}  # fmt: skip
_VOC_HOLDS = f"the labels of VOC hold: {', '.join(VOC_LABELS[:3])} ..."


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
        text = f"{place(first.file)}: {first.what}{total}. To fix it: {first.fix}."
        log.warning("%s", printable(text))


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


def no_list(file: str, why: str) -> Finding:
    """Return what is said of a file among the lists that is none."""
    what = f"this is no list of items, for {why}, so it is passed over"
    return Finding("no-list", file, what, "move it out of the folder of the lists")


def list_name(file: str) -> Finding:
    """Return what is said of a file among the lists that is none by its name."""
    subset = layout.split_suffix(file.rpartition("/")[2])[0]
    what = f"lists are {layout.LIST_SUFFIX} files in {layout.SUBSETS}, so this one is passed over"
    return Finding("no-list", file, what, f"if it is one, call it {layout.subset_list(subset)}")


def unlisted_masks(item_id: str, file: str) -> Finding:
    """Return what is said of an item that no list names, though it has a mask, ``file``."""
    problem = layout.problem_of_name(item_id)
    if problem is not None:
        what, fix = f"its name cannot be an id: {problem}", "rename the file"
        return Finding("unsafe-path", file, what, fix, item_id)
    what, fix = "no list names it, so it is left out", "add its id to a list to import it"
    return Finding("unlisted-masks", file, what, fix, item_id)


def no_mask(file: str) -> Finding:
    """Return what is said of a file in a folder of masks that is no PNG by its suffix."""
    suffix = layout.split_suffix(file)[1]
    what = f"masks are {layout.MASK_SUFFIX} files, so this one is left out"
    fix = "save it as PNG, or move it elsewhere if it is no mask"
    if suffix.lower() in (".jpg", ".jpeg"):
        fix = "draw it again and save it as PNG, for JPEG has changed its values"
    elif suffix.lower() in (".bmp", ".tif", ".tiff"):
        folder = file.partition("/")[0]
        fix = f"save it as PNG; 'datumaro-segmask from-masks {folder} --labels {layout.LABEL_MAP} "
        fix += "-o task.zip' makes an archive of such masks"
    return Finding("mask-type", file, what, fix)


def two_masks(taken: str, other: str) -> Finding:
    """Return what is said of an item with two masks in one folder, of which one is taken."""
    what = f"its item has another mask, whose suffix is written otherwise, and {taken} is taken"
    return Finding("two-masks", other, what, "remove or rename one of them")


def passed_folder(folder: PassedFolder) -> Finding:
    """Return what is said of a folder that is passed over for its name."""
    what = f"masks are read of {folder.meant} alone, so {counted(folder.masks, 'mask')} here "
    what += ("is" if folder.masks == 1 else "are") + " passed over"
    return Finding("folder-name", folder.name, what, _right_place(folder))


def no_mask_folder(folder: PassedFolder, where: str) -> ArchiveError:
    """Return the error for an archive whose only masks lie in a folder that is passed over."""
    return ArchiveError(
        f"the only masks lie in a folder {folder.name!r}, which is none of the format",
        where,
        f"masks in {layout.CLASS_MASKS} and {layout.INSTANCE_MASKS}",
        _right_place(folder),
        kind="mask-folder",
    )


def _right_place(folder: PassedFolder) -> str:
    if folder.has_masks:
        return f"if its masks are meant, move them into {folder.meant}"
    return f"if it is meant, rename it to {folder.meant}, letter by letter"


def no_masks(count: int) -> Finding:
    """Return what is said of an archive of which no listed item has a mask."""
    what = f"none of the {counted(count, 'listed item')} has a mask"
    folders = f"{layout.CLASS_MASKS} and {layout.INSTANCE_MASKS}"
    fix = f"if there should be some, put them in {folders}, named as the lists name the items"
    return Finding("no-masks", layout.CLASS_MASKS, what, fix)


def inner_archive(folder: str) -> Finding:
    """Return what is said of a folder of an archive that is an archive itself."""
    what = "this folder is an archive itself, and is passed over"
    fix = "if it is meant, import it by itself, and join both with 'datum merge'"
    return Finding("inner-archive", folder, what, fix)


def two_images(item_id: str, taken: str, other: str) -> Finding:
    """Return what is said of an item with several images, of which one is taken."""
    what = f"its item has several images, and {taken} is taken"
    return Finding("two-images", other, what, "remove all but one", item_id)


def background_doubts(label_map: LabelMap) -> Iterator[Finding]:
    """Yield what makes it doubtful which label is the background (docs/format.md, section 2)."""
    labels = label_map.labels
    named = [i for i, label in enumerate(labels) if label.name.lower() == BACKGROUND]
    black, background = label_map.black, label_map.background
    if black is not None and background is not None and labels[background].color != BLACK:
        what = f"{labels[background].name!r} is the background by its name, but CVAT "
        what += f"goes by the colour and takes {labels[black].name!r}, which is black"
        fix = "make the background black, in the masks too"
        yield Finding("background", layout.LABEL_MAP, what, fix)
    elif len(named) > 1:
        names = ", ".join(repr(labels[i].name) for i in named)
        what, fix = f"several labels have the name of the background: {names}", "rename all but one"
        yield Finding("background", layout.LABEL_MAP, what, fix)
    if background is not None and not (named or labels[background].has_color):
        yield from black_label(label_map, "background")


def black_label(label_map: LabelMap, kind: str = "black-label") -> Iterator[Finding]:
    """Yield a label that is the background by its colour alone, though its name says otherwise."""
    label = None if label_map.background is None else label_map.labels[label_map.background]
    words = set() if label is None else {*re.findall(r"[a-z]+", label.name.lower())}
    if label is None or words & _NO_LABELS or _COLOR_IN_NAME.search(label.name):  # which is said
        return
    what = f"{label.name!r} is taken for the background, as it is black and no label is named so"
    fix = (
        f"if it is none, add the line 'background:0,0,0::', and give {label.name!r} its own colour"
    )
    if not label.has_color:
        what = f"{label.name!r} is taken for the background: it has no colour, "
        what += "and the first line's is black then"
        fix = f"if it is none, write 'background' into a line before {label.name!r}"
    yield Finding(kind, f"{layout.LABEL_MAP}:{label.line}", what, fix)


def color_doubts(label_map: LabelMap) -> Iterator[Finding]:
    """Yield the labels that have the colour of another one (docs/format.md, section 2)."""
    background = None if label_map.background is None else label_map.labels[label_map.background]
    for first, label in shared_colors(label_map):
        what = f"{label.name!r} has the colour {','.join(map(str, label.color))} of {first.name!r}"
        what += f", so as in CVAT all pixels of it are {label.name!r}"
        if first is background:
            what += " where there is an instance, and background elsewhere"
        fix = "give one of them another colour, in the masks too"
        yield Finding("duplicate-color", f"{layout.LABEL_MAP}:{label.line}", what, fix)


def comment_doubts(label_map: LabelMap) -> Iterator[Finding]:
    """Yield the lines that would be labels but for the ``#``, which to CVAT, too, are comments."""
    for label in label_map.comments:
        what = f"the line of '#{label.name}' is a comment, for CVAT too, and no label"
        fix = "if it is meant as a label, give it a name without '#' at its beginning"
        yield Finding("comment-line", f"{layout.LABEL_MAP}:{label.line}", what, fix)


def name_doubts(label_map: LabelMap) -> Iterator[Finding]:
    """Yield the names that look like lines of another tool's map: with a number, or a colour."""
    labels = [label for label in label_map.labels if label.line and not label.is_stand_in]
    named = [label for label in labels if label.name.lower() != BACKGROUND]
    numbered = bool(named) and all(map(_numbered, named))
    for label in labels:
        if (numbered and label in named) or _COLOR_IN_NAME.search(label.name):
            what = f"the name {label.name!r} looks like a line of another tool's label map"
            fix = "write 'name:r,g,b::', with colons, and nothing before the name"
            yield Finding("label-name", f"{layout.LABEL_MAP}:{label.line}", what, fix)


def _numbered(label: Label) -> bool:
    begin = _NUMBER_IN_NAME.match(label.name)
    return begin is not None and int(begin[1]) in (label.index, label.index + 1)


def look_alikes(storage: Storage) -> Iterator[Finding]:
    """Yield the files that may be meant as label map, of an archive that has none."""
    if not storage.exists(layout.LABEL_MAP):
        if storage.above(layout.LABEL_MAP):
            what = f"this label map lies one folder above the archive, so {_VOC_HOLDS}"
            fix = f"if it belongs to the archive, put it beside the folder {layout.CLASS_MASKS}"
            yield Finding("label-map-name", f"../{layout.LABEL_MAP}", what, fix)
        for name in sorted(filter(_is_like_label_map, islice(storage.beside(), _LOOKED_AT))):
            what = f"this is no label map by its name, so {_VOC_HOLDS}"
            fix = f"if it is one, call it {layout.LABEL_MAP}, with a line 'name:r,g,b::' a label"
            yield Finding("label-map-name", name, what, fix)


def _is_like_label_map(file: str) -> bool:
    folder, _, name = file.rpartition("/")
    is_near = "/" not in folder and (name == layout.LABEL_MAP or not folder)
    return is_near and _LOOK_ALIKE.fullmatch(name) is not None


def two_ways(by_color: str, by_index: str) -> Finding:
    """Return what is said of two class masks of one archive that are read in two ways."""
    what = f"its values are lines of the label map, but {by_color} of the same archive goes by "
    what += "colour; tools that shrink PNGs make gray of black and white"
    fix = "write all class masks in the colours of the label map"
    return Finding("class-mask-kinds", by_index, what, fix)


def no_background(label_map: LabelMap) -> Iterator[Finding]:
    """Yield whether no label at all is the background."""
    if label_map.labels and label_map.background is None:
        what = "no label is named background or black, so black pixels have no label, and 0 in "
        what += f"masks in gray is {label_map.labels[0].name!r}"
        fix = "add the line 'background:0,0,0::' to the label map"
        yield Finding("no-background", layout.LABEL_MAP, what, fix)
