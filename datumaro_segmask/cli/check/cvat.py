"""What CVAT's own reader makes of what `segmask` reads (docs/format.md, sections 1 to 4).

CVAT knows the colours of the label map and the first 256 of VOC, takes 8 bits of everything, and
splits the lines of a label map at every colon.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ... import colors
from ...archive.diagnostics import Finding
from ...archive.item import Scan
from ...archive.labelmap import LabelMap
from ...archive.meaning import ClassLookup
from ...png import MaskReader
from ...storage import layout
from ...storage.read import Storage

_LAST_8_BIT = 255
_NOTHING = {
    colors.BLACK: "black",
    int(colors.pack(np.array(colors.VOID))): "void",
}


def cvat_label_map_findings(storage: Storage, label_map: LabelMap) -> Iterator[Finding]:
    """Yield what CVAT reads otherwise, or not at all, in the label map file."""
    if len(label_map.labels) > _LAST_8_BIT + 1:
        what = f"there are {len(label_map.labels):,} labels"
        yield Finding("many-labels", layout.LABEL_MAP, what, "use at most 256 labels")
    if not storage.exists(layout.LABEL_MAP):
        return
    text = storage.read(layout.LABEL_MAP).decode("utf-8", "replace")
    lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1)]
    if lines[0][1].startswith("\ufeff"):
        what = "CVAT takes the byte-order mark at the beginning for a part of the line"
        fix = "save the file as UTF-8 without a byte-order mark"
        yield Finding("cvat-label-line", f"{layout.LABEL_MAP}:1", what, fix)
        lines[0] = 1, lines[0][1].removeprefix("\ufeff").strip()
    lines = [(i, line) for i, line in lines if line and not line.startswith("#")]
    fields = [[*line.split(":"), ""][:2] for _, line in lines]
    # Where no line has a colour, CVAT too gives each that of its index.
    no_colors = not any(color for _, color in fields)
    for (i, _), (name, color), label in zip(lines, fields, label_map.labels, strict=False):
        same_color = no_colors or _color(color) == label.color
        if not label.is_stand_in and (name != label.name or not same_color):
            what = f"CVAT reads the name {name!r} and the colour {color!r}"
            fix = f"write '{label.name.replace(':', ' ')}:{','.join(map(str, label.color))}::'"
            yield Finding("cvat-label-line", f"{layout.LABEL_MAP}:{i}", what, fix)


def _color(field: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(value) for value in field.split(","))
    except ValueError:
        return None


def cvat_subset_findings(subsets: Iterable[str]) -> Iterator[Finding]:
    """Yield the subsets whose lists the VOC reader of CVAT passes over."""
    for name in subsets:
        if "_" in name:
            what = f"CVAT and Datumaro's VOC plugin skip the subset {name!r}: its name has a '_'"
            fix = "rename the list without '_'"
            yield Finding("subset-name", layout.subset_list(name), what, fix, subset=name)


def cvat_findings(scan: Scan, label_map: LabelMap, lookup: ClassLookup) -> list[Finding]:
    """Return what CVAT reads otherwise, or not at all, in the masks of an item that we can read.

    Instance numbers past 255 are not among them: they are a finding in any case.
    """
    class_mask, instance_mask = layout.class_mask(scan.item_id), layout.instance_mask(scan.item_id)
    found = []
    for name, reader in ((class_mask, scan.class_reader), (instance_mask, scan.instance_reader)):
        if reader is not None and reader.header.depth == 16 and reader.header.is_color:
            what, fix = "the colours have 16 bits a channel", "save the mask with 8 bits"
            found.append(Finding("sixteen-bits", name, what, fix, scan.item_id))
        elif reader is not None and name == class_mask:
            found += _class_mask_findings(scan, reader, label_map, lookup)
    return found


def _class_mask_findings(
    scan: Scan, reader: MaskReader, label_map: LabelMap, lookup: ClassLookup
) -> Iterator[Finding]:
    name, item_id = layout.class_mask(scan.item_id), scan.item_id
    totals = scan.pixels_of_values()
    if not reader.header.is_color and reader.palette is None:
        high = sum(pixels for value, pixels in totals.items() if value > _LAST_8_BIT)
        if high:
            what = "CVAT takes values past 255 modulo 256"
            fix = "save the mask in the colours of the label map"
            yield Finding("sixteen-bits", name, what, fix, item_id, pixels=high)
        return
    totals = lookup.colors_in(totals, reader)
    declared = {int(colors.pack(np.array(label.color))) for label in label_map.labels}
    missing = {value: pixels for value, pixels in totals.items() if value not in declared}
    if missing.keys() - _NOTHING.keys():
        what = "CVAT goes by the colours of the palette, which are not declared"
        fix = "write the colours of the label map into the palette"
        yield Finding("palette-by-index", name, what, fix, item_id, pixels=sum(missing.values()))
        return
    for value, pixels in missing.items():
        color = colors.show(value)
        what = f"CVAT knows no {_NOTHING[value]} ({color}) that the label map does not declare"
        line = "background" if value == colors.BLACK else "void"
        fix = f"add the line '{line}:{color}::' to the label map"
        yield Finding("undeclared-nothing", name, what, fix, item_id, pixels=pixels, value=color)
