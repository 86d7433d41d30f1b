"""The items of an archive, without Datumaro, one at a time.

`read_item` and `scan_item` are plain functions of values that can be pickled, so that a loop, a
thread or another process may call them alike. Source: docs/format.md, sections 3 and 4.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import imagesize
import numpy as np

from ..arrays import IntArray, Size, Values
from ..colors import color_to_number
from ..errors import (
    MaskSizeError,
    Report,
    SegmaskImportError,
    UndeclaredColorError,
    reporting,
    stop,
)
from ..png import MaskReader, block_rows
from ..regions import Instance, Runs, Scanner, group_runs
from ..storage import layout
from ..storage.read import MAX_FILE_BYTES, Storage
from .meaning import NOTHING, ClassLookup, numbers_of

Explain: TypeAlias = Callable[[], UndeclaredColorError]

# Bytes read of an image to learn its size: enough for most, for those of cameras, for all.
_HEADS = (1 << 12, 1 << 16, MAX_FILE_BYTES)


@dataclass(frozen=True)
class Item:
    """One item as it was read.

    ``size`` is height and width in pixels, None where neither a mask nor an image tells it.
    ``image`` is the place of the image in the archive. ``instances`` is empty for an item without
    masks; those of an item without a class mask have no label.
    """

    item_id: str
    size: Size | None
    image: str | None
    instances: list[Instance]
    has_labels: bool = True


def _no_runs() -> IntArray:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class Scan:
    """What the files of an item hold, before instances are made of it.

    ``runs`` cover the image down its columns (`regions.scan`), None where there is no mask. Of each
    run, ``values`` is what the class mask has there (see `ClassLookup`), ``labels`` the position of
    the label or `meaning.NOTHING`, and ``numbers`` the instance number or 0.
    """

    item_id: str
    image: str | None
    image_size: Size | None
    size: Size | None
    class_reader: MaskReader | None
    instance_reader: MaskReader | None
    runs: Runs | None = None
    labels: IntArray = field(default_factory=_no_runs)
    numbers: IntArray = field(default_factory=_no_runs)

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
        found, of_run = np.unique(values, return_inverse=True)
        pixels = np.zeros(found.size, np.int64)
        np.add.at(pixels, of_run.ravel(), self.runs.end - self.runs.begin)
        return dict(zip(found.tolist(), pixels.tolist(), strict=True))

    def item(self) -> Item:
        """Sort the pixels into instances. Raises MaskLimitError."""
        if self.runs is None or self.size is None:
            return Item(self.item_id, self.size, self.image, [])
        first = self.class_reader or self.instance_reader
        assert first is not None
        labels = self.labels
        if not self.has_labels:  # one pretended label for all pixels of an instance
            labels = np.where(self.numbers > 0, 0, NOTHING)
        instances = group_runs(self.runs, self.numbers, labels, first.where)
        if not self.has_labels:
            instances = [Instance(None, i.number, i.counts, i.area, i.bbox) for i in instances]
        return Item(self.item_id, self.size, self.image, instances, self.has_labels)


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
    image, image_size = None, None
    with reporting(report):
        image = find_image(storage, item_id)
        image_size = read_image_size(storage, image) if image else None
    readers: dict[str, MaskReader] = {}
    explain: Explain | None = None
    class_mask, instance_mask = layout.class_mask(item_id), layout.instance_mask(item_id)
    for name, number_of in ((class_mask, lookup.number_of), (instance_mask, color_to_number)):
        if storage.exists(name):
            with reporting(report):
                data, where = storage.read(name), storage.place(name)
                readers[name] = MaskReader(data, where, number_of, max_pixels)
                if name == class_mask:
                    explain = partial(lookup.error, data, where, max_pixels)
    sizes = {name: read.header.size for name, read in readers.items()}
    if image and image_size:
        sizes[image] = image_size
    _check_sizes(storage, sizes, report)
    size = next(iter(sizes.values()), None)
    of_class, of_instance = readers.get(class_mask), readers.get(instance_mask)
    pairs = [(of_class, of_instance)] if readers else []
    if of_class and of_instance and sizes[class_mask] != sizes[instance_mask]:
        pairs = [(of_class, None), (None, of_instance)]  # reported: each is looked at for itself
    pixels: tuple[Runs, IntArray, IntArray] | None = None
    for pair in pairs:
        with reporting(report):
            pixels = _read_pixels(*pair, lookup, explain, report)
    return Scan(item_id, image, image_size, size, of_class, of_instance, *(pixels or ()))


def _check_sizes(storage: Storage, sizes: dict[str, Size], report: Report) -> None:
    first, expected = next(iter(sizes.items()), ("", None))
    for name, size in sizes.items():
        if size != expected and expected is not None:
            role = "class mask" if first.startswith(layout.CLASS_MASKS) else "instance mask"
            report(
                MaskSizeError(
                    f"the size is {size}, that of the {role} is {expected}",
                    storage.place(name),
                    f"the size (width x height) of {first}",
                    "export the item again, or scale the masks without smoothing (nearest "
                    "neighbour)",
                    kind="image-size" if name.startswith(layout.IMAGES) else "mask-size",
                )
            )


def _read_pixels(
    of_class: MaskReader | None,
    of_instance: MaskReader | None,
    lookup: ClassLookup,
    explain: Explain | None,
    report: Report,
) -> tuple[Runs, IntArray, IntArray]:
    """Read masks of one size in step; return their runs, and the label and number of each.

    ``explain`` makes the error of undeclared values, which takes another look at the class mask.
    """
    readers = [reader for reader in (of_class, of_instance) if reader is not None]
    broken: list[MaskReader] = []
    rows = block_rows(*readers)
    scanner = Scanner(*readers[0].header.size, readers[0].where)
    for blocks in zip(*(_blocks(read, rows, report, broken) for read in readers), strict=True):
        scanner.add(*blocks)
    runs = scanner.runs()
    labels: IntArray | None
    if of_class is None or of_class in broken:
        labels = np.full(runs.begin.size, NOTHING)
    else:
        labels = lookup.labels_of(runs.values[0], of_class)
    if labels is None:
        assert explain is not None
        raise explain()
    if of_instance is None:
        return runs, labels, np.zeros(runs.begin.size, np.int64)
    return runs, labels, numbers_of(runs.values[-1], of_instance)


def _blocks(
    reader: MaskReader, rows: int, report: Report, broken: list[MaskReader]
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
        broken.append(reader)
        for top in range(done, height, rows):
            yield np.zeros((min(rows, height - top), width), np.uint8)


def find_image(storage: Storage, item_id: str) -> str | None:
    """Return the place of an item's image, whatever its suffix, or None."""
    return storage.image(item_id)


def read_image_size(storage: Storage, name: str) -> Size | None:
    """Return height and width of an image from its header, None where that cannot be read."""
    data = b""
    with storage.open(name) as file:
        for more in _HEADS:
            data += file.read(more)
            size = _parse_image_size(data)
            if size:
                return size
    return None


def _parse_image_size(data: bytes) -> Size | None:
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception:  # imagesize 1 raises what it meets, imagesize 2 returns -1
        return None
    return Size(int(height), int(width)) if width > 0 and height > 0 else None
