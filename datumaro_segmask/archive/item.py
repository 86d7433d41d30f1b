"""The items of an archive, without Datumaro: one, or many, of which small ones are read together.

Whoever reads items gets a `Reader`: where the files of an item are, and what their pixels mean, is
known here and below. `read_item` and `scan_items` are plain functions of values that can be
pickled, so a loop, a thread or another process may call them. Source: docs/format.md, sections 3
and 4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import numpy as np

from ..arrays import BoolArray, IntArray, Size, joined, keep_freed_memory, sums_by_value
from ..colors import color_to_number
from ..errors import (
    PngError,
    SegmaskImportError,
    StoreError,
    UndeclaredColorError,
    reporting,
)
from ..png import MAX_PIXELS, Header, MaskReader, block_rows, read_together
from ..regions import NOTHING, Instance, Runs, Scanner, group_images, group_runs
from ..storage import Entry, Storage, layout
from .class_lookup import BY_INDEX, UNKNOWN, ClassLookup, numbers_of
from .files import (
    ImageHead,
    check_sizes,
    find_image,
    find_mask,
    fitting_head,
    has_colored_masks,
    read_image_head,
)
from .labelmap import LabelMap

Explain: TypeAlias = Callable[[], UndeclaredColorError]
_Kind: TypeAlias = tuple[Header | None, Header | None]

_TOGETHER = 3 << 18
"""Pixels, or bytes of files, that are read together; more are hardly faster, and take memory."""
_MOST = 16  # items of them


@dataclass(frozen=True)
class Item:
    """One item as it was read.

    ``size`` is height and width in pixels, None where neither a mask nor an image tells it.
    ``image`` is the place of the image in the archive. ``instances`` is empty for an item without
    masks; those of an item without a class mask have no label. What is unknown is the last of them,
    if it is kept. ``way`` is how the class mask was read, one of `class_lookup.WAYS`, None where it
    is blank or not there. ``turn`` is the orientation (EXIF's, 1 to 8) in which the image lies as
    its masks do, None where it notes none. ``class_mask`` and ``instance_mask`` are their places in
    the archive, None where there is none.
    ``stands_alone`` is False for a blank gray class mask whose meaning the other masks decide.
    """

    item_id: str
    size: Size | None
    image: str | None
    instances: list[Instance]
    has_labels: bool = True
    way: str | None = None
    turn: int | None = None
    class_mask: str | None = None
    instance_mask: str | None = None
    stands_alone: bool = True

    def relabelled(self, positions: Sequence[int | None]) -> Item:
        """Return the item with other labels: of each label its position among those."""
        instances = [
            one if one.label is None else replace(one, label=positions[one.label])
            for one in self.instances
        ]
        return replace(self, instances=instances)


def _no_runs() -> IntArray:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class Scan:
    """What the files of an item hold.

    ``class_mask`` and ``instance_mask`` are their places in the archive, or where they would be.
    ``errors`` says what is wrong with them; what is found in spite of it is there to find the other
    errors, not to be used. ``runs`` cover the image down its columns (`regions.scan`), None where
    there is no mask. Of each run, ``values`` is what the class mask has there (see `ClassLookup`),
    ``labels`` the position of the label or `regions.NOTHING`, and ``numbers`` the instance
    number or 0. ``instances`` is what these make.
    """

    item_id: str
    class_mask: str
    instance_mask: str
    image: str | None
    head: ImageHead | None
    size: Size | None
    class_reader: MaskReader | None
    instance_reader: MaskReader | None
    errors: list[SegmaskImportError]
    stands_alone: bool = True
    runs: Runs | None = None
    labels: IntArray = field(default_factory=_no_runs)
    numbers: IntArray = field(default_factory=_no_runs)
    way: str | None = None
    instances: list[Instance] = field(default_factory=list)

    @property
    def turn(self) -> int | None:
        """How the image lies as its masks do, see `Item`."""
        return None if self.head is None else self.head.turn_to_fit(self.size)

    @property
    def usual_places(self) -> tuple[str, str]:
        """Where an export writes class mask and instance mask, letter by letter."""
        return usual_masks(self.item_id)

    @property
    def has_labels(self) -> bool:
        return self.class_reader is not None

    @property
    def has_numbers(self) -> bool:
        return self.instance_reader is not None

    @property
    def instance_is_gray(self) -> bool:
        return self.instance_reader is not None and self.instance_reader.header.is_gray

    def pixels_of_values(self) -> dict[int, int]:
        """Return how many pixels have each value of the class mask."""
        return {} if self.runs is None else self._count(self.runs.values[0])

    def pixels_of_numbers(self) -> dict[int, int]:
        """Return how many pixels each instance has, whatever lies under it, by its number."""
        return self._count(self.numbers)

    def pixels_of_pairs(self) -> Iterator[tuple[int, int | None, int]]:
        """Yield instance number, position of the label (or None), and how many pixels have both."""
        base = int(self.labels.max()) + 2
        for pair, pixels in self._count(self.numbers * base + self.labels + 1).items():
            number, label = divmod(pair, base)
            yield number, label - 1 if label else None, pixels

    def _count(self, values: IntArray) -> dict[int, int]:
        assert self.runs is not None
        found, pixels = sums_by_value(values, self.runs.end - self.runs.begin)
        return dict(zip(found.tolist(), pixels.tolist(), strict=True))

    def item(self) -> Item | SegmaskImportError:
        """Return the item, or the first of the errors."""
        if self.errors:
            return self.errors[0]
        return Item(
            self.item_id,
            self.size,
            self.image,
            self.instances,
            self.has_labels or self.runs is None,
            self.way,
            self.turn,
            self.class_mask if self.has_labels else None,
            self.instance_mask if self.has_numbers else None,
            self.stands_alone,
        )


def unknown_of(runs: Runs, unknown: BoolArray) -> list[Instance]:
    """Return the runs that are ``unknown``, (n,), as one region; none if there are none."""
    found = group_runs(runs, np.zeros_like(runs.begin), np.where(unknown, 0, NOTHING))
    return [replace(region, label=None, is_unknown=True) for region in found]


def read_item(storage: Storage, lookup: ClassLookup, item_id: str, max_pixels: int) -> Item:
    """Read the masks of one item, and where its image is.

    Raises SegmaskImportError: PngError, UndeclaredColorError, MaskSizeError, MissingFileError,
    UnsafePathError, ArchiveError.
    """
    (scan,) = scan_items(storage, lookup, [item_id], max_pixels)
    item = scan.item()
    if isinstance(item, SegmaskImportError):
        raise item
    return item


def scan_items(
    storage: Storage, lookup: ClassLookup, ids: Iterable[str], max_pixels: int
) -> Iterator[Scan]:
    """Read the files of items, each once, and yield what they hold; raises StoreError."""
    keep_freed_memory()
    for some in _together(_open(storage, lookup, item_id, max_pixels) for item_id in ids):
        alike = [item for item in some if item.kind is not None]
        found = iter(_read_pixels(alike, lookup, storage) if alike else [])
        for item in some:
            if item.kind is None:  # two sizes are an error: each mask is looked at for others
                for part in (item._replace(of_class=None), item._replace(of_instance=None)):
                    if part.of_class or part.of_instance:
                        _read_pixels([part], lookup, storage)
            pixels = next(found) if item.kind is not None else None
            yield Scan(
                item.item_id,
                item.class_mask or layout.class_mask(item.item_id),
                item.instance_mask or layout.instance_mask(item.item_id),
                item.image,
                item.head,
                item.size,
                item.of_class,
                item.of_instance,
                item.errors,
                *(pixels or ()),
            )


class _Opened(NamedTuple):
    """An item whose files are open; fields are those of `Scan`.

    ``kind`` is what the masks of others have to be to be read together with these; None where there
    is no mask, or two of different sizes. ``weight`` is what `_TOGETHER` counts. ``explain`` makes
    the error of undeclared values, which takes another look at the class mask.
    """

    item_id: str
    class_mask: str | None
    instance_mask: str | None
    image: str | None
    head: ImageHead | None
    size: Size | None
    of_class: MaskReader | None
    of_instance: MaskReader | None
    errors: list[SegmaskImportError]
    kind: _Kind | None
    weight: int
    explain: Explain | None


def _open(storage: Storage, lookup: ClassLookup, item_id: str, max_pixels: int) -> _Opened:
    errors: list[SegmaskImportError] = []
    report = errors.append
    image, head = None, None
    with reporting(report):
        image = find_image(storage, item_id)
        head = read_image_head(storage, image) if image else None
    readers: dict[str, MaskReader] = {}
    explain: Explain | None = None
    weight = 0
    class_mask = instance_mask = None
    with reporting(report):
        class_mask = find_mask(storage, layout.CLASS_MASKS, item_id)
        instance_mask = find_mask(storage, layout.INSTANCE_MASKS, item_id)
    for name, number_of in ((class_mask, lookup.number_of), (instance_mask, color_to_number)):
        if name is not None:
            with reporting(report):
                data, where = storage.read(name), storage.place(name)
                weight += len(data)
                readers[name] = MaskReader(data, where, number_of, max_pixels)
                if name == class_mask:
                    explain = partial(lookup.error, data, where, max_pixels)
    of_class, of_instance = readers.get(class_mask or ""), readers.get(instance_mask or "")
    sizes = {name: read.header.size for name, read in readers.items()}
    size = next(iter(sizes.values()), None)
    kind = None
    if len({*sizes.values()}) == 1:
        kind = (
            None if of_class is None else of_class.header,
            None if of_instance is None else of_instance.header,
        )
    if image and head:
        if size is not None:
            with reporting(report):
                head = fitting_head(storage, image, head, size)
        sizes[image] = head.size if head.turn_to_fit(size) == 1 else head.shown
        size = size or head.shown
    check_sizes(storage, sizes, head, report)
    return _Opened(
        item_id, class_mask, instance_mask, image, head, size, of_class, of_instance, errors, kind,
        max(weight, size.pixels if size and kind else 0), explain,
    )  # fmt: skip


def _together(items: Iterable[_Opened]) -> Iterator[list[_Opened]]:
    """Part items into those whose masks are read together, in their order.

    At first that is one item, then as many as came before: who wants but the first does not wait
    for others.
    """
    held: list[_Opened] = []
    kind: _Kind | None = None
    given = weight = 0
    try:
        for item in items:
            if None not in (kind, item.kind) and kind != item.kind:
                yield held
                given, held, weight = given + len(held), [], 0
            kind = item.kind or kind
            held.append(item)
            weight += item.weight
            if len(held) > min(given, _MOST - 1) or weight + item.weight > _TOGETHER:
                yield held
                given, held, kind, weight = given + len(held), [], None, 0
    except StoreError:
        yield held
        raise
    yield held


class _Pixels(NamedTuple):
    """What the masks of an item hold; fields are those of `Scan`."""

    stands_alone: bool
    runs: Runs
    labels: IntArray
    numbers: IntArray
    way: str | None
    instances: list[Instance]


def _read_pixels(
    items: Sequence[_Opened], lookup: ClassLookup, storage: Storage
) -> list[_Pixels | None]:
    """Read the masks of items of one kind in step; None for one that is past a limit."""
    class_masks = [item.of_class for item in items if item.of_class is not None]
    instance_masks = [item.of_instance for item in items if item.of_instance is not None]
    planes = [masks for masks in (class_masks, instance_masks) if masks]
    first = planes[0][0]
    size, where = first.header.size, first.where
    rows = size.height if len(items) > 1 else block_rows(*(masks[0] for masks in planes))
    with reporting(items[0].errors.append):  # no limit is within `_TOGETHER`
        scanner = Scanner(*size, where, len(items))
        for top in range(0, size.height, rows):
            scanner.add(*read_together(planes, min(rows, size.height - top)))
        runs = scanner.runs()
        of_items = [
            _meaning_of(item, own, lookup, storage)
            for item, own in zip(items, runs.of_images(len(items)), strict=True)
        ]
        numbers = joined([pixels.numbers for pixels in of_items])
        labels = joined([pixels.labels for pixels in of_items])
        if not class_masks:  # one pretended label for all pixels of an instance
            labels = np.where(numbers > 0, 0, NOTHING)
        found = group_images(runs, numbers, labels, len(items), where)
        if not class_masks:
            found = [[replace(i, label=None) for i in instances] for instances in found]
        if (labels == UNKNOWN).any():
            for pixels, instances in zip(of_items, found, strict=True):
                instances += unknown_of(pixels.runs, pixels.labels == UNKNOWN)
        return [p._replace(instances=own) for p, own in zip(of_items, found, strict=True)]
    return [None]


def _meaning_of(item: _Opened, runs: Runs, lookup: ClassLookup, storage: Storage) -> _Pixels:
    """Return what the runs of an item mean, its instances aside; what is wrong is reported."""
    masks = [mask for mask in (item.of_class, item.of_instance) if mask is not None]
    masks.sort(key=attrgetter("fault_row"))
    item.errors.extend(mask.fault for mask in masks if mask.fault is not None)
    for mask in masks:
        if mask.has_small_colors:
            item.errors.append(
                PngError(
                    "all its colours have 16 bits per channel and values below 256, so that they "
                    "are black in 8 bits",
                    mask.where,
                    "8 bits per channel, or values times 257",
                    "save the mask with 8 bits per channel",
                )
            )
    labels, way, stands_alone = np.full(runs.begin.size, NOTHING), None, True
    if item.of_class is not None and item.of_class.fault is None:
        values = runs.values[0]
        with reporting(item.errors.append):
            found = lookup.labels_of(values, item.of_class)
            if found is None:
                assert item.explain is not None
                raise item.explain()
            labels, way = found
            # Blank masks are often written gray. So one is background where black is, in the other
            # class masks, if these are in colour.
            if item.of_class.header.is_gray and not values.any():
                stands_alone, way = not lookup.takes_black_for_ground, None
                if not stands_alone and has_colored_masks(storage):
                    labels = np.full_like(labels, lookup.ground)
                elif not stands_alone:
                    way = BY_INDEX
    numbers = np.zeros(runs.begin.size, np.int64)
    if item.of_instance is not None:
        numbers = numbers_of(runs.values[-1], item.of_instance)
    return _Pixels(stands_alone, runs, lookup.resolve_shared(labels, numbers), numbers, way, [])


def usual_masks(item_id: str) -> tuple[str, str]:
    """Return where an archive has the class mask and the instance mask of an item."""
    return layout.class_mask(item_id), layout.instance_mask(item_id)


class Reader:
    """Reads the items of one archive, and keeps none. It can be pickled.

    ``keep_background``: the background is a label like any other. ``ignore_index``: a value of gray
    class masks that means "no annotation". ``keep_unknown``: make a region of these pixels and of
    VOC's void, see `ClassLookup`. ``max_pixels``: the largest mask that is read. Raises ValueError
    for an ``ignore_index`` that no mask can have.
    """

    def __init__(
        self,
        storage: Storage,
        label_map: LabelMap,
        *,
        keep_background: bool = False,
        ignore_index: int | None = None,
        keep_unknown: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.storage = storage
        self.label_map = label_map
        self.lookup = ClassLookup(label_map, keep_background, ignore_index, keep_unknown)
        self.max_pixels = max_pixels

    def read(self, item_id: str) -> Item:
        """Read the masks of one item, and find its image. Raises like `read_item`."""
        return read_item(self.storage, self.lookup, item_id, self.max_pixels)

    def scan(self, item_id: str) -> Scan:
        """Read the files of one item. Raises StoreError."""
        (scan,) = scan_items(self.storage, self.lookup, [item_id], self.max_pixels)
        return scan

    def entries(
        self, entries: Iterable[Entry]
    ) -> Iterator[tuple[Entry, Item | SegmaskImportError]]:
        """Yield each of these items, or the error of an item that cannot be read.

        Raises StoreError if a store does not answer, because that is not a fault of the item.
        """
        for entry, scan in self.scans(entries):
            yield entry, scan.item()

    def scans(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Scan]]:
        """Yield what the files of each of these items hold. Raises StoreError."""
        taken: deque[Entry] = deque()

        def ids() -> Iterator[str]:
            for entry in self.storage.prefetch(entries):
                taken.append(entry)
                yield entry[0]

        for scan in scan_items(self.storage, self.lookup, ids(), self.max_pixels):
            yield taken.popleft(), scan

    def image(self, item: Item) -> bytes | None:
        """Return the file of an item's image, None if it has none. Raises SegmaskImportError."""
        return None if item.image is None else self.storage.read(item.image)
