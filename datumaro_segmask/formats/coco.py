"""COCO instances, as training code reads them: ``annotations/instances_<subset>.json``.

Every object of training has ``iscrowd`` 0, for trainers pass over the others. Polygons, which every
reader takes, give the very same pixels when pycocotools paints them; RLEs are its compressed ones.
Source: docs/training.md.
"""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from array import array
from collections import Counter, defaultdict
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
from ..storage import Aside, Entry, Hashes, Record, Sink, layout, open_plain
from ..training import simplified
from .common import (
    WITHOUT_SIZE,
    Classes,
    Places,
    content_of,
    file_name_of,
    put_listed_image,
)
from .lines import ObjectLines, Objects

NAME = "coco_segments"
ANNOTATIONS, IMAGES = "annotations", "images"
"""The folders of the files."""


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
        self.lines = ObjectLines(trace, partial(lines_of_objects, segmentation=segmentation))

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
    first annotation. What is written waits on the disk until `finish`.
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
        self._texts: defaultdict[str, CocoText] = defaultdict(CocoText)
        self._source_ids = SourceIds()  # of the images
        self._places = Places()
        self.left_out: Counter[str] = Counter()
        self.images = self.annotations = 0

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
        put_listed_image(self._sink, place, image, self._has_images, self.left_out)
        self.images += 1
        number = self.images if image_id is None else image_id
        source, text, first_id = (
            self._source_ids.take(source_id),
            self._texts[entry[1]],
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
            self._texts[empty]  # what makes it a dataset
        categories = list(zip(self._classes.names, self._classes.parents, strict=True))
        first_id = 1
        for subset, text in self._texts.items():
            lines = text.lines(categories, first_id if self._source_ids.are_unique else None)
            self._sink.put_lines(self._file_of(subset), lines)
            first_id += text.annotations


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


def numbered(lines: Iterable[str], image_id: int, first_id: int) -> Iterator[str]:
    """Yield the JSON of objects of an image, of which the lines have all but the two ids."""
    for number, line in enumerate(lines, first_id):
        yield f'{{"id":{number},"image_id":{image_id},{line}'


def lines_of_objects(
    objects: Sequence[Instance],
    size: Size,
    rings: Sequence[Sequence[Ring]],
    segmentation: str,
) -> Iterator[str]:
    """Yield what `numbered` takes. ``rings``: of each of `traced_texts`.

    ``segmentation``: see `CocoExportOptions`; crowds have an RLE in both, as in COCO itself.
    ``area`` is the number of pixels, ``bbox`` the smallest box around them.
    """
    texts = _segmentations(objects, size, segmentation, rings)
    for instance, text in zip(objects, texts, strict=True):
        assert instance.label is not None
        x, y, width, height = instance.bbox
        yield (
            f'"category_id":{instance.label + 1},'
            f'"segmentation":{text},"area":{instance.area},"bbox":[{x},{y},{width},{height}],'
            f'"iscrowd":{instance.is_crowd:d}}}'
        )


def trace(texts: Sequence[bytes], size: Size) -> list[list[Ring]]:
    """Return the polygons of each mask."""
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


class StoredLines:
    """The lines of images and of what is on them, which lie on the disk until all have come.

    24 bytes of memory an image, where images have ids in the source.
    """

    def __init__(self) -> None:
        self._images = tempfile.TemporaryFile()  # noqa: SIM115  # as long as this lives
        self._annotations = tempfile.TemporaryFile()  # noqa: SIM115
        for file in (self._images, self._annotations):
            weakref.finalize(self, file.close)
        self._ids = array("q")  # of each image: its id in the source,
        self._begins = array("q"), array("q")  # where its line begins, and its annotations

    def put_image(self, line: str, source_id: int | None) -> None:
        """Append an image. ``source_id``: its id where it comes from, of all images or of none."""
        if source_id is not None:
            self._ids.append(source_id)
            self._begins[0].append(self._images.tell())
        self._images.write(f"{line}\n".encode())

    def put_annotations(self, lines: Iterable[str], source_id: int | None) -> None:
        """Append what is on the image that comes next."""
        if source_id is not None:
            self._begins[1].append(self._annotations.tell())
        self._annotations.write("".join(f"{line}\n" for line in lines).encode())

    def as_it_came(self) -> tuple[Iterator[str], Iterator[str]]:
        """Return the lines of the images and those of the annotations."""
        return _lines_of(self._images), _lines_of(self._annotations)

    def as_in_source(self) -> tuple[Iterator[str], Iterator[tuple[int, str]]]:
        """Return the images with their ids in the source, in the order of these; the annotations.

        Of these, each with the id of its image in the source.
        """
        images = self._by_id(self._images, self._begins[0])
        annotations = self._by_id(self._annotations, self._begins[1])
        lines = (f'{{"id":{number},{line.split(",", 1)[1]}' for number, line in images)
        return lines, annotations

    def _by_id(self, file: IO[bytes], begins: Sequence[int]) -> Iterator[tuple[int, str]]:
        places = np.array(begins, np.int64)
        ends = np.append(places[1:], file.seek(0, os.SEEK_END))
        for i in np.argsort(self._ids, kind="stable").tolist():
            file.seek(places[i])
            text = file.read(ends[i] - places[i]).decode()
            yield from ((self._ids[i], line) for line in text.split("\n")[:-1])


class CocoText(StoredLines):
    """The text of one file, of images and objects that come image by image."""

    def __init__(self) -> None:
        super().__init__()
        self.annotations = 0

    def add_image(
        self, image_id: int, file_name: str, size: Size, source_id: int | None = None
    ) -> None:
        """Append an image; ``file_name`` is its place below the folder of the images."""
        self.put_image(image_line(image_id, file_name, size), source_id)

    def add_objects(
        self, image_id: int, first_id: int, lines: Sequence[str], source_id: int | None = None
    ) -> None:
        """Append what is on the image that comes next, numbered from ``first_id`` on."""
        self.annotations += len(lines)
        self.put_annotations(numbered(lines, image_id, first_id), source_id)

    def lines(
        self, categories: Sequence[tuple[str, str]], first_id: int | None = None
    ) -> Iterator[str]:
        """Yield the lines of the file. ``categories``: name and supercategory, from id 1 on.

        With ``first_id`` the images have their ids in the source, in the order of these, and the
        annotations are numbered anew from there on.
        """
        images, annotations = self.as_it_came()
        if first_id is not None:
            images, lines = self.as_in_source()
            annotations = (
                f'{{"id":{number},"image_id":{image_id},{line.split(",", 2)[2]}'
                for number, (image_id, line) in enumerate(lines, first_id)
            )
        entries = (
            encode({"id": number, "name": name, "supercategory": above})
            for number, (name, above) in enumerate(categories, 1)
        )
        return json_of(NAME, entries, images, annotations)


def json_of(
    name: str, categories: Iterator[str], images: Iterator[str], annotations: Iterator[str]
) -> Iterator[str]:
    """Yield the lines of a file of the format ``name``, of the JSON of all that is in it."""
    yield f'{_head(name)}"licenses":[],'
    yield '"categories":['
    yield from _listed(categories)
    yield '],"images":['
    yield from _listed(images)
    yield '],"annotations":['
    yield from _listed(annotations)
    yield "]}"


def _head(name: str) -> str:
    """Return how every file of a format begins that is written here."""
    return f'{{"info":{{"description":"datumaro-segmask, {name}"}},'


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
            head = _head(NAME).encode()
            return file.read(len(head)) == head
    except OSError:
        return False


def _lines_of(file: IO[bytes]) -> Iterator[str]:
    file.seek(0)
    return (line.decode().removesuffix("\n") for line in file)


def _listed(entries: Iterator[str]) -> Iterator[str]:
    """Yield entries with a comma after all but the last."""
    before = next(entries, None)
    for entry in chain(entries, [None]):
        if before is not None:
            yield before + ("" if entry is None else ",")
        before = entry
