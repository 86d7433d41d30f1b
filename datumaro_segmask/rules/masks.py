"""Rules of the masks and the image of an item, read by us (docs/format.md, sections 2 to 4)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import cv2
import numpy as np

from ..archive import WAYS
from ..colors import text_of, voc_color
from ..png import MaskReader
from ..storage import Storage
from .example import BLOCK, archive, gray, picture, plane, png, rgb
from .facts import ItemFacts, WholeFacts
from .rule import ERROR, ITEM, NOTE, WARNING, WHOLE, Finding, Met, Rule, rule

MOST_DECODED = 1 << 25
"""The most pixels of a mask, or of an object, that is looked at as a whole: some 0.3 GB."""
_HEAD = 1 << 12  # bytes of a PNG in which a palette's transparency stands
_LAST_SHARED_COLOR = 256  # of colours CVAT takes one more, for it has no black among them
_LABEL_THEM = "label these pixels in the class mask, or blacken them in the instance mask"
NUMBER_ANEW = (
    "in Python, Dataset.import_from('ARCHIVE', 'segmask').export('NEW', 'segmask') numbers the "
    "instances from 1; images with more than 255 have to be split"
)
_CAR = rgb(BLOCK)


UNREADABLE_MASK = Rule(
    "unreadable-mask", "masks that are not valid PNG files", ERROR, ERROR, 3,
    "The file is not a PNG, was cut short, breaks a rule of PNG, or has more pixels or objects "
    "than are read.",
    lambda: archive(_CAR[:-30], _CAR),
)  # fmt: skip


@rule(
    ITEM, "unreadable-image", "images whose size cannot be read", WARNING, NOTE, 4,
    lambda: archive(images={"a.jpg": b"no picture"}),
)  # fmt: skip
def unreadable_image(facts: ItemFacts) -> Iterator[Finding]:
    """The size of an image is read from its header, to compare it with that of the masks."""
    scan = facts.scan
    if scan.image and scan.head is None:
        fix = "check that it is an image, and save it again"
        yield Met(scan.image, "its size cannot be read", fix, scan.item_id)


MASK_SIZE = Rule(
    "mask-size", "class and instance masks of different sizes", ERROR, ERROR, 4,
    "The two masks of an item show the same pixels, so they must have the same size.",
    lambda: archive(_CAR, rgb("01")),
)  # fmt: skip

IMAGE_SIZE = Rule(
    "image-size", "images of another size than their masks", ERROR, WARNING, 4,
    "An image has the size of its masks. CVAT does not compare them, and puts the mask at the top "
    "left of the frame.",
    lambda: archive(images={"a.jpg": picture(20, 30)}),
)  # fmt: skip


@rule(
    ITEM, "image-as-stored", "images that fit their masks only as stored", NOTE, WARNING, 4,
    lambda: archive(images={"a.jpg": picture(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1"
                                             b"\0\6\0\0\0\0\0\0")}),
)  # fmt: skip
def image_as_stored(facts: ItemFacts) -> Iterator[Finding]:
    """The image has an EXIF orientation. CVAT shows and annotates it turned, but these masks fit it
    only as it is stored."""
    scan = facts.scan
    if scan.image and scan.head is not None and scan.turn != scan.head.orientation:
        what = f"it is shown as {scan.head.shown}, but its masks fit it only as it is stored"
        fix = "remove the EXIF orientation from the file, or turn the masks"
        yield Met(scan.image, what, fix, scan.item_id)


@rule(
    ITEM, "listed-without-masks", "listed items without masks", NOTE, NOTE, 1,
    lambda: archive({"a": _CAR}, {"a": _CAR}, lists={"default": "a\nb\n"}),
)  # fmt: skip
def listed_without_masks(facts: ItemFacts) -> Iterator[Finding]:
    """A frame without objects is listed, and has no masks."""
    if not facts.scan.has_labels and not facts.scan.has_numbers:
        fix = "do nothing if it has no objects, else add its masks"
        yield Met(facts.scan.class_mask, "it has no masks", fix, facts.item_id)


@rule(
    ITEM, "missing-class-mask", "instance masks without a class mask", WARNING, ERROR, 4,
    lambda: archive(instances=_CAR),
)  # fmt: skip
def missing_class_mask(facts: ItemFacts) -> Iterator[Finding]:
    """The class mask gives the instances their labels. Without it they have none. CVAT also does
    not find a class mask whose suffix is in capitals, and refuses the archive."""
    scan, usual = facts.scan, facts.scan.usual_places[0]
    if scan.has_numbers and not scan.has_labels:
        yield Met(
            scan.class_mask, "its instances have no label", "add the class mask", scan.item_id
        )
    elif facts.for_cvat and scan.class_mask != usual and facts.sees_numbers:
        what = "CVAT does not find this file, so the instances have no label"
        yield Met(scan.class_mask, what, f"rename the file to {usual!r}", scan.item_id)


UNDECLARED_COLOR = Rule(
    "undeclared-color", "colours that the label map does not declare", ERROR, ERROR, 2,
    "A pixel of the class mask has a colour that no line of the label map has. Smoothing, scaling "
    "and JPEG blend colours; OpenCV swaps red and blue.",
    lambda: archive(rgb("0330 0330"), _CAR),
)  # fmt: skip

UNDECLARED_VALUE = Rule(
    "undeclared-value", "gray values that are not in the label map", ERROR, ERROR, 2,
    "The value of a gray class mask is the number of a line of the label map, from 0.",
    lambda: archive(gray("0770 0770"), _CAR),
)  # fmt: skip


@rule(
    WHOLE, "class-mask-kinds", "class masks by colour and by index in one archive", WARNING, NOTE,
    3, lambda: archive({"a": _CAR, "b": gray(BLOCK)}, {"a": _CAR, "b": _CAR}), is_logged=True,
)  # fmt: skip
def class_mask_kinds(facts: WholeFacts) -> Iterator[Finding]:
    """Most class masks are in colour, and one is gray: its values are lines of the label map. Tools
    that shrink PNGs turn black and white into gray, which may be another label."""
    by_color, by_index = (facts.ways[way] for way in WAYS)
    for mask in dict.fromkeys(by_index) if by_color else ():
        what = f"its values are lines of the label map, but {by_color[0]} of the same archive is "
        what += "read by colour; tools that shrink PNGs turn black and white into gray"
        yield Met(mask, what, "write all class masks in the colours of the label map")


@rule(
    ITEM, "transparent-color", "colours under transparent pixels", NOTE, NOTE, 3,
    lambda: archive(_transparent(), _CAR),
)  # fmt: skip
def transparent_color(facts: ItemFacts) -> Iterator[Finding]:
    """Viewers do not show the colour of a transparent pixel, but it counts. Masks of more than 33
    million pixels are not looked at."""
    scan = facts.scan
    masks = (scan.class_mask, scan.class_reader), (scan.instance_mask, scan.instance_reader)
    for name, reader in masks:
        if reader is None or reader.header.size.pixels > MOST_DECODED:
            continue
        if _has_alpha(facts.storage, name, reader):
            data = np.frombuffer(facts.storage.read(name), np.uint8)
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            if pixels is None or pixels.ndim < 3 or pixels.shape[2] < 4:
                continue
            hidden = int(np.count_nonzero((pixels[..., 3] == 0) & pixels[..., :3].any(axis=2)))
            if hidden:
                what = "these pixels are transparent, but their colour counts"
                fix = "if they should be empty, make them black"
                yield Met(name, what, fix, scan.item_id, pixels=hidden)


def _transparent() -> bytes:
    table = np.array([(*voc_color(number), 255 - 255 * number) for number in range(2)], np.uint8)
    return png(table[plane(BLOCK)])


def _has_alpha(storage: Storage, name: str, reader: MaskReader) -> bool:
    if reader.palette is None:
        return reader.header.has_alpha
    with storage.open(name) as file:
        return b"tRNS" in file.read(_HEAD)


@rule(
    ITEM, "instance-number", "instances that only segmask can read", NOTE, ERROR, 3,
    lambda: archive(_CAR, png(plane(BLOCK)[..., None] * np.array((1, 2, 3), np.uint8))),
)  # fmt: skip
def instance_number(facts: ItemFacts) -> Iterator[Finding]:
    """CVAT and the VOC formats know the first 256 colours of VOC, and 255 gray values. Any other
    colour is an instance here, and an error in CVAT."""
    scan = facts.scan
    if not scan.has_numbers or (facts.for_cvat and scan.instance_is_gray):
        return  # of 16-bit gray masks CVAT makes something else: `sixteen-bits`
    last = _LAST_SHARED_COLOR if facts.for_cvat else _LAST_SHARED_COLOR - 1
    high = {n: pixels for n, pixels in scan.pixels_of_numbers().items() if n > last}
    if high:
        who, value = named(list(high)), None
        what = f"CVAT reads {who} modulo 256"
        if not scan.instance_is_gray:
            value = text_of(voc_color(min(high)))
            what = f"the colour of {who} is not one of VOC's first 256"
        pixels = sum(high.values())
        yield Met(scan.instance_mask, what, NUMBER_ANEW, scan.item_id, None, pixels, value)


@rule(
    ITEM, "lost-instance", "instances that are only on the background", WARNING, ERROR, 4,
    lambda: archive(rgb("0001 0001"), rgb("0201 0201")),
)  # fmt: skip
def lost_instance(facts: ItemFacts) -> Iterator[Finding]:
    """No pixel of the instance has a label, so nothing is left of it. CVAT makes it an object
    of the background, and refuses the archive if the task has no such label."""
    labels, bare = _shares_of_instances(facts)
    lost = {number: pixels for number, pixels in bare.items() if number not in labels}
    if lost:
        what = f"no pixel of {named(list(lost))} has a label, so nothing is left of it"
        file, pixels = facts.scan.instance_mask, sum(lost.values())
        yield Met(file, what, _LABEL_THEM, facts.item_id, pixels=pixels)


@rule(
    ITEM, "instance-over-labels", "instances that span several labels", NOTE, WARNING, 4,
    lambda: archive(rgb("0120 0120"), _CAR),
)  # fmt: skip
def instance_over_labels(facts: ItemFacts) -> Iterator[Finding]:
    """An instance with two labels becomes two masks of one group. CVAT gives the whole instance
    the label whose line comes last."""
    for number, shares in _shares_of_instances(facts)[0].items():
        if len(shares) > 1:
            what = f"instance {number} spans {_shown(shares)}"
            fix = "give all its pixels one label, or each part its own number"
            rest = shares.total() - max(shares.values())
            yield Met(facts.scan.instance_mask, what, fix, facts.item_id, pixels=rest)


@rule(
    ITEM, "class-without-instance", "class pixels without an instance", NOTE, WARNING, 4,
    lambda: archive(rgb("1102 1102"), rgb("1100 1100")),
)  # fmt: skip
def class_without_instance(facts: ItemFacts) -> Iterator[Finding]:
    """Pixels have a label, but belong to no instance: "stuff", such as a road. If there are
    also instances, CVAT leaves them out."""
    scan = facts.scan
    loose: Counter[str] = Counter()
    if scan.has_labels and scan.has_numbers:
        for number, label, pixels in facts.pairs:
            if not number and label is not None:
                loose[facts.label_map.labels[label].name] += pixels
    if loose:
        what = f"pixels of {_shown(loose)} belong to no instance"
        fix = "do nothing if this is 'stuff', else draw them into the instance mask"
        yield Met(scan.class_mask, what, fix, facts.item_id, pixels=loose.total())


@rule(
    ITEM, "instance-without-class", "instance pixels without a label", NOTE, WARNING, 4,
    lambda: archive(rgb("1000 1000"), rgb("1100 1100")),
)  # fmt: skip
def instance_without_class(facts: ItemFacts) -> Iterator[Finding]:
    """Some pixels of an instance are on the background. They are not part of the object here, but
    in CVAT they are."""
    labels, bare = _shares_of_instances(facts)
    partly = {number: pixels for number, pixels in bare.items() if number in labels}
    if partly:
        what = f"pixels of {named(list(partly))} are on the background"
        if facts.for_cvat:
            what += ", and become part of the object"
        file, pixels = facts.scan.instance_mask, sum(partly.values())
        yield Met(file, what, _LABEL_THEM, facts.item_id, pixels=pixels)


def _shares_of_instances(facts: ItemFacts) -> tuple[dict[int, Counter[str]], dict[int, int]]:
    """Return, by instance, its pixels by label, and those that have none."""
    labels: defaultdict[int, Counter[str]] = defaultdict(Counter)
    bare: dict[int, int] = {}
    if facts.scan.has_labels and facts.scan.has_numbers:
        for number, label, pixels in facts.pairs:
            if number and label is not None:
                labels[number][facts.label_map.labels[label].name] += pixels
            elif number:
                bare[number] = pixels
    return labels, bare


def _shown(shares: Counter[str]) -> str:
    return ", ".join(f"{name} ({pixels:,} px)" for name, pixels in shares.most_common())


def named(numbers: list[int]) -> str:
    """Return how to call instances in a message."""
    if len(numbers) == 1:
        return f"instance {numbers[0]}"
    return f"{len(numbers)} instances ({numbers[0]}, {numbers[1]} ...)"
