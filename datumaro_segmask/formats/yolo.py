"""Ultralytics' segments: ``images``, a text for each image in ``labels``, and ``data.yaml``.

A line is a class and the points of one ring, as parts of width and height. Ultralytics multiplies
them again, drops the fraction, and paints with ``cv2.fillPoly``: so the point of pixel ``x`` is
written as ``(x + 0.5) / width``. Source: docs/training.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ..archive import Item
from ..arrays import Size
from ..regions import Instance, Ring
from ..storage import Aside, Entry, FolderSink, Record, layout
from ..training import MAX_LENGTH, TRAIN, center_rings, split_subsets
from .common import Classes, Missing, Places, content_of, file_name_of
from .data_file import IMAGES, discard_caches, has_own_data_file, put_data_file
from .lines import ObjectLines, Objects

NAME = "yolo_segments"
LABELS = "labels"
OF_CROWDS = "regions of crowds, for which the format has no place"
_FEWEST = 3  # points; of fewer, Ultralytics takes a line for a box


class YoloImage(NamedTuple):
    """An image and its objects."""

    file_name: str
    objects: Objects[Ring]


class YoloCoder:
    """Makes images of items; ``classes``: see `YoloWriter`."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self.lines = ObjectLines(center_rings, label_lines)

    def code(self, item: Item, left_out: Counter[str]) -> YoloImage:
        objects = self._classes.objects(item.instances, left_out)
        kept = [instance for instance in objects if not instance.is_crowd]
        left_out[OF_CROWDS] += len(objects) - len(kept)
        # A pixel has four edges, each of two points at most, and two ways to a hole lead over it.
        alone = any(10 * instance.area > MAX_LENGTH for instance in kept)
        texts = [instance.counts for instance in kept]
        size = item.size or Size(0, 0)
        return YoloImage(file_name_of(item), self.lines.start(kept, texts, size, alone=alone))

    def end(self, coded: Sequence[YoloImage]) -> list[YoloImage]:
        objects = self.lines.end([image.objects for image in coded])
        return [image._replace(objects=its) for image, its in zip(coded, objects, strict=True)]


class YoloWriter:
    """Writes items as Ultralytics trains on them: one line for each instance, one ring a line.

    ``split_of``: the split of single subsets; the others go by their meaning (`splits`).
    ``has_images``: whether the images are to be written, too. ``root``: where the tree will lie, if
    it is not the folder of ``sink``.
    """

    def __init__(
        self,
        sink: FolderSink,
        classes: Classes,
        *,
        split_of: Mapping[str, str] | None = None,
        has_images: bool = False,
        root: str | None = None,
    ) -> None:
        self._sink = sink
        self._root = sink.root if root is None else root
        self._classes = classes
        self._split_of = dict(split_of or {})
        self._has_images = has_images
        self._subsets: dict[str, None] = {}  # in their order
        self._places = Places()
        self.coder = YoloCoder(classes)
        self._missing = Missing()
        self.left_out: Counter[str] = Counter()

    def add(self, entry: Entry, item: Item, image: bytes | None = None) -> None:
        """Write the labels of an item, and its image if it is given.

        Raises SegmaskExportError for another item of an id that its folder has already, and
        MaskLimitError for masks of too many runs; then nothing of the item is written.
        """
        self.put(entry, self.coder.code(item, self.left_out), image)

    def put(self, entry: Entry, coded: YoloImage, image: bytes | Aside | None = None) -> None:
        """Write what `coder` made of an item. Raises SegmaskExportError as `add`."""
        subset = entry[1]
        folder = self._folder_of(subset)
        content = coded.objects.content, content_of(image)
        is_new = self._places.is_new(entry, folder, content, self.left_out)
        self._subsets[subset] = None
        if not is_new:
            return
        place = f"{IMAGES}/{folder}/{coded.file_name}"
        self._missing.put(self._sink, place, image, self._has_images)
        put = partial(self._sink.put_lines, label_place(place))
        self.coder.lines.finish(coded.objects, put)

    def _folder_of(self, subset: str) -> str:
        """Return the folder of a subset: of its split if that was chosen, else of its own name."""
        return self._split_of.get(subset, TRAIN if subset == layout.DEFAULT_SUBSET else subset)

    def finish(self) -> None:
        """Write ``data.yaml``, and say what it does not name and what is missing."""
        self.coder.lines.flush()
        discard_caches(self._sink, LABELS)
        splits = split_subsets(self._subsets, self._split_of)
        put_data_file(self._sink, NAME, self._root, splits, self._folder_of, self._classes.names)
        self._missing.say(self._root, has_images=self._has_images)


def record_of(root: str) -> Record:
    """Return how exports into a folder know what earlier ones wrote; older ones left no record."""
    # One label file would serve two pictures.
    return Record(NAME, lambda _: has_own_data_file(root, NAME), IMAGES)


def label_lines(objects: Sequence[Instance], size: Size, rings: Sequence[Ring]) -> Iterator[str]:
    """Yield the line of each object of an image of this size; ``rings``: of `center_rings`."""
    texts = _fractions(size.width) + _fractions(size.height)
    for instance, ring in zip(objects, rings, strict=True):
        # Fewer points go round and round, which paints the same.
        points = np.resize(ring, (max(len(ring), _FEWEST), 2))
        points[:, 1] += size.width  # where the texts of y begin
        yield " ".join([str(instance.label), *map(texts.__getitem__, points.ravel().tolist())])


@lru_cache(maxsize=16)
def _fractions(length: int) -> list[str]:
    return [f"{(place + 0.5) / length:.6f}" for place in range(length)]


def label_place(image: str) -> str:
    """Return where Ultralytics looks for the labels of an image: by its place, by rule."""
    head, _, tail = f"/{image}".rpartition(f"/{IMAGES}/")
    return f"{head}/{LABELS}/{tail.rpartition('.')[0]}.txt".removeprefix("/")
