"""COCO instances, as training code reads them: ``annotations/instances_<subset>.json``.

Every object of training has ``iscrowd`` 0, for trainers pass over the others. Polygons, which every
reader takes, give the very same pixels when pycocotools paints them; RLEs are its compressed ones.
Source: docs/training.md.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import IO, NamedTuple

import numpy as np
import orjson

from ..archive import Item
from ..arrays import Size
from ..errors import EXPORT, check_options
from ..options import POLYGONS, CocoExportOptions
from ..regions import Instance, Ring, texts_to_polygons
from ..storage import Aside, Entry, FolderSink, Hashes, Record, Sink, layout, open_plain
from ..training import simplified
from .common import (
    WITHOUT_IMAGE,
    WITHOUT_SIZE,
    Classes,
    Places,
    content_of,
    file_name_of,
    put_image,
)
from .lines import ObjectLines, Objects

NAME = "coco_segments"
ANNOTATIONS, IMAGES = "annotations", "images"
"""The folders of the files."""


_HEAD = '{"info":{"description":"datumaro-segmask, coco_segments"},'
"""How every file begins that is written here."""
encode = json.JSONEncoder(separators=(",", ":")).encode


def file_of(subset: str) -> str:
    """Return the place of the file of a subset."""
    return f"{ANNOTATIONS}/instances_{subset}.json"


class CocoImage(NamedTuple):
    """An image and its objects, but for their ids."""

    file_name: str
    size: Size
    objects: Objects[list[Ring]]


class CocoCoder:
    """Makes images of items; ``classes``, ``segmentation`` and ``tolerance``: see `CocoWriter`."""

    def __init__(self, classes: Classes, segmentation: str, tolerance: float = 0.0) -> None:
        self._classes = classes
        self._segmentation = segmentation
        self._tolerance = tolerance
        self.lines = ObjectLines(_trace, partial(_lines_of, segmentation))

    def code(self, item: Item, left_out: Counter[str]) -> CocoImage | None:
        if item.size is None:
            left_out[WITHOUT_SIZE] += 1
            return None
        objects = self._classes.objects(item.instances, left_out)
        if self._tolerance > 0:
            objects = simplified(objects, item.size, self._tolerance)
        texts = traced_texts(objects, self._segmentation)
        return CocoImage(file_name_of(item), item.size, self.lines.start(objects, texts, item.size))

    def end(self, coded: Sequence[CocoImage]) -> list[CocoImage]:
        objects = self.lines.end([image.objects for image in coded])
        return [image._replace(objects=its) for image, its in zip(coded, objects, strict=True)]


class CocoWriter:
    """Writes items as COCO: an annotation an instance, categories from 1 on without background.

    ``segmentation``, ``tolerance``: see `CocoExportOptions`; ``has_images``: whether images are to
    be written, too. ``file_of`` gives the place of a subset's file, ``first_id`` is the id of the
    first annotation. What is written waits on the disk until `finish`; leave the context then.
    Raises ExportOptionError for a segmentation that is none.
    """

    def __init__(
        self,
        sink: Sink,
        classes: Classes,
        *,
        segmentation: str = POLYGONS,
        tolerance: float = 0.0,
        has_images: bool = False,
        file_of: Callable[[str], str] = file_of,
        first_id: int = 1,
    ) -> None:
        check_options(CocoExportOptions, {"segmentation": segmentation}, EXPORT)
        self._sink = sink
        self._classes = classes
        self.coder = CocoCoder(classes, segmentation, tolerance)
        self._has_images = has_images
        self._file_of = file_of
        self._next_id = first_id
        self._texts: dict[str, CocoText] = {}
        self._source_ids = SourceIds()  # of the images
        self._places = Places()
        self.left_out: Counter[str] = Counter()
        self.images = self.annotations = 0

    def __enter__(self) -> CocoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for text in self._texts.values():
            text.close()

    def add(
        self,
        entry: Entry,
        item: Item,
        image: bytes | None = None,
        *,
        image_id: int | None = None,
    ) -> None:
        """Append an item; its image has ``image_id`` in COCO, or the next one.

        Raises MaskLimitError for masks of too many runs, and SegmaskExportError for another item
        of an id that its subset has already; then nothing of the item is written.
        """
        self.put(entry, self.coder.code(item, self.left_out), image, image_id=image_id)

    def put(
        self,
        entry: Entry,
        coded: CocoImage | None,
        image: bytes | Aside | None = None,
        *,
        image_id: int | None = None,
        source_id: object = None,
    ) -> None:
        """Append what `coder` made of an item; nothing for None.

        ``source_id``: the id that the image has where it comes from. If all images have one of
        their own, they keep it, and come in its order.
        """
        if coded is None:
            return
        file_name, size, objects = coded
        content = size, objects.content, content_of(image)
        if not self._places.is_new(entry, entry[1], content, self.left_out):
            return
        place = f"{IMAGES}/{entry[1]}/{file_name}"
        if image is not None:
            put_image(self._sink, place, image)
        elif self._has_images:
            self.left_out[WITHOUT_IMAGE] += 1
        elif isinstance(self._sink, FolderSink):
            self._sink.keep(place)  # the one that an earlier export wrote
        self.images += 1
        number = self.images if image_id is None else image_id
        source, text, first_id = (
            self._source_ids.take(source_id),
            self._text(entry[1]),
            self._next_id,
        )
        text.add_image(number, file_name, size, source)
        self.annotations += objects.count
        self._next_id += objects.count
        self.coder.lines.finish(
            objects, lambda lines: text.add_objects(number, first_id, lines, source)
        )

    def finish(self, *, empty: str | None = layout.DEFAULT_SUBSET) -> None:
        """Write the files; without items one of the subset ``empty``."""
        self.coder.lines.flush()
        if not self._texts and empty is not None:
            self._text(empty)  # what makes it a dataset
        categories = list(zip(self._classes.names, self._classes.parents, strict=True))
        first_id = 1
        for subset, text in self._texts.items():
            lines = text.lines(categories, first_id if self._source_ids.are_unique else None)
            self._sink.put_lines(self._file_of(subset), lines)
            first_id += text.annotations

    def _text(self, subset: str) -> CocoText:
        if subset not in self._texts:
            self._texts[subset] = CocoText()
        return self._texts[subset]


class SourceIds:
    """The ids of images where they come from, as long as each has one of its own."""

    def __init__(self) -> None:
        self._seen = Hashes()
        self.are_unique = True

    def take(self, source_id: object) -> int | None:
        """Return the id of the next image if it has one of its own, as all before it."""
        is_own = (
            self.are_unique
            and type(source_id) is int
            and source_id.bit_length() < 64
            and source_id not in self._seen
        )
        if not is_own:
            self.are_unique, self._seen = False, Hashes()
            return None
        assert isinstance(source_id, int)
        self._seen.add(source_id)
        return source_id


def record_of(root: str) -> Record:
    """Return how exports into a folder know what earlier ones wrote; older ones left no record."""

    def was_ours(name: str) -> bool:
        own = set(own_texts(root))
        return name in own or (name.startswith(f"{IMAGES}/") and bool(own))

    return Record(NAME, was_ours)


def make_images_folder(out: str) -> None:
    """Make the folder of the images, on which Datumaro's importer insists, empty or not."""
    os.makedirs(os.path.join(out, IMAGES), exist_ok=True)


