"""An item as it is drawn: its image and its masks, made small enough for a picture.

A page has the masks themselves, and its script paints them; a picture has them painted on one
plane.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import colors
from ...archive import Archive, Item, LabelMap, Reader, image_head, join_label_maps
from ...arrays import turn
from ...errors import SegmaskImportError, printable
from ...png import MaskReader, block_rows
from ...regions import covers
from ...training import decode

log = logging.getLogger(__name__)

_EMPTY_SIZE = 480, 640  # of an item of which nothing is known
_JPEG = b"\xff\xd8\xff"
_MANY = 1 << 26  # pixels: of a PNG with more, a few rows at a time are decoded
_MOST_AT_ONCE = 1 << 27  # pixels of a picture that can only be decoded as a whole
_QUALITY = 82
_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}


@dataclass(frozen=True)
class SheetArchive:
    """An archive that is drawn.

    ``name`` stands before its subsets, and is empty for an archive that is the only one. ``labels``
    has the position of each of its labels among those of the sheet.
    """

    reader: Reader
    name: str = ""
    labels: tuple[int, ...] = ()

    def read(self, item_id: str) -> Item:
        """Read an item, with the labels of the sheet. Raises SegmaskImportError."""
        item = self.reader.read(item_id)
        return item.relabelled(self.labels) if self.name else item

    def subset(self, name: str) -> str:
        """Return how the sheet calls one of its subsets."""
        return f"{self.name} · {name}" if self.name else name


@dataclass(frozen=True)
class Settings:
    """What all items are drawn with: what reads them, the labels, and the longer side in pixels."""

    sources: tuple[SheetArchive, ...]
    label_map: LabelMap
    side: int


def settings_of(
    archives: Mapping[str, Archive], side: int, ignore_index: int | None, max_pixels: int
) -> Settings:
    """Return what the items of archives, by their names, are drawn with on one sheet."""
    label_map = join_label_maps([archive.label_map for archive in archives.values()])
    positions = {label.name: i for i, label in enumerate(label_map.labels)}
    sources = []
    for name, archive in archives.items():
        reader = archive.reader(ignore_index=ignore_index, max_pixels=max_pixels)
        labels = tuple(positions[label.name] for label in archive.label_map.labels)
        sources.append(SheetArchive(reader, name if len(archives) > 1 else "", labels))
    return Settings(tuple(sources), label_map, side)


class Entry(NamedTuple):
    """An item that is drawn: the number of its source, its id and its subset."""

    source: int
    item_id: str
    subset: str


@dataclass(frozen=True)
class Shape:
    """One mask of a drawing. ``anchor``, a point well inside, is in pixels of the drawing."""

    label: int | None
    number: int
    anchor: tuple[int, int]


@dataclass(frozen=True)
class Drawing:
    """One item. ``size`` is its height and width, None if it has neither masks nor an image.

    ``photo`` is (height, width, 3) uint8, red, green, blue, as is ``plane``, (height, width)
    int32: the position in ``shapes``, raised by one, and 0 where there is none. ``fault`` says
    why the item cannot be read, and is empty otherwise.
    """

    item_id: str
    subset: str
    size: tuple[int, int] | None
    photo: NDArray[np.uint8] | None
    plane: NDArray[np.int32]
    shapes: list[Shape]
    fault: str = ""

    @property
    def instances(self) -> int:
        """The number of instances; one over two labels is two shapes."""
        return len({shape.number for shape in self.shapes if shape.number})


def prefetched(
    settings: Settings, entries: Iterable[Entry]
) -> Iterator[tuple[SheetArchive, str, str]]:
    """Yield the source of each item, its id, and its subset as the sheet has it.

    The files of the next few are on their way then.
    """
    for number, group in groupby(entries, key=attrgetter("source")):
        source = settings.sources[number]
        pairs = [(entry.item_id, entry.subset) for entry in group]
        for item_id, subset in source.reader.storage.prefetch(pairs):
            yield source, item_id, source.subset(subset)


def read(source: SheetArchive, item_id: str) -> tuple[Item, bytes | None]:
    """Return an item, and its image as it is stored. Raises SegmaskImportError."""
    item = source.read(item_id)
    return item, source.reader.image(item)


def draw_all(settings: Settings, number: int, entries: Sequence[Entry]) -> list[Drawing]:
    """Draw a chunk of items, whatever its number."""
    return [draw(settings, *item) for item in prefetched(settings, entries)]


def draw(settings: Settings, source: SheetArchive, item_id: str, subset: str) -> Drawing:
    """Draw an item so that its longer side has at most ``side`` pixels; never raises for it."""
    try:
        item, data = read(source, item_id)
    except SegmaskImportError as error:
        return Drawing(item_id, subset, None, None, np.zeros(_EMPTY_SIZE, np.int32), [], str(error))
    photo = None if data is None else decode_photo(data, item, settings.side)
    return draw_item(item, subset, photo, settings.side)


def draw_item(item: Item, subset: str, photo: NDArray[np.uint8] | None, side: int) -> Drawing:
    """Draw an item that is read; ``photo`` is already as small as it has to be."""
    plane = _plane(item, *_fit(item.size or _EMPTY_SIZE, side))
    shapes = [
        Shape(instance.label, instance.number, _anchor(plane, position))
        for position, instance in enumerate(item.instances, 1)
    ]
    return Drawing(item.item_id, subset, item.size, photo, plane, shapes)


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def encode_photo(data: bytes, item: Item, side: int) -> bytes | None:
    """Return its image as a JPEG whose longer side has at most ``side`` pixels; None if it is none.

    One that fits is left as it is: no pixel of it changes. One that notes how it was held is not,
    for masks that lie as it is stored do not lie as a browser would turn it.
    """
    is_jpeg = data.startswith(_JPEG) and item.turn is None
    if is_jpeg and item.size is not None and max(item.size) <= side:
        return data
    photo = _decode(data, item, side)
    if photo is None:
        return None
    done, jpeg = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return jpeg.tobytes()


def decode_photo(data: bytes, item: Item, side: int) -> NDArray[np.uint8] | None:
    """Decode the image of an item, as its masks lie: (height, width, 3) red, green, blue.

    Its longer side has at most ``side`` pixels then. None if it is not an image.
    """
    photo = _decode(data, item, side)
    return None if photo is None else np.ascontiguousarray(photo[..., ::-1])


def _decode(data: bytes, item: Item, side: int) -> NDArray[np.uint8] | None:
    """As `decode_photo`, but blue, green, red, as OpenCV has it."""
    head = image_head(partial(BytesIO, data))
    if head is None:  # nobody knows how large it gets when it is decoded
        return None
    size = item.size or _EMPTY_SIZE
    height, width = _fit(size, side)
    pixels = head.size.pixels
    if pixels > _MANY and not _has_one_scan(data):
        small = _decode_in_strips(data, side)
        if small is not None:
            return cv2.resize(turn(small, item.turn), (width, height)).astype(np.uint8, copy=False)
        if pixels > _MOST_AT_ONCE:
            log.warning(
                "%s: its image has %s pixels, and is not drawn. Expected at most %s, a JPEG that "
                "is not progressive, or a PNG that is not interlaced.",
                printable(item.item_id),
                f"{pixels:,}",
                f"{_MOST_AT_ONCE:,}",
            )
            return None
    # A JPEG is decoded at a half, a quarter or an eighth in a fraction of the time.
    reduced = next((n for n in _REDUCED if max(head.size) >= n * side), 1)
    image = decode(data, _REDUCED.get(reduced, cv2.IMREAD_COLOR))
    if image is None:
        return None
    image = turn(image, item.turn)
    # Down to a half, four neighbours are enough, and several times as fast.
    method = cv2.INTER_LINEAR if max(image.shape) <= 2 * side else cv2.INTER_AREA
    return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)


def _has_one_scan(data: bytes) -> bool:
    """Return whether an image is a JPEG that is decoded row by row: all its colours in one scan.

    Of others the decoder keeps each coefficient until the last scan. Source: ITU T.81, section B.2.
    """
    at, components = 2, 0
    while data.startswith(_JPEG) and data[at : at + 1] == b"\xff" and at + 10 <= len(data):
        marker = data[at + 1]
        if marker in (0xC0, 0xC1):  # sequential, and so decoded in the order of the rows
            components = data[at + 9]
        elif marker == 0xDA:
            return data[at + 4] == components
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _decode_in_strips(data: bytes, side: int) -> NDArray[np.uint8] | None:
    """Decode a large PNG a few rows at a time, as small as it may be; None if that cannot be."""
    try:
        reader = MaskReader(data, "", lambda colors: colors)
    except SegmaskImportError:
        return None
    header, palette = reader.header, reader.palette
    if header.interlaced:
        return None
    step = max(1, -(-max(header.size) // side))  # pixels that become one
    strips = []
    try:
        for block in reader.blocks(max(step, block_rows(reader) // step * step)):
            values = block if palette is None else colors.pack(palette)[block]
            if header.is_gray:
                gray = block >> 8 if header.depth == 16 else block * (255 // (2**header.depth - 1))
                values = gray.astype(np.uint32) * 0x010101
            packed = np.ascontiguousarray(values, "<u4").view(np.uint8).reshape(*block.shape, 4)
            small = -(-block.shape[1] // step), -(-block.shape[0] // step)
            strips.append(cv2.resize(packed[..., :3], small, interpolation=cv2.INTER_AREA))
    except SegmaskImportError:
        return None
    return np.concatenate(strips)


def _plane(item: Item, height: int, width: int) -> NDArray[np.int32]:
    """Return the position of the instance at each pixel of the drawing, raised by one."""
    if item.size is None or not item.instances:
        return np.zeros((height, width), np.int32)
    at_y = ((np.arange(height) + 0.5) * item.size[0] / height).astype(np.int64)
    at_x = ((np.arange(width) + 0.5) * item.size[1] / width).astype(np.int64)
    places = at_y[:, None] + at_x * item.size[0]  # positions in a mask go down the columns
    plane = np.zeros((height, width), np.int32)
    for position, instance in enumerate(item.instances, 1):
        x, y, columns, rows = instance.bbox
        top, bottom = at_y.searchsorted((y, y + rows))
        left, right = at_x.searchsorted((x, x + columns))
        window = covers(instance.counts, places[top:bottom, left:right])
        plane[top:bottom, left:right][window] = position
    for row, column, position in _between_pixels(plane, item):
        plane[row, column] = position
    return plane


def _between_pixels(plane: NDArray[np.int32], item: Item) -> Iterator[tuple[int, int, int]]:
    """Yield row and column for each instance that fell between the pixels, and its position."""
    assert item.size is not None
    height, width = plane.shape
    there = np.bincount(plane.ravel(), minlength=len(item.instances) + 1)
    for position in np.flatnonzero(there[1:] == 0).tolist():
        x, y, columns, rows = item.instances[position].bbox
        row = int((y + rows / 2) * height / item.size[0])
        column = int((x + columns / 2) * width / item.size[1])
        yield min(row, height - 1), min(column, width - 1), position + 1


def _anchor(plane: NDArray[np.int32], position: int) -> tuple[int, int]:
    rows, columns = (plane == position).nonzero()
    if not rows.size:
        return 0, 0
    y, x = int(rows.min()), int(columns.min())
    window = plane[y : int(rows.max()) + 1, x : int(columns.max()) + 1] == position
    distance = cv2.distanceTransform(np.pad(window.astype(np.uint8), 1), cv2.DIST_L2, 3)
    row, column = divmod(int(distance.argmax()), distance.shape[1])
    return x + column - 1, y + row - 1
