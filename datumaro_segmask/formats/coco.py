"""COCO instances, as training code reads them: ``annotations/instances_<subset>.json``.

Every object of training has ``iscrowd`` 0, for trainers pass over the others. Polygons, which every
reader takes, give the very same pixels when pycocotools paints them; RLEs are its compressed ones.
Source: docs/training.md.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import IO

import orjson

from ..archive import Item
from ..arrays import Size
from ..regions import Instance, Ring, texts_to_polygons
from ..storage import Entry, FolderSink, Sink, layout
from ..training import simplified
from .common import WITHOUT_IMAGE, WITHOUT_SIZE, Classes, check_choice

ANNOTATIONS, IMAGES = "annotations", "images"
"""The folders of the files."""

POLYGONS, RLE = SEGMENTATIONS = ("polygons", "rle")

_HEAD = '{"info":{"description":"datumaro-segmask, coco_segments"},'
"""How every file begins that is written here."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


def file_of(subset: str) -> str:
    """Return the place of the file of a subset."""
    return f"{ANNOTATIONS}/instances_{subset}.json"


class CocoWriter:
    """Writes items as COCO: an annotation an instance, categories from 1 on without background.

    ``segmentation`` is one of `SEGMENTATIONS`; ``tolerance``: pixels by which polygons may be
    simplified; ``has_images``: whether images are to be written, too. ``file_of`` gives the place
    of a subset's file, ``first_id`` is the id of the first annotation. What is written waits on the
    disk until `finish`; leave the context then. Raises SegmaskExportError for a segmentation that
    is none.
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
        check_choice("segmentation", segmentation, SEGMENTATIONS)
        self._sink = sink
        self._classes = classes
        self._segmentation = segmentation
        self._tolerance = tolerance
        self._has_images = has_images
        self._file_of = file_of
        self._next_id = first_id
        self._texts: dict[str, CocoText] = {}
        self.left_out: Counter[str] = Counter()
        self.images = self.annotations = 0

    def __enter__(self) -> CocoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for text in self._texts.values():
            text.close()

    def add(
        self, entry: Entry, item: Item, image: bytes | None = None, *, image_id: int | None = None
    ) -> None:
        """Append an item; its image has ``image_id`` in COCO, or the next one.

        Raises MaskLimitError for masks of too many runs, and then nothing of the item is written.
        """
        if item.size is None:
            self.left_out[WITHOUT_SIZE] += 1
            return
        item_id, subset = entry
        objects = self._classes.objects(item.instances, self.left_out)
        if self._tolerance > 0:
            objects = simplified(objects, item.size, self._tolerance)
        number = self.images + 1 if image_id is None else image_id
        # All that can fail comes first: of an item that is left out nothing is written.
        lines = [*annotation_lines(objects, item.size, number, self._next_id, self._segmentation)]
        file_name = (item.image or layout.image(item_id, ".jpg")).removeprefix(f"{layout.IMAGES}/")
        if image is None and self._has_images:
            self.left_out[WITHOUT_IMAGE] += 1
        elif image is not None:
            self._sink.put(f"{IMAGES}/{subset}/{file_name}", image)
        self.images += 1
        self.annotations += len(objects)
        self._next_id += len(objects)
        self._text(subset).add(image_line(number, file_name, item.size), lines)

    def finish(self, *, empty: str | None = layout.DEFAULT_SUBSET) -> None:
        """Write the files, in the place of those of an earlier export; without items, ``empty``."""
        for name in own_texts(self._sink.root) if isinstance(self._sink, FolderSink) else ():
            self._sink.discard(name)
        if not self._texts and empty is not None:
            self._text(empty)  # what makes it a dataset
        categories = list(zip(self._classes.names, self._classes.parents, strict=True))
        for subset, text in self._texts.items():
            self._sink.put_lines(self._file_of(subset), text.lines(categories))

    def _text(self, subset: str) -> CocoText:
        if subset not in self._texts:
            self._texts[subset] = CocoText()
        return self._texts[subset]


def make_images_folder(out: str) -> None:
    """Make the folder of the images, on which Datumaro's importer insists, empty or not."""
    os.makedirs(os.path.join(out, IMAGES), exist_ok=True)


def annotation_lines(
    objects: Sequence[Instance], size: Size, image_id: int, first_id: int, segmentation: str
) -> Iterator[str]:
    """Yield the JSON of each object of an image, numbered from ``first_id`` on.

    ``segmentation`` is one of `SEGMENTATIONS`; crowds have an RLE in both, as in COCO itself.
    ``area`` is the number of pixels, ``bbox`` the smallest box around them.
    """
    texts = _segmentations(objects, size, segmentation)
    for number, (instance, text) in enumerate(zip(objects, texts, strict=True), first_id):
        assert instance.label is not None
        x, y, width, height = instance.bbox
        yield (
            f'{{"id":{number},"image_id":{image_id},"category_id":{instance.label + 1},'
            f'"segmentation":{text},"area":{instance.area},"bbox":[{x},{y},{width},{height}],'
            f'"iscrowd":{instance.is_crowd:d}}}'
        )


def _segmentations(objects: Sequence[Instance], size: Size, segmentation: str) -> Iterator[str]:
    def is_traced(instance: Instance) -> bool:
        return segmentation == POLYGONS and not instance.is_crowd and instance.outlines is None

    traced = [instance.counts for instance in objects if is_traced(instance)]
    rings = iter(texts_to_polygons(traced, *size) if traced else ())
    for instance in objects:
        if is_traced(instance):
            yield f"[{','.join(map(_ring, next(rings)))}]"
        elif segmentation == POLYGONS and not instance.is_crowd:
            yield _encode(instance.outlines)
        else:
            counts = instance.counts.decode().replace("\\", "\\\\")
            yield f'{{"size":[{size.height},{size.width}],"counts":"{counts}"}}'


def _ring(ring: Ring) -> str:
    return orjson.dumps(ring.ravel(), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def image_line(image_id: int, file_name: str, size: Size) -> str:
    """Return the JSON of an image; ``file_name`` is its place below the folder of the images."""
    image = {"id": image_id, "file_name": file_name, "width": size.width, "height": size.height}
    return _encode(image)


class CocoText:
    """The text of one file, of lines that come image by image and lie on the disk until then."""

    def __init__(self) -> None:
        self._images, self._annotations = _temporary(), _temporary()

    def add(self, image: str, annotations: Iterable[str]) -> None:
        """Append an image, and what is on it, as JSON."""
        self._images.write(f"{image}\n")
        self._annotations.writelines(f"{line}\n" for line in annotations)

    def lines(self, categories: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield the lines of the file. ``categories``: name and supercategory, from id 1 on."""
        entries = [
            _encode({"id": number, "name": name, "supercategory": above})
            for number, (name, above) in enumerate(categories, 1)
        ]
        yield f'{_HEAD}"licenses":[],'
        yield '"categories":['
        yield from _listed(iter(entries))
        yield '],"images":['
        yield from _listed(_read(self._images))
        yield '],"annotations":['
        yield from _listed(_read(self._annotations))
        yield "]}"

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
        with open(path, "rb") as file:
            return file.read(len(_HEAD)) == _HEAD.encode()
    except OSError:
        return False


def _temporary() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")


def _read(file: IO[str]) -> Iterator[str]:
    file.seek(0)
    return (line.removesuffix("\n") for line in file)


def _listed(entries: Iterator[str]) -> Iterator[str]:
    """Yield entries with a comma behind all but the last."""
    before = next(entries, None)
    for entry in chain(entries, [None]):
        if before is not None:
            yield before + ("" if entry is None else ",")
        before = entry
