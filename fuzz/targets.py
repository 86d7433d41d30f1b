"""The targets, `TARGETS`: each reads any bytes, and compares what comes out with an oracle."""

from __future__ import annotations

import functools
import io
import os
import tempfile
import zipfile

import numpy as np
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetImportError
from datumaro.components.importer import ImportErrorPolicy

from datumaro_segmask import register
from datumaro_segmask.archive.labelmap import parse_label_map, voc_label_map
from datumaro_segmask.archive.lists import find_lists, open_archive, read_label_map
from datumaro_segmask.errors import (
    PngError,
    SegmaskExportError,
    SegmaskImportError,
)
from datumaro_segmask.formats import format_label_map
from datumaro_segmask.png import GRAY, RGB, RGBA, MaskReader
from datumaro_segmask.storage import layout
from datumaro_segmask.storage.open import open_storage

from . import pngs
from .memory import Memory, check_names
from .nearly import header, labels_file, two_lists
from .oracle import Finding, Target, check_message

register()  # for a source tree that is not installed

MAX_PIXELS = 1 << 22
"""Lower than the default, for Pillow and OpenCV, which allocate what a header says."""


# PNG


def png(data: bytes) -> None:
    """Any bytes: what is read is what OpenCV and Pillow read."""
    _compare(_read(data, 3), pngs.essence(data))


def pixels(data: bytes) -> None:
    """Sound chunks around any rows: all but unknown filters and indices is read."""
    made = pngs.make(data)
    try:
        seen = _read(made.data, made.rows)
    except PngError as error:
        if "palette index" not in str(error) and max(made.filters) <= pngs.LAST_FILTER:
            raise Finding(f"it was refused: {error}") from error
        raise
    _compare(seen, made.data)


