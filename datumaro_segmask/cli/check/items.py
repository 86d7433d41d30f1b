"""What `check` finds in one item: its masks, each for itself and together, and its image.

Source: docs/format.md, sections 2 to 4.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from ... import colors
from ...archive.item import Item, find_image, read_image_size, read_item
from ...archive.labelmap import LabelMap
from ...archive.meaning import ClassLookup, count_values
from ...archive.numbering import LAST_SHARED
from ...errors import SegmaskImportError, UndeclaredColorError
from ...png.container import GRAY, GRAY_ALPHA, parse_header
from ...regions.scan import Instance
from ...storage import layout
from ...storage.read import Storage
from .cvat import cvat_findings
from .findings import Finding
from .tolerant import is_stand_in, of_error

_SHOWN = 8  # undeclared values of one mask that are findings of their own
_SMOOTH = 32  # as many colours come from smoothing, not from a forgotten line
_FIX_VALUE = "add the missing lines to the label map"
_FIX_255 = (
    "give the option ignore_index=255 if it marks pixels without a label; write 1 instead if the "
    "mask is a binary one"
)
_FIX_SMOOTH = "draw the mask without smoothing, scaling or JPEG, which blend colours"
_FIX_NUMBERS = (
    "'datum convert -if segmask -f segmask' numbers the instances from 1; images with more than "
    "255 have to be cut"
)


class Only:
    """A storage that shows nothing but the files of one folder, such as the class masks."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._begin = f"{folder}/"
        self.place, self.read, self.open = storage.place, storage.read, storage.open
        self.files, self.path = storage.files, storage.path

    def exists(self, name: str) -> bool:
        return name.startswith(self._begin) and self._storage.exists(name)


