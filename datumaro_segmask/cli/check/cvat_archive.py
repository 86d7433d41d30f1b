"""What CVAT's own reader makes of the label map, the lists and what lies beside them.

Seen with CVAT's code, see docs/format.md, section 7.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping

from ...archive import BACKGROUND, MAX_LIST_BYTES, Finding, LabelMap, lines_of, text_of
from ...errors import counted
from ...storage import Storage, ZipStorage, layout

_LAST_8_BIT = 255
_FIELDS = 4
_MARK = "\ufeff"
_META = "dataset_meta.json"
_MAIN = "ImageSets/Main"
_BOXES = "Annotations"


def cvat_archive_findings(
    storage: Storage, label_map: LabelMap, subsets: Mapping[str, Collection[str]]
) -> Iterator[Finding]:
    """Yield what CVAT reads otherwise, or not at all, in all but the masks."""
    yield from _label_map_findings(storage, label_map)
    yield from _meta_findings(storage, label_map)
    yield from _subset_findings(storage, subsets)
    yield from _voc_findings(storage)
    if isinstance(storage, ZipStorage):
        yield from _zip_findings(storage)
    for subset in subsets:
        yield from _list_findings(storage, layout.subset_list(subset))
    yield from _id_findings(subsets)


def many_labels(label_map: LabelMap) -> Iterator[Finding]:
    """Yield whether there are more labels than CVAT can read of masks in colour."""
    if len(label_map.labels) > _LAST_8_BIT + 1:
        what = f"there are {len(label_map.labels):,} labels, and the masks are in colour"
        yield Finding("many-labels", layout.LABEL_MAP, what, "use at most 256 labels")


def _label_map_findings(storage: Storage, label_map: LabelMap) -> Iterator[Finding]:
    if not storage.exists(layout.LABEL_MAP):
        return
    text = storage.read(layout.LABEL_MAP).decode("utf-8", "replace")
    lines = dict(enumerate(lines_of(text), 1))
    if text.startswith(_MARK):
        yield from _mark_findings(lines[1].strip())
    fields = {label.line: lines[label.line].strip().split(":") for label in label_map.labels}
    # Where no line has a colour, CVAT too gives each that of its index.
    no_colors = not any(of[1].strip() for of in fields.values() if len(of) > 1)
    for label in label_map.labels:
        of, what = fields[label.line], None
        if label.is_stand_in:
            continue
        if len(of) != _FIELDS:
            what = f"the line has {counted(len(of), 'field')}, and CVAT wants {_FIELDS}"
        elif of[0] != label.name or not (no_colors or _color(of[1]) == label.color):
            what = f"CVAT reads the name {of[0]!r} and the colour {of[1]!r}"
        if what:
            fix = f"write '{label.name.replace(':', ' ')}:{','.join(map(str, label.color))}::'"
            yield Finding("cvat-label-line", f"{layout.LABEL_MAP}:{label.line}", what, fix)


def _mark_findings(first: str) -> Iterator[Finding]:
    """Say what comes of a byte-order mark, which CVAT takes for a part of the line."""
    if first and first.partition(":")[0].strip() != BACKGROUND:
        what = "CVAT takes the byte-order mark at the beginning for a part of the line"
        fix = "save the file as UTF-8 without a byte-order mark"
        yield Finding("cvat-label-line", f"{layout.LABEL_MAP}:1", what, fix)


def _color(field: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(value) for value in field.split(","))
    except ValueError:
        return None


def _meta_findings(storage: Storage, label_map: LabelMap) -> Iterator[Finding]:
    """Say whether the file that CVAT prefers to the label map has other labels."""
    if not storage.exists(_META):
        return
    try:
        found = json.loads(storage.read(_META))["label_map"]
        names = [str(found[key]) for key in sorted(found, key=int)]
    except (ValueError, TypeError, KeyError, AttributeError):
        names = None
    if names != [label.name for label in label_map.labels]:
        shown = "cannot be read" if names is None else f"has {', '.join(map(repr, names[:3]))} ..."
        what = f"CVAT takes the labels of this file for those of the label map, and it {shown}"
        yield Finding("dataset-meta", _META, what, "remove the file")


def _subset_findings(storage: Storage, subsets: Iterable[str]) -> Iterator[Finding]:
    """Say which lists the VOC reader of CVAT passes over, for the '_' in their names."""
    names = list(subsets)
    skipped = [name for name in names if "_" in name]
    kind = "subset-names" if skipped == names else "subset-name"
    for name in skipped:
        what = f"CVAT and Datumaro's VOC plugin skip the subset {name!r}: its name has a '_'"
        if kind == "subset-names":
            what += ", and there is no other"
        fix = "rename the list without '_'"
        yield Finding(kind, layout.subset_list(name), what, fix, subset=name)


def _voc_findings(storage: Storage) -> Iterator[Finding]:
    has_boxes = any(name.lower().endswith(".xml") for name in storage.files(_BOXES))
    has_main = any(storage.files(_MAIN))
    has_lists = any(layout.subset_of(name) for name in storage.files(layout.SUBSETS))
    if has_main and not has_lists:
        what = f"CVAT takes the lists of {_MAIN} alone, and imports no masks"
        yield Finding("main-lists", _MAIN, what, f"copy the lists to {layout.SUBSETS}")
    elif has_main and has_boxes:
        what = f"CVAT also imports the boxes of {_BOXES}"
        yield Finding("voc-boxes", _BOXES, what, f"leave out {_BOXES} and {_MAIN}")


def _list_findings(storage: Storage, name: str) -> Iterator[Finding]:
    """Say which lines of a list are another item to CVAT, which takes them as they stand."""
    if not storage.exists(name):
        return
    with storage.open(name, MAX_LIST_BYTES) as file:
        for number, line in enumerate(io.TextIOWrapper(file, "utf-8", "replace"), 1):
            item_id = text_of(line, number)
            place = f"{name}:{number}"
            if line.startswith(_MARK) and number == 1:
                what = "CVAT takes the byte-order mark at the beginning for a part of the id"
                fix = "save the file as UTF-8 without a byte-order mark"
                yield Finding("cvat-list-line", place, what, fix)
            if not item_id or item_id.startswith("#"):
                continue
            if "\\" in item_id:
                what = f"CVAT looks for a mask of the name {item_id!r}, and finds none"
                yield Finding("list-backslash", place, what, "write '/' between folders")
            elif item_id.startswith("./") or _ends_like_a_file(storage, item_id):
                what = f"CVAT takes {item_id!r} as it stands for the id, and finds no such item"
                fix = f"write only the id, without {'./' if item_id[0] == '.' else 'its suffix'}"
                yield Finding("cvat-list-line", place, what, fix)


def _ends_like_a_file(storage: Storage, item_id: str) -> bool:
    is_file = layout.split_suffix(item_id)[1].lower() in layout.IMAGE_SUFFIXES
    masks = layout.class_mask(item_id), layout.instance_mask(item_id)
    return is_file and not any(map(storage.exists, masks))


def _zip_findings(storage: ZipStorage) -> Iterator[Finding]:
    """Say which names in a zip CVAT, which unpacks it by Python's ``zipfile``, reads otherwise."""
    for name, theirs in storage.unmarked():
        if "\\" in theirs:
            what = f"CVAT takes the backslashes in {theirs!r} for letters, and finds no folders"
            fix = "pack the archive again, with a tool that writes '/' between folders"
            yield Finding("zip-backslash", name, what, fix)
            return  # as all names of one tool are alike
        if name.startswith((f"{layout.CLASS_MASKS}/", f"{layout.INSTANCE_MASKS}/")):
            what = f"CVAT reads its name as {theirs.rpartition('/')[2]!r}, and does not find it"
            fix = "pack the archive again, with a tool that marks names as UTF-8, such as Python's"
            yield Finding("mask-name", name, what, fix)


def _id_findings(subsets: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    numbers: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for subset, ids in subsets.items():
        file = layout.subset_list(subset)
        for item_id in ids:
            if item_id.startswith("#"):
                what = f"the id {item_id!r} is a comment to CVAT, which leaves the item out"
                yield Finding("hash-id", file, what, "rename the item", item_id, subset)
            if seen.setdefault(item_id, subset) != subset:
                what = f"the item is in the list of {seen[item_id]!r} too, so a task gets its "
                what += "objects twice"
                fix = "leave it in one list"
                yield Finding("same-id", file, what, fix, item_id, subset)
            if item_id.isascii() and item_id.isdigit():
                numbers.append((item_id, subset))
    if numbers:
        item_id, subset = numbers[0]
        what = f"{counted(len(numbers), 'id')} such as {item_id!r} would be the numbers of frames "
        what += "in a task that has no frame of that name"
        fix = "make sure that the frames have these names"
        yield Finding("numeric-ids", layout.subset_list(subset), what, fix)