def _read(data: bytes, rows: int) -> pngs.Pixels:
    """Return the pixels as `pngs.by_opencv` does, read ``rows`` at a time."""
    reader = MaskReader(data, "a.png", lambda packed: packed, MAX_PIXELS)
    values = np.concatenate(list(reader.blocks(rows)))
    if reader.header.color_type in (RGB, RGBA):
        return np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], -1).astype(np.uint8)
    if reader.palette is not None:
        colors: pngs.Pixels = reader.palette[values]
        return colors
    if reader.header.depth == 16:  # the reader takes 8 bits where they are enough
        return values.astype(np.uint16)
    if reader.header.color_type == GRAY and reader.header.depth < 8:
        return (values * (255 // ((1 << reader.header.depth) - 1))).astype(np.uint8)
    return values


def _compare(ours: pngs.Pixels, data: bytes) -> None:
    """Raise Finding unless OpenCV or Pillow reads ``data`` too, and whoever does agrees.

    OpenCV alone does not read pixels that are all there but whose stream goes on without an end,
    and Pillow alone some kinds that are rare.
    """
    theirs = {"OpenCV": pngs.by_opencv(data), "Pillow": pngs.by_pillow(data)}
    if all(pixels is None for pixels in theirs.values()):
        raise Finding("neither OpenCV nor Pillow reads it")
    for who, pixels in theirs.items():
        if pixels is not None:
            _compare_pixels(ours, pixels, who)


def _compare_pixels(ours: pngs.Pixels, theirs: pngs.Pixels, who: str) -> None:
    if theirs.ndim < ours.ndim or ours.shape[:2] != theirs.shape[:2]:
        raise Finding(f"{who} has the shape {theirs.shape}, not {ours.shape}")
    if ours.ndim < theirs.ndim:  # OpenCV makes colours of gray with alpha
        theirs = theirs[..., 0]
    if ours.itemsize < theirs.itemsize:  # of 16-bit colours the high byte counts
        theirs = theirs >> 8
    elif theirs.itemsize < ours.itemsize:  # Pillow keeps that of some grays, too
        ours = ours >> 8
    if not np.array_equal(ours, theirs):
        at = tuple(np.argwhere(ours != theirs)[0].tolist())
        raise Finding(f"{who} has {theirs[at]} at {at}, not {ours[at]}")


# Text


def label_map(data: bytes) -> None:
    """What is read has unique names, and is read again from what is written of it."""
    found = read_label_map(Memory({layout.LABEL_MAP: data}))
    names = {label.name for label in found.labels}
    if len(names) != len(found.labels):
        raise Finding("names are not unique")
    if found.background is not None and not 0 <= found.background < len(names):
        raise Finding(f"the background is {found.background}")
    try:
        text = format_label_map(found)
    except SegmaskExportError:
        return  # a name that no line can hold as it stands
    if parse_label_map(text, layout.LABEL_MAP).labels != found.labels:
        raise Finding(f"the label map is another one when written: {text!r}")


def subset_list(data: bytes) -> None:
    """Ids stay inside the archive, stand there once, and survive being listed again."""
    place = layout.subset_list("default")
    storage = Memory({place: data, layout.class_mask("a.jpg"): b"", layout.class_mask("#b"): b""})
    ids = list(dict.fromkeys(find_lists(storage, voc_label_map())["default"]()))
    check_names(ids)
    lines = []
    for item_id in ids:
        has_mask = storage.exists(layout.class_mask(item_id))
        if not layout.problem_of_listed(item_id, has_mask):
            lines.append((item_id, layout.list_line(item_id, has_mask)))
    again = Memory({**storage.files_by_name, place: "\n".join(line for _, line in lines).encode()})
    if list(find_lists(again, voc_label_map())["default"]()) != [item_id for item_id, _ in lines]:
        raise Finding(f"the list is another one when written: {lines}")


# Archives


def zip_reader(data: bytes) -> None:
    """Names stay inside the archive, and no more is read than may be."""
    path = _file(data)
    storage = open_storage(path)
    names = list(storage.files(layout.SUBSETS)) + list(storage.files(layout.CLASS_MASKS))
    check_names(names)
    open_archive(path)
    for name in names[:50]:
        if len(storage.read(name, 1 << 20)) > 1 << 20:
            raise Finding(f"{name!r} was read past the limit")


SEPARATOR = b"<next file>"
_PLACES = (
    layout.LABEL_MAP,
    layout.subset_list("default"),
    layout.class_mask("a"),
    layout.instance_mask("a"),
    layout.image("a", ".png"),
    layout.class_mask("b"),
)


def whole_import(data: bytes) -> None:
    """Up to six files, parted by `SEPARATOR`, in a zip: Datumaro imports it, or says why not."""
    parts = data.split(SEPARATOR)[: len(_PLACES)]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for place, part in zip(_PLACES, parts, strict=False):
            if part:
                archive.writestr(place, pngs.repaired(part))
    path, lenient = _file(file.getvalue()), _Lenient()
    _import(path, lenient)
    if lenient.errors:
        _import(path, None)
        raise Finding(f"nothing was raised, though there were {lenient.errors}")


class _Lenient(ImportErrorPolicy):
    def __init__(self) -> None:
        super().__init__()
        self.errors: list[SegmaskImportError] = []

    def _handle_item_error(self, error: Exception) -> None:
        if not isinstance(error.__cause__, SegmaskImportError):
            raise Finding(f"undocumented: {error.__cause__!r}") from error
        check_message(error.__cause__)
        self.errors.append(error.__cause__)


def _import(path: str, policy: ImportErrorPolicy | None) -> None:
    try:
        dataset = Dataset.import_from(path, "segmask", error_policy=policy, max_pixels=MAX_PIXELS)
        for item in dataset:
            areas = [mask.get_area() for mask in item.annotations]
            # Of an item without masks, Datumaro may have to decode a broken image for its size.
            size = item.media.size if areas else (0, 0)
            if sum(areas) > size[0] * size[1] or 0 in areas:
                raise Finding(f"masks of {areas} pixels in an image of {size}")
    except DatasetImportError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, SegmaskImportError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from error


def _file(data: bytes) -> str:
    """Return the path of a zip of these bytes, good until the next one."""
    path = os.path.join(_folder().name, "a.zip")
    with open(path, "wb") as file:
        file.write(data)
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segmask-fuzz-")


TARGETS: dict[str, Target] = {
    "png": png,
    "pixels": pixels,
    "label_map": label_map,
    "subset_list": subset_list,
    "zip_reader": zip_reader,
    "whole_import": whole_import,
    "labels_file": labels_file,
    "two_lists": two_lists,
    "header": header,
}