class ItemChecker:
    """Checks items one by one. ``label_map`` is None where it cannot be read."""

    def __init__(
        self,
        storage: Storage,
        label_map: LabelMap | None,
        *,
        ignore_index: int | None,
        max_pixels: int,
        for_cvat: bool,
    ) -> None:
        self._storage = storage
        self._map = label_map
        self._lookup = None if label_map is None else ClassLookup(label_map, False, ignore_index)
        self._max_pixels = max_pixels
        self._for_cvat = for_cvat

    def check(self, item_id: str) -> tuple[Item | None, list[Finding]]:
        """Return an item, None where it cannot be read, and what is to be said of it."""
        if self._lookup is None:
            return None, self._faults(item_id)
        try:
            item = read_item(self._storage, self._lookup, item_id, self._max_pixels)
        except SegmaskImportError as error:
            found = self._faults(item_id)
            return None, found or [of_error(error, self._storage, error.where, item_id)]
        return item, list(self._doubts(item))

    # An item that cannot be read: every file for itself

    def _faults(self, item_id: str) -> list[Finding]:
        class_mask, instance_mask = layout.class_mask(item_id), layout.instance_mask(item_id)
        findings: list[Finding] = []
        sizes: dict[str, tuple[int, int]] = {}
        for name in (class_mask, instance_mask):
            if self._storage.exists(name):
                size, found = self._faults_of_mask(item_id, name)
                findings += found
                if size is not None:
                    sizes[name] = size
        try:
            image = find_image(self._storage, item_id)
            size = read_image_size(self._storage, image) if image else None
        except SegmaskImportError as error:
            findings.append(of_error(error, self._storage, _inner(error, self._storage), item_id))
            image = None
        if image and size:
            sizes[image] = size
        return findings + list(_differences(sizes, item_id))

    def _faults_of_mask(
        self, item_id: str, name: str
    ) -> tuple[tuple[int, int] | None, list[Finding]]:
        """Return the size of a mask, None where that cannot be read, and its faults."""
        place = self._storage.place(name)
        try:
            data = self._storage.read(name)
            header = parse_header(data, place, self._max_pixels)
        except SegmaskImportError as error:
            return None, [of_error(error, self._storage, name, item_id)]
        size = header.height, header.width
        try:
            if self._lookup is None:
                count_values(data, place, self._max_pixels)
            else:
                only = Only(self._storage, name.partition("/")[0])
                read_item(only, self._lookup, item_id, self._max_pixels)
        except UndeclaredColorError:
            return size, list(self._undeclared(item_id, name, data))
        except SegmaskImportError as error:
            return size, [of_error(error, self._storage, name, item_id)]
        return size, []

    def _undeclared(self, item_id: str, name: str, data: bytes) -> Iterator[Finding]:
        assert self._lookup is not None
        assert self._map is not None
        place = self._storage.place(name)
        found = self._lookup.undeclared(data, place, self._max_pixels)
        _, is_gray = count_values(data, place, self._max_pixels)
        kind = "undeclared-value" if is_gray else "undeclared-colour"
        fix = _FIX_VALUE
        for bad in found[:_SHOWN]:
            if is_gray:
                value = str(bad.value)
                what = f"{value} is none of the {len(self._map.labels):,} lines of the label map"
                fix = _FIX_255 if bad.value == 255 else _FIX_VALUE
            else:
                value = colors.show(bad.value)
                what = f"no label has the colour {value}{self._nearest(bad.value)}"
                fix = f"give these pixels a declared colour, or add the line 'name:{value}::'"
                fix = _FIX_SMOOTH if len(found) > _SMOOTH else fix
            yield Finding(kind, name, what, fix, item_id, pixels=bad.pixels, value=value)
        rest = found[_SHOWN:]
        if rest:
            what = f"{len(rest):,} more colours or values are not declared"
            yield Finding(kind, name, what, fix, item_id, pixels=sum(bad.pixels for bad in rest))

    def _nearest(self, packed: int) -> str:
        assert self._map is not None
        labels = tuple(label for label in self._map.labels if not is_stand_in(label))
        return f"; nearest: {ClassLookup(LabelMap(labels)).nearest(packed)}" if labels else ""

    # An item that is read: what may not be meant

    def _doubts(self, item: Item) -> Iterator[Finding]:
        item_id = item.item_id
        class_mask, instance_mask = layout.class_mask(item_id), layout.instance_mask(item_id)
        has_class = self._storage.exists(class_mask)
        has_instance = self._storage.exists(instance_mask)
        if item.image and read_image_size(self._storage, item.image) is None:
            what, fix = "its size cannot be read", "check that it is an image, and save it again"
            yield Finding("unreadable-image", item.image, what, fix, item_id)
        if not has_class and not has_instance:
            what, fix = "it has no masks", "leave it so if it has no objects, else add its masks"
            yield Finding("listed-without-masks", class_mask, what, fix, item_id)
        elif not has_class:
            what, fix = "its instances have no label", "add the class mask"
            yield Finding("missing-class-mask", class_mask, what, fix, item_id)
        if has_instance:
            yield from self._doubts_of_instances(item, instance_mask)
        if has_class and not has_instance:
            what = "there is no instance mask"
            fix = "'datumaro-segmask from-masks' makes instances of class masks"
            yield Finding("missing-instance-mask", instance_mask, what, fix, item_id)
        if self._for_cvat and self._map is not None:
            yield from cvat_findings(self._storage, self._map, item_id, self._max_pixels)

    def _doubts_of_instances(self, item: Item, name: str) -> Iterator[Finding]:
        assert self._lookup is not None
        assert self._map is not None
        only = Only(self._storage, layout.INSTANCE_MASKS)
        numbered = read_item(only, self._lookup, item.item_id, self._max_pixels).instances
        high = [instance for instance in numbered if instance.number > LAST_SHARED]
        if high:
            yield self._past_255(item.item_id, name, high)
        if not item.has_labels:
            return
        labels: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for instance in item.instances:
            assert instance.label is not None
            labels[instance.number][self._map.labels[instance.label].name] += instance.area
        loose = labels.pop(0, Counter())
        if loose:
            what = f"pixels of {_shares(loose)} belong to no instance"
            fix = "leave it so if this is 'stuff', else draw them into the instance mask"
            file = layout.class_mask(item.item_id)
            yield Finding(
                "class-without-instance", file, what, fix, item.item_id, pixels=loose.total()
            )
        for number, shares in labels.items():
            if len(shares) > 1:
                what = f"instance {number} spans {_shares(shares)}"
                fix = "give all its pixels one label, or each part a number of its own"
                rest = shares.total() - max(shares.values())
                yield Finding("instance-over-labels", name, what, fix, item.item_id, pixels=rest)
        bare = {i.number: i.area - labels[i.number].total() for i in numbered}
        bare = {number: pixels for number, pixels in bare.items() if pixels}
        if bare:
            what = f"pixels of {_numbers(list(bare))} lie on the background"
            fix = "label these pixels in the class mask, or blacken them in the instance mask"
            yield Finding(
                "instance-without-class", name, what, fix, item.item_id, pixels=sum(bare.values())
            )

    def _past_255(self, item_id: str, name: str, high: list[Instance]) -> Finding:
        """Say that CVAT and VOC know 255 numbers: it merges gray ones, and refuses colours."""
        data = self._storage.read(name)
        header = parse_header(data, self._storage.place(name), self._max_pixels)
        who = _numbers([instance.number for instance in high])
        pixels = sum(instance.area for instance in high)
        if header.color_type in (GRAY, GRAY_ALPHA):
            kind = "sixteen-bits" if self._for_cvat else "instance-number"
            return Finding(
                kind, name, f"CVAT takes {who} modulo 256", _FIX_NUMBERS, item_id, pixels=pixels
            )
        value = ",".join(map(str, colors.voc_color(high[0].number)))
        what = f"the colour of {who} is none of VOC's first 256"
        return Finding(
            "instance-number", name, what, _FIX_NUMBERS, item_id, pixels=pixels, value=value
        )


def _differences(sizes: dict[str, tuple[int, int]], item_id: str) -> Iterator[Finding]:
    if not sizes:
        return
    (first, size), *others = sizes.items()
    for other, other_size in others:
        if other_size != size:
            kind = "image-size" if other.startswith(layout.IMAGES) else "mask-size"
            role = "class mask" if first.startswith(layout.CLASS_MASKS) else "instance mask"
            what = f"it has {_show(other_size)} pixels, but the {role} {_show(size)}"
            fix = "export the item again, or scale the masks without smoothing (nearest neighbour)"
            yield Finding(kind, other, what, fix, item_id)


def _inner(error: SegmaskImportError, storage: Storage) -> str:
    """Return the place in the archive that an error names, or as it names it."""
    root = storage.place(layout.IMAGES).removesuffix(layout.IMAGES)
    return error.where.removeprefix(root).replace("\\", "/")


def _shares(shares: Counter[str]) -> str:
    return ", ".join(f"{name} ({pixels:,} px)" for name, pixels in shares.most_common())


def _numbers(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"instance {numbers[0]}"
    return f"{len(numbers)} instances ({numbers[0]}, {numbers[1]} ...)"


def _show(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
