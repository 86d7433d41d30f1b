"""Objects as COCO has them: the texts of ``instances_<subset>.json``, line by line.

Every object of training has ``iscrowd`` 0, for trainers pass over the others. Polygons, which every
reader takes, give the very same pixels when pycocotools paints them; RLEs are its compressed ones.
Source: docs/training.md.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, NamedTuple

import numpy as np
import orjson

from ..arrays import Size
from ..regions import Ring, texts_to_polygons
from .batches import Batches, Job
from .segments import Segment

ANNOTATIONS = "annotations"
"""The folder of the files."""

POLYGONS, RLE = SEGMENTATIONS = ("polygons", "rle")

_HEAD = '{"info":{"description":"datumaro-segmask, coco_segments"},'
"""How every file begins that is written here."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


def annotation_lines(
    segments: Sequence[Segment],
    size: Size,
    image_id: int,
    first_id: int,
    segmentation: str,
    rings: Sequence[Sequence[Ring]] | None = None,
) -> Iterator[str]:
    """Yield the JSON of each segment of an image, numbered from ``first_id`` on.

    ``segmentation`` is one of `SEGMENTATIONS`; crowds have an RLE in both, as in COCO itself.
    ``area`` is the number of pixels, ``bbox`` the smallest box around them. ``rings``: of each of
    `traced_texts`, if they are known already.
    """
    if rings is None:
        rings = texts_to_polygons(traced_texts(segments, segmentation), *size)
    texts = _segmentations(segments, size, segmentation, rings)
    for number, (segment, text) in enumerate(zip(segments, texts, strict=True), first_id):
        instance = segment.instance
        x, y, width, height = instance.bbox
        yield (
            f'{{"id":{number},"image_id":{image_id},"category_id":{segment.label + 1},'
            f'"segmentation":{text},"area":{instance.area},"bbox":[{x},{y},{width},{height}],'
            f'"iscrowd":{segment.is_crowd:d}}}'
        )


def traced_texts(segments: Sequence[Segment], segmentation: str) -> list[bytes]:
    """Return the RLE texts of the segments that become rings."""
    return [s.instance.counts for s in segments if _is_traced(s, segmentation)]


def _is_traced(segment: Segment, segmentation: str) -> bool:
    return segmentation == POLYGONS and not segment.is_crowd and segment.outlines is None


def _segmentations(
    segments: Sequence[Segment], size: Size, segmentation: str, rings: Sequence[Sequence[Ring]]
) -> Iterator[str]:
    rings_of = iter(rings)
    for segment in segments:
        if _is_traced(segment, segmentation):
            yield f"[{','.join(map(_ring, next(rings_of)))}]"
        elif segmentation == POLYGONS and not segment.is_crowd:
            yield _encode(segment.outlines)
        else:
            counts = segment.instance.counts.decode().replace("\\", "\\\\")
            yield f'{{"size":[{size.height},{size.width}],"counts":"{counts}"}}'