def annotation_lines(
    objects: Sequence[Instance], size: Size, image_id: int, first_id: int, segmentation: str
) -> Iterator[str]:
    """Yield the JSON of each object of an image, numbered from ``first_id`` on.

    ``segmentation``: see `CocoExportOptions`; crowds have an RLE in both, as in COCO itself.
    ``area`` is the number of pixels, ``bbox`` the smallest box around them.
    """
    return numbered(lines_of_objects(objects, size, segmentation), image_id, first_id)


def numbered(lines: Iterable[str], image_id: int, first_id: int) -> Iterator[str]:
    """Yield the JSON of objects of an image, of which the lines have all but the two ids."""
    for number, line in enumerate(lines, first_id):
        yield f'{{"id":{number},"image_id":{image_id},{line}'


def lines_of_objects(
    objects: Sequence[Instance],
    size: Size,
    segmentation: str,
    rings: Sequence[Sequence[Ring]] | None = None,
) -> Iterator[str]:
    """Yield what `numbered` takes. ``rings``: of each of `traced_texts`, if they are known."""
    if rings is None:
        rings = _trace(traced_texts(objects, segmentation), size)
    texts = _segmentations(objects, size, segmentation, rings)
    for instance, text in zip(objects, texts, strict=True):
        assert instance.label is not None
        x, y, width, height = instance.bbox
        yield (
            f'"category_id":{instance.label + 1},'
            f'"segmentation":{text},"area":{instance.area},"bbox":[{x},{y},{width},{height}],'
            f'"iscrowd":{instance.is_crowd:d}}}'
        )


def _lines_of(
    segmentation: str, objects: Sequence[Instance], size: Size, rings: Sequence[Sequence[Ring]]
) -> Iterator[str]:
    return lines_of_objects(objects, size, segmentation, rings)


def _trace(texts: Sequence[bytes], size: Size) -> list[list[Ring]]:
    return texts_to_polygons(texts, *size)


def traced_texts(objects: Sequence[Instance], segmentation: str) -> list[bytes]:
    """Return the RLE texts of the objects that become rings."""
    return [one.counts for one in objects if _is_traced(one, segmentation)]


def _is_traced(instance: Instance, segmentation: str) -> bool:
    return segmentation == POLYGONS and not instance.is_crowd and instance.outlines is None


