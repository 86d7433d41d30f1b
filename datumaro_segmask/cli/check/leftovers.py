"""What an archive holds that no import shows: pictures of no item, colours under transparency."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import cv2
import numpy as np

from ...archive import Archive, Finding, Scan
from ...errors import counted
from ...png import MaskReader
from ...storage import Storage, layout

_LOOKED_AT = 100_000  # files beside the folders of the layout
_HEAD = 1 << 12  # bytes of a PNG in which a palette's transparency stands


def pictures_elsewhere(archive: Archive) -> Iterator[Finding]:
    """Yield which pictures belong to no item, of an archive with items that have none."""
    storage = archive.storage
    ids = {
        form: item_id
        for listed in archive.subsets.values()
        for item_id in listed
        for form in layout.forms_of(item_id)
    }
    found = [name for name in _pictures(storage) if _stem(name) not in ids]
    if not found:
        return
    by_name = {form.rpartition("/")[2]: item_id for form, item_id in ids.items()}
    fits = next((name for name in sorted(found) if _last(name) in by_name), None)
    what = f"{counted(len(found), 'picture')} such as {fits or min(found)} "
    what += ("belongs" if len(found) == 1 else "belong") + " to no item, while items have none"
    fix = f"put pictures into {layout.IMAGES}, each with the id of its item for a name"
    if fits is not None:
        fix += f"; here {layout.image(by_name[_last(fits)], layout.split_suffix(fits)[1])}"
    yield Finding("images-elsewhere", fits or min(found), what, fix)


def _pictures(storage: Storage) -> Iterator[str]:
    names = chain(storage.files(layout.IMAGES), islice(storage.beside(), _LOOKED_AT))
    return (name for name in names if _is_picture(name))


def _is_picture(name: str) -> bool:
    """Tell whether a file is a picture, and none of the masks that lie in a folder of their own."""
    suffix = layout.split_suffix(name)[1].lower()
    folder = name.partition("/")[0]
    return suffix in layout.IMAGE_SUFFIXES and layout.mask_folder_meant(folder) is None


def _stem(name: str) -> str | None:
    """Return the id that a picture belongs to, None for one that is not among the images."""
    folder = f"{layout.IMAGES}/"
    return layout.split_suffix(name.removeprefix(folder))[0] if name.startswith(folder) else None


def _last(name: str) -> str:
    return layout.split_suffix(name)[0].rpartition("/")[2]


def transparent_colors(storage: Storage, scan: Scan) -> Iterator[Finding]:
    """Yield the masks with colours that no viewer shows, as these pixels are transparent."""
    masks = (scan.class_mask, scan.class_reader), (scan.instance_mask, scan.instance_reader)
    for name, reader in masks:
        if reader is not None and _has_alpha(storage, name, reader):
            data = np.frombuffer(storage.read(name), np.uint8)
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            if pixels is None or pixels.ndim < 3 or pixels.shape[2] < 4:
                continue
            hidden = int(np.count_nonzero((pixels[..., 3] == 0) & pixels[..., :3].any(axis=2)))
            if hidden:
                what = "these pixels are transparent, but have a colour, and that counts"
                fix = "if they are meant to be empty, make them black"
                yield Finding("transparent-color", name, what, fix, scan.item_id, pixels=hidden)


def _has_alpha(storage: Storage, name: str, reader: MaskReader) -> bool:
    if reader.palette is None:
        return reader.header.has_alpha
    with storage.open(name) as file:
        return b"tRNS" in file.read(_HEAD)
