"""The items of an archive, without Datumaro, one at a time.

Whoever reads items gets a `Reader`: where the files of an item are, and what their pixels mean, is
known here and below. `read_item` and `scan_item` are plain functions of values that can be pickled,
so a loop, a thread or another process may call them. Source: docs/format.md, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from ..arrays import BoolArray, IntArray, Size, Values, sums_by_value
from ..colors import color_to_number
from ..errors import (
    PngError,
    Report,
    SegmaskImportError,
    StoreError,
    UndeclaredColorError,
    reporting,
    stop,
)
from ..png import MAX_PIXELS, MaskReader, block_rows
from ..regions import NOTHING, Instance, Runs, Scanner, group_runs
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

_Pixels: TypeAlias = tuple[Runs, IntArray, IntArray, str | None]
Explain: TypeAlias = Callable[[], UndeclaredColorError]


_BLANK = "blank"


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
    """What the files of an item hold, before instances are made of it.

    ``class_mask`` and ``instance_mask`` are their places in the archive, or where they would be.
    ``runs`` cover the image down its columns (`regions.scan`), None where there is no mask. Of each
    run, ``values`` is what the class mask has there (see `ClassLookup`), ``labels`` the position of
    the label or `regions.NOTHING`, and ``numbers`` the instance number or 0.
    """

    item_id: str
    class_mask: str
    instance_mask: str
    image: str | None
    head: ImageHead | None
    size: Size | None
    class_reader: MaskReader | None
    instance_reader: MaskReader | None
    stands_alone: bool = True
    runs: Runs | None = None
    labels: IntArray = field(default_factory=_no_runs)
    numbers: IntArray = field(default_factory=_no_runs)
    way: str | None = None

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

    def item(self) -> Item:
        """Sort the pixels into instances. Raises MaskLimitError."""
        if self.runs is None or self.size is None:
            return Item(self.item_id, self.size, self.image, [], turn=self.turn)
        first = self.class_reader or self.instance_reader
        assert first is not None
        labels = self.labels
        if not self.has_labels:  # one pretended label for all pixels of an instance
            labels = np.where(self.numbers > 0, 0, NOTHING)
        instances = group_runs(self.runs, self.numbers, labels, first.where)
        if not self.has_labels:
            instances = [replace(instance, label=None) for instance in instances]
        instances += unknown_of(self.runs, labels == UNKNOWN)
        return Item(
            self.item_id,
            self.size,
            self.image,
            instances,
            self.has_labels,
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
    return scan_item(storage, lookup, item_id, max_pixels).item()


def scan_item(
    storage: Storage, lookup: ClassLookup, item_id: str, max_pixels: int, report: Report = stop
) -> Scan:
    """Read the files of one item, each once. What is wrong with them goes to ``report``.

    What comes after a fault is there to find the others, not to be used.
    """
    image, head = None, None
    with reporting(report):
        image = find_image(storage, item_id)
        head = read_image_head(storage, image) if image else None
    readers: dict[str, MaskReader] = {}
    explain: Explain | None = None
    class_mask = find_mask(storage, layout.CLASS_MASKS, item_id)
    instance_mask = find_mask(storage, layout.INSTANCE_MASKS, item_id)
    for name, number_of in ((class_mask, lookup.number_of), (instance_mask, color_to_number)):
        if name is not None:
            with reporting(report):
                data, where = storage.read(name), storage.place(name)
                readers[name] = MaskReader(data, where, number_of, max_pixels)
                if name == class_mask:
                    explain = partial(lookup.error, data, where, max_pixels)
    sizes = {name: read.header.size for name, read in readers.items()}
    size = next(iter(sizes.values()), None)
    if image and head:
        if size is not None:
            with reporting(report):
                head = fitting_head(storage, image, head, size)
        sizes[image] = head.size if head.turn_to_fit(size) == 1 else head.shown
        size = size or head.shown
    check_sizes(storage, sizes, head, report)
    of_class, of_instance = readers.get(class_mask or ""), readers.get(instance_mask or "")
    pairs = [(of_class, of_instance)] if readers else []
    if (
        class_mask in readers
        and instance_mask in readers
        and (sizes[class_mask] != sizes[instance_mask])
    ):
        pairs = [(of_class, None), (None, of_instance)]  # reported: each is looked at for itself
    pixels: _Pixels | None = None
    stands_alone = True
    for pair in pairs:
        with reporting(report):
            pixels = _read_pixels(*pair, lookup, explain, report)
            if pixels[3] is _BLANK:
                stands_alone = not lookup.takes_black_for_ground
                pixels = _blank(pixels, storage, lookup)
    return Scan(
        item_id,
        class_mask or layout.class_mask(item_id),
        instance_mask or layout.instance_mask(item_id),
        image,
        head,
        size,
        of_class,
        of_instance,
        stands_alone,
        *(pixels or ()),
    )


def _read_pixels(
    of_class: MaskReader | None,
    of_instance: MaskReader | None,
    lookup: ClassLookup,
    explain: Explain | None,
    report: Report,
) -> _Pixels:
    """Read masks of one size in step; return their runs, the label and number of each, the way.

    ``explain`` makes the error of undeclared values, which takes another look at the class mask.
    """
    readers = [reader for reader in (of_class, of_instance) if reader is not None]
    broken: list[MaskReader] = []
    rows = block_rows(*readers)
    scanner = Scanner(*readers[0].header.size, readers[0].where)
    for blocks in zip(
        *(_blocks(read, rows, report, broken.append) for read in readers), strict=True
    ):
        scanner.add(*blocks)
    runs = scanner.runs()
    for reader in readers:
        if reader.has_small_colors:
            report(
                PngError(
                    "all its colours have 16 bits per channel and values below 256, so that they "
                    "are black in 8 bits",
                    reader.where,
                    "8 bits per channel, or values times 257",
                    "save the mask with 8 bits per channel",
                )
            )
    labels, way = np.full(runs.begin.size, NOTHING), None
    if of_class is not None and of_class not in broken:
        found = lookup.labels_of(runs.values[0], of_class)
        if found is None:
            assert explain is not None
            raise explain()
        labels, way = found
        if of_class.header.is_gray and not runs.values[0].any():
            way = _BLANK
    numbers = np.zeros(runs.begin.size, np.int64)
    if of_instance is not None:
        numbers = numbers_of(runs.values[-1], of_instance)
    return runs, lookup.resolve_shared(labels, numbers), numbers, way


def _blank(pixels: _Pixels, storage: Storage, lookup: ClassLookup) -> _Pixels:
    """Decide what a gray class mask means that is 0 everywhere.

    Blank masks are often written gray. So it is background where black is, in the other class
    masks, if these are in colour.
    """
    runs, labels, numbers, _ = pixels
    if not lookup.takes_black_for_ground:
        return runs, labels, numbers, None
    if has_colored_masks(storage):
        return runs, np.full(labels.size, lookup.ground), numbers, None
    return runs, labels, numbers, BY_INDEX


def _blocks(
    reader: MaskReader, rows: int, report: Report, note_broken: Callable[[MaskReader], None]
) -> Iterator[Values]:
    """Yield the blocks of a mask; behind a fault that is reported, blank ones."""
    height, width = reader.header.size
    done = 0
    try:
        for block in reader.blocks(rows):
            yield block
            done += len(block)
    except SegmaskImportError as error:
        report(error)
        note_broken(reader)
        for top in range(done, height, rows):
            yield np.zeros((min(rows, height - top), width), np.uint8)


def usual_masks(item_id: str) -> tuple[str, str]:
    """Return where an archive has the class mask and the instance mask of an item."""
    return layout.class_mask(item_id), layout.instance_mask(item_id)


class Reader:
    """Reads the items of one archive, one at a time, and keeps none. It can be pickled.

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

    def scan(self, item_id: str, report: Report = stop) -> Scan:
        """Read the files of one item, each once. What is wrong with them goes to ``report``."""
        return scan_item(self.storage, self.lookup, item_id, self.max_pixels, report)

    def entries(
        self, entries: Iterable[Entry]
    ) -> Iterator[tuple[Entry, Item | SegmaskImportError]]:
        """Yield each of these items, or the error of an item that cannot be read.

        Raises StoreError if a store does not answer, because that is not a fault of the item.
        """
        for entry in self.storage.prefetch(entries):
            try:
                item = self.read(entry[0])
            except StoreError:
                raise
            except SegmaskImportError as error:
                yield entry, error
            else:
                yield entry, item

    def image(self, item: Item) -> bytes | None:
        """Return the file of an item's image, None if it has none. Raises SegmaskImportError."""
        return None if item.image is None else self.storage.read(item.image)
