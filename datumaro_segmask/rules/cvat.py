"""Rules of the masks that we read, and CVAT reads otherwise, or not at all (docs/format.md, section
7).

CVAT knows the colours of the label map and the first 256 of VOC, and takes 8 bits of everything.
Beside an instance mask it looks at the pixels of instances alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from .. import colors
from ..archive import BACKGROUND, BY_COLOR, Item
from ..arrays import Bytes, IntArray
from ..errors import counted
from ..png import GRAY_ALPHA, MaskReader
from ..regions import Instance, decode_box
from ..storage import layout
from .example import BLOCK, LABELS, archive, pillow, plane, png, rgb
from .facts import ItemFacts
from .masks import MOST_DECODED, NUMBER_ANEW, named
from .rule import ERROR, ITEM, NOTE, WARNING, Finding, Met, rule

_LAST_8_BIT = 255
_SHOWN = 3  # thin objects that are named by their sizes
_THIN = 2  # pixels across: what is no broader vanishes
_NOTHING = {
    colors.pack_one(colors.BLACK): "black",
    colors.pack_one(colors.VOID): "void",
}
_IN_COLOR = "save the mask with 8 bits, in the colours of the label map"
_CAR = rgb(BLOCK)
_PALETTE = [0, 0, 0, 1, 2, 3]
_LINES = "".join(f"l{i}:{i},{255 - i},7::\n" for i in range(256))


def is_thin(width: int, height: int) -> bool:
    """Return whether an object of this extent, in pixels, vanishes as a polygon in CVAT.

    That is what an upload does unless it is told otherwise (docs/format.md, section 7).
    """
    return min(width, height) <= _THIN


# Class masks in colour


def _in_color(facts: ItemFacts) -> dict[int, int] | None:
    """Return how many pixels of the class mask have each packed colour, None if it is not read so.

    One of 16 bits per channel is a matter of `sixteen-bits`.
    """
    reader = facts.scan.class_reader
    if reader is None or (reader.palette is None and not reader.header.is_color):
        return None
    if reader.header.depth == 16:
        return None
    return facts.reader.lookup.colors_in(facts.scan.pixels_of_values(), reader)


def _undeclared(facts: ItemFacts) -> dict[int, int]:
    declared = {colors.pack_one(label.color) for label in facts.label_map.labels}
    return {c: pixels for c, pixels in (_in_color(facts) or {}).items() if c not in declared}


@rule(
    ITEM, "undeclared-nothing", "black or void that the label map does not declare", None, ERROR, 2,
    lambda: archive(labels=LABELS.partition("\n")[2]),
)  # fmt: skip
def undeclared_nothing(facts: ItemFacts) -> Iterator[Finding]:
    """Black, and the void of VOC, mean "nothing" here. CVAT refuses every colour that the label map
    does not declare."""
    missing = _undeclared(facts)
    for value, pixels in missing.items() if missing.keys() <= _NOTHING.keys() else ():
        color = colors.text_of(colors.unpack(value))
        what = f"CVAT refuses {_NOTHING[value]} ({color}) unless the label map declares it"
        fix = _declare(facts, value)
        yield Met(facts.scan.class_mask, what, fix, facts.item_id, None, pixels, color)


def _declare(facts: ItemFacts, value: int) -> str:
    """Return how to declare black or void. A second label 'background' would be none."""
    color, labels = colors.text_of(colors.unpack(value)), facts.label_map.labels
    name = BACKGROUND if _NOTHING[value] == "black" else "void"
    other = next((label for label in labels if label.name.lower() == name), None)
    if other is None:
        return f"add the line '{name}:{color}::' to the label map"
    if colors.pack_one(other.color) in (_in_color(facts) or {}):
        own = colors.text_of(other.color)
        return f"give these pixels the colour {own} of {other.name!r}"
    return f"write '{other.name}:{color}::' into line {other.line} of the label map"


@rule(
    ITEM, "palette-by-index", "palettes whose colours are not those of the labels", None, ERROR, 3,
    lambda: archive(pillow("P", plane(BLOCK), _PALETTE), _CAR),
)  # fmt: skip
def palette_by_index(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT reads the colours of a palette. We read its indices if the colours are not declared."""
    missing = _undeclared(facts)
    if missing.keys() - _NOTHING.keys():
        what = "CVAT reads the colours of the palette, which are not declared"
        fix, pixels = "write the colours of the label map into the palette", sum(missing.values())
        yield Met(facts.scan.class_mask, what, fix, facts.item_id, pixels=pixels)


