"""What may not be meant in an item that can be read (docs/format.md, sections 1 to 4)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from ... import colors
from ...archive import LAST_SHARED, Finding, LabelMap, Scan

_FIX_NUMBERS = (
    "'datum convert -if segmask -f segmask' numbers the instances from 1; images with more than "
    "255 have to be cut"
)


def doubts_of_item(scan: Scan, label_map: LabelMap, for_cvat: bool) -> Iterator[Finding]:
    """Yield what is odd about the files of an item that can be read."""
    item_id = scan.item_id
    class_mask, instance_mask = scan.class_mask, scan.instance_mask
    if scan.image and scan.head is None:
        what, fix = "its size cannot be read", "check that it is an image, and save it again"
        yield Finding("unreadable-image", scan.image, what, fix, item_id)
    if scan.image and scan.head is not None and scan.turn != scan.head.orientation:
        what = f"it is shown {scan.head.shown}, and its masks fit it only as it is stored"
        fix = "take the EXIF orientation out of the file, or turn the masks"
        yield Finding("image-as-stored", scan.image, what, fix, item_id)
    if not scan.has_labels and not scan.has_numbers:
        what, fix = "it has no masks", "leave it so if it has no objects, else add its masks"
        yield Finding("listed-without-masks", class_mask, what, fix, item_id)
    elif not scan.has_labels:
        what, fix = "its instances have no label", "add the class mask"
        yield Finding("missing-class-mask", class_mask, what, fix, item_id)
    if scan.has_numbers:
        yield from _past_255(scan, instance_mask, for_cvat)
        if scan.has_labels:
            yield from _doubts_of_pairs(scan, label_map, instance_mask)


def _past_255(scan: Scan, name: str, for_cvat: bool) -> Iterator[Finding]:
    """Say that CVAT and VOC know 255 numbers: it merges gray ones, and refuses colours."""
    # Of colours CVAT takes one more, for it has no black among the 256.
    last = LAST_SHARED + (for_cvat and not scan.instance_is_gray)
    high = {n: pixels for n, pixels in scan.pixels_of_numbers().items() if n > last}
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
        file, pixels = scan.class_mask, loose.total()
        yield Finding("class-without-instance", file, what, fix, scan.item_id, pixels=pixels)
    for number, shares in labels.items():
        if len(shares) > 1:
            what = f"instance {number} spans {_shares(shares)}"
            fix = "give all its pixels one label, or each part a number of its own"
            rest = shares.total() - max(shares.values())
            yield Finding("instance-over-labels", name, what, fix, scan.item_id, pixels=rest)
    lost = {number: bare.pop(number) for number in list(bare) if number not in labels}
    if lost:
        what = f"no pixel of {_instances(list(lost))} has a label, so nothing is left of it"
        fix = "label these pixels in the class mask, or blacken them in the instance mask"
        pixels = sum(lost.values())
        yield Finding("lost-instance", name, what, fix, scan.item_id, pixels=pixels)
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
