"""Ultralytics' segments: ``images``, a text for each image in ``labels``, and ``data.yaml``.

A line is a class and the points of one ring, as parts of width and height. Ultralytics multiplies
them again, drops the fraction, and paints with ``cv2.fillPoly``: so the point of pixel ``x`` is
written as ``(x + 0.5) / width``. Source: docs/training.md.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from ..archive import Item
from ..arrays import Size
from ..errors import SegmaskExportError, as_typed, printable
from ..regions import Instance
from ..storage import Entry, FolderSink, Hashes, layout
from ..training import center_rings
from .common import Classes, place_of_entry

log = logging.getLogger(__name__)

IMAGES, LABELS = "images", "labels"
DATA_FILE = "data.yaml"
TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
OF_CROWDS = "regions of crowds, which the format has no place for"
_HEAD = "# Written by datumaro-segmask, yolo_segments"
_FEWEST = 3  # points; of fewer, Ultralytics takes a line for a box
_SHOWN = 5  # missing images that are named


class YoloWriter:
    """Writes items as Ultralytics trains on them: one line for each instance, one ring a line.

    ``split_of``: which subset is which split, where it is not called so; ``default`` is ``train``
    unless it is among them. ``has_images``: whether the images are to be written, too. ``root``:
    where the tree will lie, if it is not the folder of ``sink``.
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
        self._split_of = {layout.DEFAULT_SUBSET: TRAIN, **(split_of or {})}
        self._has_images = has_images
        self._splits: dict[str, None] = {}  # in their order
        self._seen = Hashes()
        self._missing = 0
        self._named: list[str] = []
        self.left_out: Counter[str] = Counter()

    def __enter__(self) -> YoloWriter:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing waits."""

    def add(self, entry: Entry, item: Item, image: bytes | None = None) -> None:
        """Write the labels of an item, and its image if it is given.

        Raises SegmaskExportError for an id that its split has already, and MaskLimitError for masks
        of too many runs; then nothing of the item is written.
        """
        item_id, subset = entry
        split = self._split_of.get(subset, subset)
        key = hash((split, item_id))
        if key in self._seen:
            raise SegmaskExportError(
                f"another subset has an item of this id, and both are in the split {split!r}",
                place_of_entry(entry),
                "an id of its own for every image of a split",
                "rename the items, for instance with 'datum transform -t rename'",
            )
        objects = self._classes.objects(item.instances, self.left_out)
        kept = [instance for instance in objects if not instance.is_crowd]
        self.left_out[OF_CROWDS] += len(objects) - len(kept)
        lines = [*label_lines(kept, item.size)] if item.size else []
        self._seen.add(key)
        file_name = (item.image or layout.image(item_id, ".jpg")).removeprefix(f"{layout.IMAGES}/")
        place = f"{IMAGES}/{split}/{file_name}"
        if image is not None:
            self._sink.put(place, image)
        else:
            self._missing += 1
            self._named += [place] if len(self._named) < _SHOWN else []
        self._splits[split] = None
        self._sink.put_lines(label_place(place), lines)

    def finish(self) -> None:
        """Write ``data.yaml``, remove the labels of an earlier export, and say what is missing."""
        if self._is_over_own():
            self._discard_old()
        splits = {TRAIN: self._train(), VAL: self._val()}
        splits |= {TEST: TEST} if TEST in self._splits else {}
        lines = data_file(os.path.abspath(self._root), splits, self._classes.names)
        self._sink.put_lines(DATA_FILE, lines)
        self._say_what_is_missing()

    def _is_over_own(self) -> bool:
        try:
            with open(os.path.join(self._sink.root, DATA_FILE), "rb") as file:
                return is_own_data_file(file.read(100))
        except OSError:
            return False

    def _discard_old(self) -> None:
        stale = 0
        for name in self._files_in(LABELS):
            # Ultralytics remembers labels by the sizes of their files, in files of its own.
            if name.endswith((".txt", ".cache")):
                self._sink.discard(name)
            split, _, item_id = name.removeprefix(f"{LABELS}/").removesuffix(".txt").partition("/")
            stale += name.endswith(".txt") and hash((split, item_id)) not in self._seen
        if stale:
            log.warning(
                "%s: %d items of an earlier export are not in this one. Their label files go; "
                "their images stay, and Ultralytics takes images without a label file for images "
                "without objects. Remove them, or export to an empty folder.",
                self._root,
                stale,
            )

    def _files_in(self, folder: str) -> Iterator[str]:
        """Yield the places of the files below a folder of what lies there already."""
        for root, _, files in os.walk(os.path.join(self._sink.root, folder)):
            inner = os.path.relpath(root, self._sink.root).replace(os.sep, "/")
            yield from (f"{inner}/{name}" for name in files)

    def _train(self) -> str:
        others = [split for split in self._splits if split not in (VAL, TEST)]
        return next(iter([split for split in others if split == TRAIN] + others), TRAIN)

    def _val(self) -> str:
        if VAL in self._splits:
            return VAL
        log.warning(
            as_typed(
                "No subset is the split 'val', which Ultralytics insists on: %s names the images "
                "of %r for it, so figures will flatter. Name a subset with the option split, as "
                "in 'validation=val', or part the dataset first: datum transform -t random_split"
            ),
            DATA_FILE,
            self._train(),
        )
        return self._train()

    def _say_what_is_missing(self) -> None:
        if self._missing:
            more = self._missing - len(self._named)
            log.warning(
                "%d images are not in %s yet: %s%s. %s", self._missing, self._root,
                printable(", ".join(self._named)), f" and {more} more" if more else "",
                "The dataset does not have them; put them there." if self._has_images
                else as_typed("Put them there, or export with save_media=True."),
            )  # fmt: skip


def parse_split(text: str) -> dict[str, str]:
    """Return the split of each subset of a text such as ``name=train,other=val``.

    Raises SegmaskExportError for what is none.
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    for subset, equals, split in pairs:
        if not equals or not subset.strip() or split.strip() not in SPLITS:
            raise SegmaskExportError(
                f"the option split has {subset + equals + split!r}",
                "the export",
                "pairs of a subset and 'train', 'val' or 'test', as in 'train2017=train'",
                "correct the option",
            )
    return {subset.strip(): split.strip() for subset, _, split in pairs}


def label_lines(objects: Sequence[Instance], size: Size) -> Iterator[str]:
    """Yield the line of each object of an image of this size."""
    texts = _fractions(size.width) + _fractions(size.height)
    rings = center_rings([instance.counts for instance in objects], size)
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


def data_file(path: str, splits: Mapping[str, str], names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of ``data.yaml``: ``path``, a folder of images for each split, ``names``.

    ``path``: where the whole tree lies; ``splits``: for each, such as ``train``, its folder.
    """
    yield _HEAD
    # A relative path would be one from wherever Ultralytics is started.
    yield "# Without 'path', the folder of this file counts: take the line out to move the tree."
    yield f"path: {json.dumps(path)}"
    for split, folder in splits.items():
        yield f"{split}: {json.dumps(f'{IMAGES}/{folder}')}"
    yield "names:"
    for number, name in enumerate(names):
        # JSON's strings are YAML's, too.
        yield f"  {number}: {json.dumps(name)}"


def is_own_data_file(head: bytes) -> bool:
    """Tell by its first bytes, of which 100 are enough, whether a file was written here."""
    return head.startswith(_HEAD.encode())