def _segmentations(
    objects: Sequence[Instance], size: Size, segmentation: str, rings: Sequence[Sequence[Ring]]
) -> Iterator[str]:
    rings_of = iter(rings)
    for instance in objects:
        if _is_traced(instance, segmentation):
            yield f"[{','.join(map(_ring, next(rings_of)))}]"
        elif segmentation == POLYGONS and not instance.is_crowd:
            yield encode(instance.outlines)
        else:
            counts = instance.counts.decode().replace("\\", "\\\\")
            yield f'{{"size":[{size.height},{size.width}],"counts":"{counts}"}}'


def _ring(ring: Ring) -> str:
    return orjson.dumps(ring.ravel(), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def image_line(image_id: int, file_name: str, size: Size) -> str:
    """Return the JSON of an image; ``file_name`` is its place below the folder of the images."""
    image = {"id": image_id, "file_name": file_name, "width": size.width, "height": size.height}
    return encode(image)


class CocoText:
    """The text of one file, of lines that come image by image and lie on the disk until then."""

    def __init__(self) -> None:
        self._images, self._annotations = temporary(), temporary()
        self.annotations = 0
        self._marks = array("q")  # of each image: its id in the source, and where its line begins
        self._begins = array("q")  # of each image: where its annotations begin

    def add_image(
        self, image_id: int, file_name: str, size: Size, source_id: int | None = None
    ) -> None:
        """Append an image.

        ``file_name`` is the place of the image below the folder of the images. ``source_id`` is its
        id where it comes from, which `lines` can give it again if all have one. 24 bytes of memory
        an image.
        """
        if source_id is not None:
            self._marks.extend((source_id, self._images.tell()))
        self._images.write(f"{image_line(image_id, file_name, size)}\n".encode())

    def add_objects(
        self, image_id: int, first_id: int, lines: Sequence[str], source_id: int | None = None
    ) -> None:
        """Append what is on the image that comes next, numbered from ``first_id`` on."""
        if source_id is not None:
            self._begins.append(self._annotations.tell())
        self.annotations += len(lines)
        text = "".join(f"{line}\n" for line in numbered(lines, image_id, first_id))
        self._annotations.write(text.encode())

    def lines(
        self, categories: Sequence[tuple[str, str]], first_id: int | None = None
    ) -> Iterator[str]:
        """Yield the lines of the file. ``categories``: name and supercategory, from id 1 on.

        With ``first_id`` the images have their ids in the source, in the order of these, and the
        annotations are numbered anew from there on.
        """
        images, annotations = lines_of(self._images), lines_of(self._annotations)
        if first_id is not None:
            images, annotations = self._as_in_source(first_id)
        entries = [
            encode({"id": number, "name": name, "supercategory": above})
            for number, (name, above) in enumerate(categories, 1)
        ]
        yield f'{_HEAD}"licenses":[],'
        yield '"categories":['
        yield from listed(iter(entries))
        yield '],"images":['
        yield from listed(images)
        yield '],"annotations":['
        yield from listed(annotations)
        yield "]}"

    def _as_in_source(self, first_id: int) -> tuple[Iterator[str], Iterator[str]]:
        ids, begins = self._marks[::2], self._marks[1::2]
        images = (
            f'{{"id":{image_id},{line.split(",", 1)[1]}'
            for image_id, line in lines_by_id(self._images, ids, begins)
        )
        lines = lines_by_id(self._annotations, ids, self._begins)
        annotations = (
            f'{{"id":{number},"image_id":{image_id},{line.split(",", 2)[2]}'
            for number, (image_id, line) in enumerate(lines, first_id)
        )
        return images, annotations

    def close(self) -> None:
        """Forget all that was added."""
        self._images.close()
        self._annotations.close()


def own_texts(root: str) -> Iterator[str]:
    """Yield the places of the files below a COCO folder that were written here, for another one.

    Those of other programs, and what a user has put there, are not among them.
    """
    for folder, _, files in os.walk(os.path.join(root, ANNOTATIONS)):
        inner = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in files:
            if name.endswith(".json") and _is_own(os.path.join(folder, name)):
                yield f"{inner}/{name}"


def _is_own(path: str) -> bool:
    try:
        with open_plain(path) as file:
            return file.read(len(_HEAD)) == _HEAD.encode()
    except OSError:
        return False


def temporary() -> IO[bytes]:
    return tempfile.TemporaryFile()


def lines_of(file: IO[bytes]) -> Iterator[str]:
    file.seek(0)
    return (line.decode().removesuffix("\n") for line in file)


def lines_by_id(
    file: IO[bytes], ids: Sequence[int], begins: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """Yield each line with the id of its image, by these; ``begins``: where its lines begin."""
    places = np.array(begins, np.int64)
    ends = np.append(places[1:], file.seek(0, os.SEEK_END))
    for i in np.argsort(ids, kind="stable").tolist():
        file.seek(places[i])
        text = file.read(ends[i] - places[i]).decode()
        yield from ((ids[i], line) for line in text.split("\n")[:-1])


def listed(entries: Iterator[str]) -> Iterator[str]:
    """Yield entries with a comma behind all but the last."""
    before = next(entries, None)
    for entry in chain(entries, [None]):
        if before is not None:
            yield before + ("" if entry is None else ",")
        before = entry
