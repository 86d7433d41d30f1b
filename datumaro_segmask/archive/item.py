"""The items of an archive, without Datumaro, one at a time.

`read_item` is a plain function of values that can be pickled, so that a loop, a thread or another
process may call it alike. Source: docs/format.md, sections 3 and 4.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import imagesize

from ..colors import color_to_number
from ..errors import MaskSizeError
from ..png.read import MaskReader, block_rows
from ..regions.scan import Instance, Runs, Scanner, group_runs
from ..storage import layout
from ..storage.read import MAX_FILE_BYTES, Storage
from .meaning import ClassLookup, numbers_of

# Bytes read of an image to learn its size: enough for most, for those of cameras, for all.
_HEADS = (1 << 12, 1 << 16, MAX_FILE_BYTES)
_COMMON = [".jpg", ".png", ".jpeg"]
_SUFFIXES = _COMMON + sorted(layout.IMAGE_SUFFIXES.difference(_COMMON))
_SUFFIXES += [suffix.upper() for suffix in _SUFFIXES]


@dataclass(frozen=True)
class Item:
    """One item as it was read.

    ``size`` is height and width in pixels, None where neither a mask nor an image tells it.
    ``image`` is the place of the image in the archive. ``instances`` is empty for an item without
    masks; those of an item without a class mask have no label.
    """

    item_id: str
    size: tuple[int, int] | None
    image: str | None
    instances: list[Instance]
    has_labels: bool = True


def read_item(storage: Storage, lookup: ClassLookup, item_id: str, max_pixels: int) -> Item:
    """Read the masks of one item, and where its image is.

    Raises SegmaskImportError: PngError, UndeclaredColorError, MaskSizeError, MissingFileError,
    UnsafePathError, ArchiveError.
    """
    class_mask, instance_mask = layout.class_mask(item_id), layout.instance_mask(item_id)
    image = find_image(storage, item_id)
    image_size = read_image_size(storage, image) if image else None
    readers = {
        name: MaskReader(storage.read(name), storage.place(name), number_of, max_pixels)
        for name, number_of in ((class_mask, lookup.number_of), (instance_mask, color_to_number))
        if storage.exists(name)
    }
    if not readers:
        return Item(item_id, image_size, image, [])
    size = _common_size(storage, readers, image, image_size)
    has_labels = class_mask in readers
    if has_labels:
        instances = _read_labels(list(readers.values()), size, lookup)
        if instances is None:
            raise lookup.error(storage.read(class_mask), storage.place(class_mask), max_pixels)
    else:
        instances = _read_numbers(readers[instance_mask], size)
    return Item(item_id, size, image, instances, has_labels)


def _common_size(
    storage: Storage,
    readers: dict[str, MaskReader],
    image: str | None,
    image_size: tuple[int, int] | None,
) -> tuple[int, int]:
    sizes = {name: (read.header.height, read.header.width) for name, read in readers.items()}
    if image and image_size:
        sizes[image] = image_size
    (first, size), *others = sizes.items()
    for other, other_size in others:
        if other_size != size:
            raise MaskSizeError(
                f"the size is {_show(size)}, but {other} has {_show(other_size)}",
                storage.place(first),
                "class mask, instance mask and image of one size (width x height)",
                "export the item again, or scale the masks without smoothing (nearest neighbour)",
            )
    return size


def _scan(readers: list[MaskReader], size: tuple[int, int]) -> Runs:
    scanner = Scanner(*size, readers[0].where)
    rows = block_rows(*readers)
    for blocks in zip(*(reader.blocks(rows) for reader in readers), strict=True):
        scanner.add(*blocks)
    return scanner.runs()


def _read_labels(
    readers: list[MaskReader], size: tuple[int, int], lookup: ClassLookup
) -> list[Instance] | None:
    """Read a class mask and, if there is one, an instance mask; None if values are undeclared."""
    runs = _scan(readers, size)
    labels = lookup.labels_of(runs.values[0], readers[0])
    if labels is None:
        return None
    numbers = labels * 0 if len(readers) == 1 else numbers_of(runs.values[1], readers[1])
    return group_runs(runs.begin, runs.end, numbers, labels, *size, readers[0].where)


def _read_numbers(reader: MaskReader, size: tuple[int, int]) -> list[Instance]:
    """Read the instances of an item that has no class mask: they have no label."""
    runs = _scan([reader], size)
    numbers = numbers_of(runs.values[0], reader)
    # One pretended label for all pixels of an instance; black ones belong to none.
    found = group_runs(runs.begin, runs.end, numbers, (numbers > 0) - 1, *size, reader.where)
    return [Instance(None, i.number, i.counts, i.area, i.bbox) for i in found]


def find_image(storage: Storage, item_id: str) -> str | None:
    """Return the place of an item's image, whatever its suffix, or None."""
    names = (layout.image(item_id, suffix) for suffix in _SUFFIXES)
    return next((name for name in names if storage.exists(name)), None)


def read_image_size(storage: Storage, name: str) -> tuple[int, int] | None:
    """Return height and width of an image from its header, None where that cannot be read."""
    data = b""
    with storage.open(name) as file:
        for more in _HEADS:
            data += file.read(more)
            size = _parse_image_size(data)
            if size:
                return size
    return None


def _parse_image_size(data: bytes) -> tuple[int, int] | None:
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception:  # imagesize 1 raises what it meets, imagesize 2 returns -1
        return None
    return (int(height), int(width)) if width > 0 and height > 0 else None


def _show(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
