"""Ultralytics' segments: ``images``, a text for each image in ``labels``, and ``data.yaml``.

A line is a class and the points of one ring, as parts of width and height. Ultralytics multiplies
them again, drops the fraction, and paints with ``cv2.fillPoly``: so the point of pixel ``x`` is
written as ``(x + 0.5) / width``. Source: docs/training.md.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ..archive import Item
from ..arrays import Size
from ..errors import SegmaskExportError, as_typed, printable
from ..regions import Instance, Ring
from ..storage import Aside, Entry, FolderSink, Hashes, Record, layout, open_plain
from ..training import MAX_LENGTH, TEST, TRAIN, VAL, Splits, center_rings, split_subsets
from .common import Classes, file_name_of, place_of_entry, put_image, yaml_text
from .lines import ObjectLines, Objects

log = logging.getLogger(__name__)

NAME = "yolo_segments"
IMAGES, LABELS = "images", "labels"
DATA_FILE = "data.yaml"
OF_CROWDS = "regions of crowds, which the format has no place for"
_HEAD = "# Written by datumaro-segmask, yolo_segments"
_FEWEST = 3  # points; of fewer, Ultralytics takes a line for a box
_SHOWN = 5  # missing images that are named
_CACHE = ".cache"  # what Ultralytics calls a folder of labels by, to remember what is in it


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
        self._seen = Hashes()
        self.coder = YoloCoder(classes)
        self._missing = 0
        self._named: list[str] = []
        self.left_out: Counter[str] = Counter()

    def __enter__(self) -> YoloWriter:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing waits."""

    def add(self, entry: Entry, item: Item, image: bytes | None = None) -> None:
        """Write the labels of an item, and its image if it is given.

        Raises SegmaskExportError for an id that its folder has already, and MaskLimitError for
        masks of too many runs; then nothing of the item is written.
        """
        self.put(entry, self.coder.code(item, self.left_out), image)

    def put(self, entry: Entry, coded: YoloImage, image: bytes | Aside | None = None) -> None:
        """Write what `coder` made of an item. Raises SegmaskExportError as `add`."""
        item_id, subset = entry
        folder = self._folder_of(subset)
        key = hash((folder, item_id))
        if key in self._seen:
            raise SegmaskExportError(
                f"another subset has an item of this id, and both are in the split {folder!r}",
                place_of_entry(entry),
                "an id of its own for every image of a split",
                "rename the items, for instance with 'datum transform -t rename'",
            )
        self._seen.add(key)
        self._subsets[subset] = None
        place = f"{IMAGES}/{folder}/{coded.file_name}"
        if image is not None:
            put_image(self._sink, place, image)
        else:
            self._sink.keep(place)  # the one that an earlier export wrote
            self._missing += 1
            self._named += [place] if len(self._named) < _SHOWN else []
        put = partial(self._sink.put_lines, label_place(place))
        self.coder.lines.finish(coded.objects, put)

    def _folder_of(self, subset: str) -> str:
        """Return the folder of a subset: of its split if that was chosen, else of its own name."""
        return self._split_of.get(subset, TRAIN if subset == layout.DEFAULT_SUBSET else subset)

    def finish(self) -> None:
        """Write ``data.yaml``, and say what it does not name and what is missing."""
        self.coder.lines.flush()
        self._discard_caches()
        splits = split_subsets(self._subsets, self._split_of)
        folders = {
            split: [*dict.fromkeys(f"{IMAGES}/{self._folder_of(s)}" for s in subsets)]
            for split, subsets in splits.subsets.items()
        }
        self._say_what_is_odd(splits)
        # Ultralytics insists on both; a test set stands for neither.
        val = folders[VAL] or folders[TRAIN] or [f"{IMAGES}/{VAL}"]
        named = {TRAIN: folders[TRAIN] or [f"{IMAGES}/{TRAIN}"], VAL: val}
        named |= {TEST: folders[TEST]} if folders[TEST] else {}
        lines = data_file(os.path.abspath(self._root), named, self._classes.names)
        self._sink.put_lines(DATA_FILE, lines)
        self._say_what_is_missing()

    def _say_what_is_odd(self, splits: Splits) -> None:
        if not splits.subsets[TRAIN]:
            log.warning(
                as_typed(
                    "No subset is the split 'train': %s names a folder that is not there. Name a "
                    "subset with the option split, as in 'part1=train', or split the dataset "
                    "first: datum transform -t random_split"
                ),
                DATA_FILE,
            )
        elif not splits.subsets[VAL]:
            log.warning(
                as_typed(
                    "No subset is the split 'val', which Ultralytics insists on: %s names the "
                    "images of %s for it, so validation scores will look too good. Name a subset "
                    "with the option split, as in 'part2=val', or split the dataset first: datum "
                    "transform -t random_split"
                ),
                DATA_FILE,
                _listed(splits.subsets[TRAIN]),
            )
        if splits.unused:
            log.warning(
                "%s does not name %s, because other subsets have the same items.",
                DATA_FILE,
                _listed(splits.unused),
            )
        for split in splits.mixed:
            log.warning(
                "The split %r has subsets of different meaning: %s.",
                split,
                _listed(splits.subsets[split]),
            )

    def _discard_caches(self) -> None:
        """Discard what Ultralytics remembers of the labels, which it tells by their sizes."""
        for folder, _, names in os.walk(os.path.join(self._sink.root, LABELS)):
            for name in names:
                labels = os.path.join(folder, name.removesuffix(_CACHE))
                if name.endswith(_CACHE) and os.path.isdir(labels):
                    place = os.path.relpath(os.path.join(folder, name), self._sink.root)
                    self._sink.discard(place.replace(os.sep, "/"))

    def _say_what_is_missing(self) -> None:
        if self._missing:
            more = self._missing - len(self._named)
            log.warning(
                "%d images are not in %s yet: %s%s. %s", self._missing, self._root,
                printable(", ".join(self._named)), f" and {more} more" if more else "",
                "The dataset does not have them; put them there." if self._has_images
                else as_typed("Put them there, or export with save_media=True."),
            )  # fmt: skip


