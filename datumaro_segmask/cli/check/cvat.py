"""What CVAT's own reader makes of the masks that `segmask` reads (docs/format.md, section 7).

CVAT knows the colours of the label map and the first 256 of VOC, and takes 8 bits of everything.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from datumaro.util.mask_tools import mask_to_polygons

from ... import colors
from ...archive import ClassLookup, Finding, Item, LabelMap, Scan, is_thin
from ...errors import counted
from ...png import GRAY_ALPHA, MaskReader
from ...regions import Instance, decode_box
from ...storage import layout

_LAST_8_BIT = 255
_SHOWN = 3  # thin objects that are named by their sizes
_THIN = 3  # pixels across: what is broader keeps something
_NOTHING = {
    colors.BLACK: "black",
    int(colors.pack(np.array(colors.VOID))): "void",
}


def cvat_findings(
    scan: Scan, item: Item, label_map: LabelMap, lookup: ClassLookup
) -> Iterator[Finding]:
    """Yield what CVAT reads otherwise, or not at all, in the masks of an item that we can read.

    Instance numbers past 255 are not among them: they are a finding in any case.
    """
    for name, reader in (
        (scan.class_mask, scan.class_reader),
        (scan.instance_mask, scan.instance_reader),
    ):
        if reader is None:
            continue
        usual = f"{name.partition('/')[0]}/{scan.item_id}{layout.MASK_SUFFIX}"
        if name != usual:
            what = f"CVAT looks for {usual!r}, letter by letter, and does not find it"
            yield Finding("mask-name", name, what, "rename the file", scan.item_id)
        if reader.header.depth == 16 and reader.header.is_color:
            what, fix = "the colours have 16 bits a channel", "save the mask with 8 bits"
            yield Finding("sixteen-bits", name, what, fix, scan.item_id)
        elif reader.header.color_type == GRAY_ALPHA:
            yield from _gray_alpha(scan, name)
        elif name == scan.class_mask:
            yield from _class_mask_findings(scan, reader, label_map, lookup)
    if scan.has_labels and not scan.has_numbers:
        yield _class_mask_alone(scan)
    if scan.has_numbers:
        yield from _thin_objects(item)


def _class_mask_alone(scan: Scan) -> Finding:
    """Say what comes of a class mask without an instance mask: each label is one object."""
    fix = "'datumaro-segmask from-masks' makes instances of class masks"
    ground = sum(n for _, label, n in scan.pixels_of_pairs() if label is None)
    what = "there is no instance mask"
    if not ground:
        what += ", so all pixels of a label are one object"
        return Finding("no-instance-mask", scan.instance_mask, what, fix, scan.item_id)
    what += ", so CVAT makes an object of the background, which a task without such a label refuses"
    return Finding(
        "missing-instance-mask", scan.instance_mask, what, fix, scan.item_id, pixels=ground
    )


def _gray_alpha(scan: Scan, name: str) -> Iterator[Finding]:
    """Say that gray with alpha is colours to CVAT, which it does not know."""
    totals = scan.pixels_of_values() if name == scan.class_mask else scan.pixels_of_numbers()
    pixels = sum(count for value, count in totals.items() if value)
    if pixels:
        what = "CVAT takes gray with alpha for colours, which are not declared"
        fix = "save the mask without alpha, in the colours of the label map"
        yield Finding("gray-alpha", name, what, fix, scan.item_id, pixels=pixels)


def _thin_objects(item: Item) -> Iterator[Finding]:
    """Count the objects that vanish when an upload makes polygons of masks, as is its default."""
    thin = [i for i in item.instances if i.number and _vanishes(i, item)]
    if thin:
        sides = [f"{i.bbox[2]} x {i.bbox[3]}" for i in thin[:_SHOWN]]
        what = f"{counted(len(thin), 'object')} would vanish when CVAT makes polygons of masks "
        what += f"({', '.join(sides)}{' ...' if len(thin) > _SHOWN else ''})"
        fix = (
            "upload with conv_mask_to_poly=False, see docs/recipes.md, 'To and from a CVAT server'"
        )
        pixels = sum(i.area for i in thin)
        mask = layout.instance_mask(item.item_id)
        yield Finding("thin-objects", mask, what, fix, item.item_id, pixels=pixels)


def _vanishes(instance: Instance, item: Item) -> bool:
    _, _, width, height = instance.bbox
    if is_thin(width, height):
        return True
    if instance.area > _THIN * (width + height) or item.size is None:
        return False
    pixels = decode_box(instance.counts, instance.bbox, item.size[0])
    return not mask_to_polygons(np.pad(pixels, 1))


def _class_mask_findings(
    scan: Scan, reader: MaskReader, label_map: LabelMap, lookup: ClassLookup
) -> Iterator[Finding]:
    name, item_id = scan.class_mask, scan.item_id
    totals = scan.pixels_of_values()
    if not reader.header.is_color and reader.palette is None:
        yield from _gray_values(scan, reader, label_map)
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


def _gray_values(scan: Scan, reader: MaskReader, label_map: LabelMap) -> Iterator[Finding]:
    """Say that CVAT takes gray values for lines, those of 1, 2 or 4 bits spread over 8."""
    depth, indices = reader.header.depth, {label.index for label in label_map.labels}
    scale = max(1, _LAST_8_BIT // ((1 << depth) - 1))
    totals = {value: pixels for value, pixels in scan.pixels_of_values().items() if value}
    seen = [value * scale for value in totals]
    if depth > 8 or (scale == 1 and indices.issuperset(seen)):
        return
    fix = "save the mask with 8 bits, in the colours of the label map"
    how = f"its {depth}-bit values times {scale}" if scale > 1 else "its values for lines"
    pixels = sum(totals.values())
    if not indices.issuperset(seen):
        what = f"CVAT takes {how}, and the label map has no line {max(seen)}"
        yield Finding("gray-as-no-label", scan.class_mask, what, fix, scan.item_id, pixels=pixels)
    elif seen:
        what = f"CVAT takes {how}, and so reads {label_map.labels[seen[0]].name!r}"
        kind = "gray-as-other-label"
        yield Finding(kind, scan.class_mask, what, fix, scan.item_id, pixels=pixels)
