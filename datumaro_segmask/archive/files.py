"""Which files of an archive belong to an item, and how large its image is.

Source: docs/format.md, sections 1 and 4.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import imagesize

from ..arrays import Size
from ..errors import SegmaskImportError
from ..png import PALETTE, RGB, RGBA
from ..storage import Storage, layout

_PROBED = 1000
_HEADER_END = 26  # bytes of a PNG up to its colour type

# Bytes read of an image to learn its size: enough for most, for those of cameras, for nearly all.
_HEADS = (1 << 12, (1 << 16) - (1 << 12), (1 << 18) - (1 << 16))


def find_mask(storage: Storage, folder: str, item_id: str) -> str | None:
    """Return the place of an item's mask in a folder of masks, or None."""
    return next(filter(storage.exists, layout.mask_places(folder, item_id)), None)


def has_masks(storage: Storage, item_id: str) -> bool:
    """Tell whether an item has a class mask or an instance mask."""
    folders = layout.CLASS_MASKS, layout.INSTANCE_MASKS
    return any(find_mask(storage, folder, item_id) for folder in folders)


def find_images(storage: Storage, item_id: str) -> Iterator[str]:
    """Yield the places of an item's images, whatever their suffixes."""
    return filter(storage.exists, layout.image_places(item_id))


def find_image(storage: Storage, item_id: str) -> str | None:
    """Return the place of an item's image, the first where there are several, or None."""
    return next(filter(None, map(storage.image, layout.forms_of(item_id))), None)


def has_colored_masks(storage: Storage) -> bool:
    """Tell whether any of the first class masks of an archive is in colour, by their headers."""
    for name in islice(storage.files(layout.CLASS_MASKS), _PROBED):
        with suppress(SegmaskImportError), storage.open(name) as file:
            head = file.read(_HEADER_END)
            if head[1:4] == b"PNG" and head[-1] in (RGB, RGBA, PALETTE):
                return True
    return False


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