@rule(
    ITEM, "many-labels", "labels past the 256th, in colour", None, ERROR, 2,
    lambda: archive(
        png(np.full((6, 6, 3), (1, 1, 1), np.uint8)), rgb("11 11"), labels=f"{_LINES}van:1,1,1::\n"
    ),
)  # fmt: skip
def many_labels(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT numbers the colours of a mask in 8 bits. It refuses a mask in colour with a label whose
    line is past the 256th. Lines that no mask uses do no harm."""
    found = _in_color(facts)
    if found is None or len(facts.label_map.labels) <= _LAST_8_BIT + 1:
        return
    of = {colors.pack_one(label.color): label for label in facts.label_map.labels}
    past = {c: n for c, n in found.items() if c in of and of[c].index > _LAST_8_BIT}
    if past:
        label = of[min(past)]
        what = f"CVAT can read 256 labels in masks in colour, and {label.name!r} is number "
        what += f"{label.index + 1:,}"
        fix = "use at most 256 labels, or move the lines of those in use to the beginning"
        yield Met(facts.scan.class_mask, what, fix, facts.item_id, pixels=sum(past.values()))


# Gray class masks


def _gray_reader(facts: ItemFacts) -> MaskReader | None:
    reader = facts.scan.class_reader
    is_gray = reader is not None and reader.palette is None and reader.header.is_gray
    return reader if is_gray and reader and reader.header.color_type != GRAY_ALPHA else None


def _lines_of_values(facts: ItemFacts) -> tuple[str, dict[int, int]]:
    """Return how CVAT makes lines of the values of a gray class mask, and pixels by line.

    Empty where it makes of them what we do, and for values that it does not look at.
    """
    reader = _gray_reader(facts)
    if reader is None:
        return "", {}
    depth = reader.header.depth
    scale = max(1, _LAST_8_BIT // ((1 << min(depth, 8)) - 1))
    lines: Counter[int] = Counter()
    for value, pixels in facts.values_that_count.items():
        if value:
            lines[value * scale & _LAST_8_BIT] += pixels
    how = f"its {depth}-bit values times {scale}" if scale > 1 else "its values as lines"
    if any(value > _LAST_8_BIT for value in facts.values_that_count):
        how = "its values modulo 256 as lines"
    same = scale == 1 and facts.scan.way != BY_COLOR and max(lines, default=0) <= _LAST_8_BIT
    is_same = same and not any(v > _LAST_8_BIT for v in facts.values_that_count)
    if is_same and max(lines, default=0) < len(facts.label_map.labels):
        return "", {}
    return how, dict(lines)


@rule(
    ITEM, "gray-as-no-label", "gray values without a line, as CVAT reads them", None, ERROR, 3,
    lambda: archive(pillow("1", plane(BLOCK)), _CAR),
)  # fmt: skip
def gray_as_no_label(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT reads the values of a gray class mask as lines of the label map. It first spreads values
    of 1, 2 or 4 bits over 8 bits, so that 1 becomes 255, 85 or 17. It refuses the archive if there
    is no such line."""
    how, lines = _lines_of_values(facts)
    past = {line: pixels for line, pixels in lines.items() if line >= len(facts.label_map.labels)}
    if past:
        what = f"CVAT reads {how}, and the label map has no line {max(past)}"
        pixels = sum(past.values())
        yield Met(facts.scan.class_mask, what, _IN_COLOR, facts.item_id, pixels=pixels)


@rule(
    ITEM, "gray-as-other-label", "gray values that CVAT reads as another line", None, WARNING, 3,
    lambda: archive(pillow("1", plane(BLOCK)), _CAR, labels=_LINES),
)  # fmt: skip
def gray_as_other_label(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT reads the values of a gray class mask as lines of the label map. It first spreads values
    of 1, 2 or 4 bits over 8 bits, so that 1 becomes 255, 85 or 17, which is another label."""
    how, lines = _lines_of_values(facts)
    labels = facts.label_map.labels
    reader = _gray_reader(facts)
    if lines and max(lines) < len(labels) and reader is not None and reader.header.depth <= 8:
        what = f"CVAT reads {how}, which is {labels[min(lines)].name!r}"
        pixels = sum(lines.values())
        yield Met(facts.scan.class_mask, what, _IN_COLOR, facts.item_id, pixels=pixels)


# Masks of either kind


@rule(
    ITEM, "gray-alpha", "gray masks with alpha", None, ERROR, 3,
    lambda: archive(pillow("LA", plane(BLOCK)), _CAR),
)  # fmt: skip
def gray_alpha(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT reads gray with alpha as colours, which are not declared."""
    scan = facts.scan
    of_labels = {colors.pack_one(label.color) for label in facts.label_map.labels}
    of_numbers = set(colors.number_to_color(np.arange(_LAST_8_BIT + 1)).tolist())
    for name, reader, declared in (
        (scan.class_mask, scan.class_reader, of_labels),
        (scan.instance_mask, scan.instance_reader, of_numbers),
    ):
        if reader is None or reader.header.color_type != GRAY_ALPHA:
            continue
        is_class = name == scan.class_mask
        totals = scan.pixels_of_values() if is_class else scan.pixels_of_numbers()
        pixels = sum(n for value, n in totals.items() if value and value * 0x010101 not in declared)
        if pixels:
            what = "CVAT reads gray with alpha as colours, which are not declared"
            fix = "save the mask without alpha, in the colours of the label map"
            yield Met(name, what, fix, facts.item_id, pixels=pixels)


@rule(
    ITEM, "sixteen-bits", "16-bit masks that CVAT cuts to 8 bits", None, WARNING, 3,
    lambda: archive(rgb("0101 0101"), png(np.array([0, 1, 257], np.uint16)[plane("0102 0102")])),
)  # fmt: skip
def sixteen_bits(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT reads gray values past 255 modulo 256. Instances that get the same number become one,
    and a multiple of 256 vanishes; all others lose nothing. In colour it reads the high 8 bits."""
    scan = facts.scan
    for name, reader in (
        (scan.class_mask, scan.class_reader),
        (scan.instance_mask, scan.instance_reader),
    ):
        if reader is not None and reader.header.depth == 16 and reader.header.is_color:
            what = "the colours have 16 bits per channel"
            yield Met(name, what, "save the mask with 8 bits", facts.item_id)
    reader = _gray_reader(facts)
    high = {value: n for value, n in facts.values_that_count.items() if value > _LAST_8_BIT}
    if reader is not None and high:
        what, pixels = "CVAT reads values past 255 modulo 256", sum(high.values())
        fix = "save the mask in the colours of the label map"
        yield Met(scan.class_mask, what, fix, facts.item_id, pixels=pixels)
    if scan.has_numbers and scan.instance_is_gray:
        yield from _met_modulo(facts)


def _met_modulo(facts: ItemFacts) -> Iterator[Finding]:
    totals = {number: n for number, n in facts.scan.pixels_of_numbers().items() if number}
    meet: defaultdict[int, list[int]] = defaultdict(list)
    for number in totals:
        meet[number & _LAST_8_BIT].append(number)
    hurt = [number for rest, of in meet.items() if not rest or len(of) > 1 for number in of]
    if hurt:
        what = f"CVAT reads {named(hurt)} modulo 256, so they merge or vanish"
        fix = NUMBER_ANEW
        pixels = sum(totals[number] for number in hurt)
        yield Met(facts.scan.instance_mask, what, fix, facts.item_id, pixels=pixels)


# Objects


def _ground(facts: ItemFacts) -> int | None:
    """Return the pixels without a label of a class mask that stands alone, None of any other.

    To CVAT it stands alone if the name of the instance mask is not as CVAT writes it.
    """
    is_found = facts.scan.class_mask == facts.scan.usual_places[0]
    if not facts.scan.has_labels or facts.sees_numbers or not is_found:
        return None
    return sum(pixels for _, label, pixels in facts.pairs if label is None)


_MAKE_INSTANCES = (
    f"in the folder of the archive, 'datumaro-segmask from-masks {layout.CLASS_MASKS} --labels "
    f"{layout.LABEL_MAP} -o task.zip' makes instances of class masks"
)


@rule(
    ITEM, "missing-instance-mask", "only class masks, with background", None, ERROR, 4,
    lambda: archive(_CAR),
)  # fmt: skip
def missing_instance_mask(facts: ItemFacts) -> Iterator[Finding]:
    """Without an instance mask CVAT makes one object of each label, also of the background. A task
    has no such label, so CVAT refuses the archive."""
    ground = _ground(facts)
    if ground:
        what = (
            "there is no instance mask, so CVAT makes an object of the background, and refuses it "
        )
        what += "if the task has no such label"
        file = facts.scan.instance_mask
        yield Met(file, what, _MAKE_INSTANCES, facts.item_id, pixels=ground)


@rule(
    ITEM, "no-instance-mask", "only class masks", None, NOTE, 4, lambda: archive(rgb("1122 1122"))
)
def no_instance_mask(facts: ItemFacts) -> Iterator[Finding]:
    """Without an instance mask CVAT makes one object of each label."""
    if _ground(facts) == 0:
        what = "there is no instance mask, so all pixels of a label are one object"
        yield Met(facts.scan.instance_mask, what, _MAKE_INSTANCES, facts.item_id)


@rule(
    ITEM, "background-wins", "instances that CVAT reads as background", None, ERROR, 4,
    lambda: archive(
        rgb("1000 1000"), rgb("1100 1100"), labels="car:128,0,0::\nbackground:0,0,0::\n"
    ),
)  # fmt: skip
def background_wins(facts: ItemFacts) -> Iterator[Finding]:
    """If the pixels of an instance have several labels, CVAT takes the one whose line comes last.
    If that is the background, CVAT refuses the archive for a task without such a label."""
    ground = facts.label_map.background
    if ground is None or not (facts.scan.has_labels and facts.scan.has_numbers):
        return
    last: dict[int, int] = {}
    bare: Counter[int] = Counter()
    for number, label, pixels in facts.pairs:
        if number and label is None:
            bare[number] += pixels
        elif number and label is not None:
            last[number] = max(last.get(number, 0), label)
    hurt = [number for number in bare if number in last and last[number] < ground]
    if hurt:
        what = f"CVAT reads {named(hurt)} as background, whose line comes after that of the label"
        fix = "make the background the first line, or blacken these pixels in the instance mask"
        pixels = sum(bare[number] for number in hurt)
        yield Met(facts.scan.instance_mask, what, fix, facts.item_id, pixels=pixels)


@rule(
    ITEM, "thin-objects", "objects, or parts of them, that vanish as polygons", None, WARNING, 4,
    lambda: archive(rgb("1011 1011", 1), rgb("1022 1022", 1)),
)  # fmt: skip
def thin_objects(facts: ItemFacts) -> Iterator[Finding]:
    """An upload turns masks into polygons, unless it is told not to. Objects that are one or two
    pixels thin vanish then, and so do parts that are as thin. Each polygon also loses a row and a
    column of pixels at its border, which is not counted. Objects whose box has more than 33 million
    pixels are not searched for thin parts."""
    if not facts.scan.has_numbers:
        return
    whole, parts, pixels = [], 0, 0
    for instance in facts.item.instances:
        lost = _vanishing(instance, facts.item) if instance.number else 0
        pixels += lost
        if lost == instance.area:
            whole.append(instance)
        elif lost:
            parts += 1
    if not pixels:
        return
    lines = []
    if whole:
        sides = ", ".join(f"{i.bbox[2]} x {i.bbox[3]}" for i in whole[:_SHOWN])
        sides += " ..." if len(whole) > _SHOWN else ""
        lines.append(f"{counted(len(whole), 'object')} ({sides})")
    if parts:
        lines.append(f"thin parts of {counted(parts, 'object')}")
    what = f"{' and '.join(lines)} would vanish when CVAT turns masks into polygons"
    fix = "upload with conv_mask_to_poly=False, see docs/recipes.md, 'To and from a CVAT server'"
    yield Met(facts.scan.instance_mask, what, fix, facts.item_id, pixels=pixels)


_SQUARE = np.ones((3, 3), np.uint8)


def _vanishing(instance: Instance, item: Item) -> int:
    """Return how many pixels of an object lie in thin parts that no polygon keeps."""
    _, _, width, height = instance.bbox
    if is_thin(width, height):
        return instance.area
    if item.size is None or width * height > MOST_DECODED:
        return 0
    pixels = np.pad(decode_box(instance.counts, instance.bbox, item.size[0]), 1).astype(np.uint8)
    broad = np.asarray(cv2.morphologyEx(pixels, cv2.MORPH_OPEN, _SQUARE))
    thin = (pixels > 0) & (broad == 0)
    if not thin.any():
        return 0
    polygons = polygons_of_cvat(pixels)
    if not polygons:
        return instance.area
    painted = mask_utils.merge(mask_utils.frPyObjects(polygons, *pixels.shape))
    kept = np.asarray(cv2.dilate(mask_utils.decode(painted), _SQUARE))
    return int(np.count_nonzero(thin & (kept == 0)))


def polygons_of_cvat(pixels: Bytes) -> list[IntArray]:
    """Return what CVAT makes of a mask: (height, width) -> closed polygons, x, y, x, y, ... each.

    CVAT calls Datumaro's ``mask_to_polygons``, of which this gives the same: a test compares them.
    """
    contours, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_KCOS)
    rings = [np.append(c.ravel(), c[0]) for c in contours if len(c) > 2]
    areas = (mask_utils.area(mask_utils.frPyObjects([ring], *pixels.shape)) for ring in rings)
    return [ring for ring, area in zip(rings, areas, strict=True) if area.sum() >= 1]