def _ring(ring: Ring) -> str:
    return orjson.dumps(ring.ravel(), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def image_line(image_id: int, file_name: str, size: Size) -> str:
    """Return the JSON of an image; ``file_name`` is its place below the folder of the images."""
    image = {"id": image_id, "file_name": file_name, "width": size.width, "height": size.height}
    return _encode(image)


class Objects(NamedTuple):
    """The segments of an image, ready to be written."""

    segments: Sequence[Segment]
    job: Job[list[Ring]]


class CocoText:
    """The text of one file, of lines that come image by image and lie on the disk until then.

    ``segmentation`` is one of `SEGMENTATIONS`.
    """

    def __init__(self, segmentation: str) -> None:
        self._segmentation = segmentation
        self._images, self._annotations = _temporary(), _temporary()
        self.annotations = 0
        self._marks = array("q")  # of each image: its id in the source, and where its line begins
        self._begins = array("q")  # of each image: where its annotations begin
        self._batches = Batches[list[Ring]](lambda texts, size: texts_to_polygons(texts, *size))

    def start(self, segments: Sequence[Segment], size: Size) -> Objects:
        """Begin with the segments of an image of this size, of which nothing is written yet.

        Raises MaskLimitError for masks that are not traced.
        """
        texts = traced_texts(segments, self._segmentation)
        return Objects(segments, self._batches.start(texts, size))

    def add(
        self,
        image_id: int,
        file_name: str,
        objects: Objects,
        first_id: int,
        source_id: int | None = None,
    ) -> None:
        """Append an image, and what is on it, numbered from ``first_id`` on.

        ``file_name`` is the place of the image below the folder of the images. ``source_id`` is its
        id where it comes from, which `lines` can give it again if all have one. 24 bytes of memory
        an image.
        """
        segments, job = objects
        if source_id is not None:
            self._marks.extend((source_id, self._images.tell()))
        self._images.write(f"{image_line(image_id, file_name, job.size)}\n".encode())
        self.annotations += len(segments)

        def write(rings: list[list[Ring]]) -> None:
            if source_id is not None:
                self._begins.append(self._annotations.tell())
            lines = annotation_lines(
                segments, job.size, image_id, first_id, self._segmentation, rings
            )
            self._annotations.writelines(f"{line}\n".encode() for line in lines)

        self._batches.finish(job, write)

    def lines(
        self, categories: Sequence[tuple[str, str]], first_id: int | None = None
    ) -> Iterator[str]:
        """Yield the lines of the file. ``categories``: name and supercategory, from id 1 on.

        With ``first_id`` the images have their ids in the source, in the order of these, and the
        annotations are numbered anew from there on.
        """
        self._batches.flush()
        images, annotations = _read(self._images), _read(self._annotations)
        if first_id is not None:
            images, annotations = self._as_in_source(first_id)
        entries = [
            _encode({"id": number, "name": name, "supercategory": above})
            for number, (name, above) in enumerate(categories, 1)
        ]
        yield f'{_HEAD}"licenses":[],'
        yield '"categories":['
        yield from _listed(iter(entries))
        yield '],"images":['
        yield from _listed(images)
        yield '],"annotations":['
        yield from _listed(annotations)
        yield "]}"

    def _as_in_source(self, first_id: int) -> tuple[Iterator[str], Iterator[str]]:
        marks = np.column_stack((np.reshape(self._marks, (-1, 2)), self._begins))
        ends = np.roll(marks, -1, axis=0)
        ends[-1:, 1:] = _end(self._images), _end(self._annotations)
        order = marks[:, 0].argsort(kind="stable")
        ids = marks[order, 0].tolist()

        def lines(file: IO[bytes], column: int) -> Iterator[tuple[int, str]]:
            places = zip(ids, marks[order, column], ends[order, column], strict=True)
            for image_id, begin, end in places:
                file.seek(begin)
                text = file.read(end - begin).decode()
                yield from ((image_id, line) for line in text.split("\n")[:-1])

        images = (
            f'{{"id":{image_id},{line.split(",", 1)[1]}'
            for image_id, line in lines(self._images, 1)
        )
        annotations = (
            f'{{"id":{number},"image_id":{image_id},{line.split(",", 2)[2]}'
            for number, (image_id, line) in enumerate(lines(self._annotations, 2), first_id)
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
        with open(path, "rb") as file:
            return file.read(len(_HEAD)) == _HEAD.encode()
    except OSError:
        return False


def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _end(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _read(file: IO[bytes]) -> Iterator[str]:
    file.seek(0)
    return (line.decode().removesuffix("\n") for line in file)


def _listed(entries: Iterator[str]) -> Iterator[str]:
    """Yield entries with a comma behind all but the last."""
    before = next(entries, None)
    for entry in chain(entries, [None]):
        if before is not None:
            yield before + ("" if entry is None else ",")
        before = entry
