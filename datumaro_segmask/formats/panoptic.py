"""COCO's panoptic format: a PNG of ids for each image, and what each id is in one JSON a subset.

The id of a pixel is ``red + 256 green + 65536 blue``, 0 where nothing is. Each pair of instance and
label is a segment, and so are the pixels of a label without an instance. A label is a thing if it
has instances anywhere, else it is stuff. Source: docs/training.md, section 7;
https://cocodataset.org/#format-data, "Panoptic Segmentation".
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..archive import Item
from ..arrays import IntArray, Size
from ..png import encode_rgb
from ..regions import Instance, Rle, Shape, paint
from ..storage import Aside, Entry, FolderSink, Record, layout
from .coco import ANNOTATIONS, IMAGES, SourceIds, StoredLines, encode, image_line, json_of
from .common import (
    WITHOUT_SIZE,
    Classes,
    Places,
    content_of,
    file_name_of,
    put_listed_image,
)

NAME = "panoptic_segments"
_MOST = (1 << 24) - 1  # the highest id of three bytes


class PanopticImage(NamedTuple):
    """An image and its segments, but for its id; ``things``: the labels that have instances."""

    file_name: str
    size: Size
    png: bytes
    segments: list[dict[str, Any]]
    things: set[int]


class PanopticCoder:
    """Makes images of painted items; ``classes``: see `PanopticWriter`."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    def code(self, item: Item, left_out: Counter[str]) -> PanopticImage | None:
        if item.size is None:
            left_out[WITHOUT_SIZE] += 1
            return None
        known = [one for one in item.instances if not one.is_unknown]  # the others are void, 0
        segments = self._classes.objects(known, left_out)
        numbers = _numbers(item.item_id, len(segments))
        size = [*item.size]
        shapes = [
            Shape(Rle(size, one.counts), number, 0)
            for one, number in zip(segments, numbers, strict=True)
        ]
        png = encode_rgb(paint(shapes, *item.size, 0).labels, id_colors)
        things = {one.label for one in segments if one.number and one.label is not None}
        info = [*segments_info(segments, numbers)]
        return PanopticImage(file_name_of(item), item.size, png, info, things)

    def end(self, coded: Sequence[PanopticImage]) -> list[PanopticImage]:
        return [*coded]


class PanopticWriter:
    """Writes painted items, whose instances do not overlap, as COCO's panoptic format.

    ``has_images``: whether images are to be written, too. What belongs to all items waits on the
    disk until `finish`.
    """

    def __init__(self, sink: FolderSink, classes: Classes, *, has_images: bool = False) -> None:
        self._sink = sink
        self._classes = classes
        self.coder = PanopticCoder(classes)
        self._has_images = has_images
        self._texts: defaultdict[str, StoredLines] = defaultdict(StoredLines)
        self._source_ids = SourceIds()
        self._places = Places()
        self._things: set[int] = set()
        self._images = 0
        self.left_out: Counter[str] = Counter()

    def add(self, entry: Entry, item: Item, image: bytes | None = None) -> None:
        """Write the PNG of an item, and its image if it is given.

        Raises SegmaskExportError for another item of an id that its subset has already.
        """
        self.put(entry, self.coder.code(item, self.left_out), image)

    def put(
        self,
        entry: Entry,
        coded: PanopticImage | None,
        image: bytes | Aside | None = None,
        *,
        source_id: object = None,
    ) -> None:
        """Write what `coder` made of an item; nothing for None.

        ``source_id``: the id that the image has where it comes from, as in `CocoWriter.put`.
        """
        if coded is None:
            return
        item_id, subset = entry
        content = coded.png, content_of(image)
        if not self._places.is_new(entry, subset, content, self.left_out):
            return
        place = f"{IMAGES}/{subset}/{coded.file_name}"
        put_listed_image(self._sink, place, image, self._has_images, self.left_out)
        self._sink.put(f"{ANNOTATIONS}/panoptic_{subset}/{item_id}.png", coded.png)
        self._images += 1
        self._things |= coded.things
        annotation = {
            "image_id": self._images,
            "file_name": f"{item_id}.png",
            "segments_info": coded.segments,
        }
        source = self._source_ids.take(source_id)
        text = self._texts[subset]
        text.put_image(image_line(self._images, coded.file_name, coded.size), source)
        text.put_annotations([encode(annotation)], source)

    def finish(self) -> None:
        """Write the JSON of each subset; without items that of the subset ``default``."""
        if not self._texts:
            self._texts[layout.DEFAULT_SUBSET]
        for subset, text in self._texts.items():
            place = f"{ANNOTATIONS}/panoptic_{subset}.json"
            images, annotations = text.as_it_came()
            if self._source_ids.are_unique:
                images, others = text.as_in_source()
                annotations = (
                    f'{{"image_id":{number},{line.split(",", 1)[1]}' for number, line in others
                )
            self._sink.put_lines(place, self._lines(images, annotations))

    def _lines(self, images: Iterator[str], annotations: Iterator[str]) -> Iterator[str]:
        names = zip(self._classes.names, self._classes.parents, strict=True)
        categories = [
            encode(
                {
                    "id": label + 1,
                    "name": name,
                    "supercategory": above,
                    "isthing": int(label in self._things),
                }
            )
            for label, (name, above) in enumerate(names)
        ]
        # mmdetection numbers them in this order, and its models have things before stuff.
        order = sorted(range(len(categories)), key=lambda label: label not in self._things)
        return json_of(NAME, (categories[label] for label in order), images, annotations)


def record_of() -> Record:
    """Return how exports into a folder know what earlier ones wrote."""
    return Record(NAME)


def id_colors(ids: IntArray) -> IntArray:
    """Return the packed colours (see `colors`) of ids: red has the lowest eight bits."""
    return (ids & 255) << 16 | ids & 255 << 8 | ids >> 16


def _numbers(item_id: str, count: int) -> range:
    """Return the ids of an image's segments: seldom those of another image.

    mmdetection looks at all images that have an id before it takes the one it wants.
    """
    first = 1 + zlib.crc32(item_id.encode("utf-8", "surrogatepass")) % (_MOST - count)
    return range(first, first + count)


def segments_info(segments: Sequence[Instance], numbers: range) -> Iterator[dict[str, Any]]:
    """Yield what COCO says of each segment of an image, which has these ids."""
    for number, one in zip(numbers, segments, strict=True):
        assert one.label is not None
        yield {
            "id": number,
            "category_id": one.label + 1,
            "area": int(one.area),
            "bbox": [*map(int, one.bbox)],
            "iscrowd": int(one.is_crowd),
        }
