"""The items of an archive, without Datumaro, one at a time.

`read_item` is a plain function of values that can be pickled, so that a loop, a thread or another
process may call it alike. Source: docs/format.md, sections 3 and 4.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import imagesize

from . import layout
from .colors import color_to_number
from .errors import MaskSizeError
from .lookup import ClassLookup, numbers_of
from .png import MaskReader, block_rows
from .png_container import parse_header
from .runs import Instance, Scanner, group_runs
from .storage import Storage

_HEAD = 1 << 16  # bytes of an image that nearly always tell its size
_SUFFIXES = sorted(layout.IMAGE_SUFFIXES, key=lambda s: (s not in (".jpg", ".png", ".jpeg"), s))
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
    masks = [name for name in (class_mask, instance_mask) if storage.exists(name)]
    if not masks:
        return Item(item_id, image_size, image, [])
    data = {name: storage.read(name) for name in masks}
    size = _common_size(storage, data, image, image_size, max_pixels)
    if masks == [instance_mask]:
        instances = _read_numbers(storage, instance_mask, data[instance_mask], max_pixels)
    else:
        instances = _read_labels(storage, lookup, data, max_pixels)
    return Item(item_id, size, image, instances, has_labels=class_mask in data)


def _common_size(
    storage: Storage,
    masks: dict[str, bytes],
    image: str | None,
    image_size: tuple[int, int] | None,
    max_pixels: int,
) -> tuple[int, int]:
    sizes = {}
    for name, data in masks.items():
        header = parse_header(data, storage.place(name), max_pixels)
        sizes[name] = header.height, header.width
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


def _read_labels(
    storage: Storage, lookup: ClassLookup, masks: dict[str, bytes], max_pixels: int
) -> list[Instance]:
    names = list(masks)
    place = storage.place(names[0])
    readers = [MaskReader(masks[names[0]], place, lookup.number_of, max_pixels)]
    readers += [
        MaskReader(masks[name], storage.place(name), color_to_number, max_pixels)
        for name in names[1:]
    ]
    height, width = readers[0].header.height, readers[0].header.width
    scanner = Scanner(height, width, place)
    rows = block_rows(*readers)
    for blocks in zip(*(reader.blocks(rows) for reader in readers), strict=True):
        scanner.add(*blocks)
    runs = scanner.runs()
    labels = lookup.labels_of(runs.values[0], readers[0])
    if labels is None:
        raise lookup.error(masks[names[0]], place, max_pixels)
    numbers = labels * 0 if len(readers) == 1 else numbers_of(runs.values[1], readers[1])
    return group_runs(runs.begin, runs.end, numbers, labels, height, width, place)


def _read_numbers(storage: Storage, name: str, data: bytes, max_pixels: int) -> list[Instance]:
    """Read the instances of an item that has no class mask: they have no label."""
    place = storage.place(name)
    reader = MaskReader(data, place, color_to_number, max_pixels)
    height, width = reader.header.height, reader.header.width
    scanner = Scanner(height, width, place)
    for block in reader.blocks():
        scanner.add(block)
    runs = scanner.runs()
    numbers = numbers_of(runs.values[0], reader)
    # One pretended label for all pixels of an instance; black ones belong to none.
    found = group_runs(runs.begin, runs.end, numbers, (numbers > 0) - 1, height, width, place)
    return [Instance(None, i.number, i.counts, i.area, i.bbox) for i in found]


def find_image(storage: Storage, item_id: str) -> str | None:
    """Return the place of an item's image, whatever its suffix, or None."""
    names = (layout.image(item_id, suffix) for suffix in _SUFFIXES)
    return next((name for name in names if storage.exists(name)), None)


def read_image_size(storage: Storage, name: str) -> tuple[int, int] | None:
    """Return height and width of an image from its header, None where that cannot be read."""
    with storage.open(name) as file:
        head = file.read(_HEAD)
    return _parse_image_size(head) or _parse_image_size(storage.read(name))


def _parse_image_size(data: bytes) -> tuple[int, int] | None:
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception:  # imagesize 1 raises what it meets, imagesize 2 returns -1
        return None
    return (int(height), int(width)) if width > 0 and height > 0 else None


def _show(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