def _listed(subsets: Sequence[str]) -> str:
    return printable(", ".join(map(repr, subsets)))


def record_of(root: str) -> Record:
    """Return how exports into a folder know what earlier ones wrote; older ones left no record."""

    def was_ours(name: str) -> bool:
        try:
            with open_plain(os.path.join(root, DATA_FILE)) as file:
                return is_own_data_file(file.read(100))
        except OSError:
            return False

    return Record(NAME, was_ours, IMAGES)  # one label file would serve two pictures


def label_lines(
    objects: Sequence[Instance], size: Size, rings: Sequence[Ring] | None = None
) -> Iterator[str]:
    """Yield the line of each object of an image of this size.

    ``rings``: those of `center_rings`, if they are known already.
    """
    texts = _fractions(size.width) + _fractions(size.height)
    if rings is None:
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


def data_file(
    path: str, splits: Mapping[str, Sequence[str]], names: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of ``data.yaml``: ``path``, the folders of images of each split, ``names``.

    ``path``: where the whole tree lies; ``splits``: for each, such as ``train``, its folders.
    """
    yield _HEAD
    # A relative path would be one from wherever Ultralytics is started.
    yield "# Without 'path', the folder of this file counts: take the line out to move the tree."
    about: dict[str, object] = {"path": path}
    about |= {split: own[0] if len(own) == 1 else [*own] for split, own in splits.items()}
    about["names"] = dict(enumerate(names))
    yield yaml_text(about)


def is_own_data_file(head: bytes) -> bool:
    """Tell by its first bytes, of which 100 are enough, whether a file was written here."""
    return head.startswith(_HEAD.encode())
