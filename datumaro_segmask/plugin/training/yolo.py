"""The format ``yolo_segments``: Ultralytics' tree of images and label files."""

from __future__ import annotations

import argparse
import logging
import os
from functools import partial
from typing import Any, ClassVar

from datumaro.components.dataset_base import DatasetItem, IDataset

from ...errors import SegmaskExportError, as_typed, printable
from ...storage import Hashes
from ...training import (
    DATA_FILE,
    IMAGES,
    LABELS,
    LabelLines,
    data_file,
    is_own_data_file,
    label_place,
)
from ..export.item_files import place_of
from .exporter import TrainingExporter
from .segments import OBJECT, OF_CROWDS, SKIP, STUFF

log = logging.getLogger(__name__)

TRAIN, VAL, TEST = "train", "val", "test"
_SHOWN = 5  # missing images that are named
_CACHE = ".cache"  # what Ultralytics calls a folder of labels by, to remember what is in it


class YoloSegmentsExporter(TrainingExporter):
    """Exports segments as Ultralytics trains on them: images, labels/…/*.txt, data.yaml.

    One line for each pair of instance and label: a ring through the centres of the outermost
    pixels, which ``cv2.fillPoly`` paints to the very same mask; parts are joined by the shortest
    bridges. ``split`` says which subset is which split: ``name=train,…``; ``default`` is ``train``
    unless it says otherwise. Source: docs/training.md.
    """

    NAME = "yolo_segments"
    STUFF: ClassVar[dict[str, str]] = {name: STUFF[name] for name in (OBJECT, SKIP)}
    ALONE = IMAGES  # one label file would serve both

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser = super().build_cmdline_parser(**kwargs)
        parser.add_argument(
            "--split",
            default="",
            help="Which subset becomes which split, as in 'train2017=train,val2017=val' "
            "(default: each is its own, and 'default' is 'train')",
        )
        return parser

    def __init__(
        self, extractor: IDataset, save_dir: str, *, split: str = "", **kwargs: Any
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        self._split_of = {"default": TRAIN, **_parse_split(split)}
        self._splits: dict[str, None] = {}  # in their order
        self._seen = Hashes()
        self._missing = 0
        self._named: list[str] = []
        self._lines = LabelLines()

    def _export(self, item: DatasetItem) -> None:
        self._check_names(item)
        split = self._split_of.get(item.subset, item.subset)
        self._check_new(item, split)
        segments, size = self._segments(item)
        image = f"{IMAGES}/{split}/{self._make_image_filename(item)}".replace(os.sep, "/")
        objects = [segment for segment in segments if not segment.is_crowd]
        labels = self._lines.start(objects, size) if size else None
        self._left_out[OF_CROWDS] += len(segments) - len(objects)
        if not self._put_image(item, image) or not self._save_media:
            self._missing += 1
            self._named += [image] if len(self._named) < _SHOWN else []
        self._splits[split] = None
        put = partial(self._sink.put_lines, label_place(image))
        if labels is None:
            put(iter(()))
        else:
            self._lines.finish(labels, put)

    def _check_new(self, item: DatasetItem, split: str) -> None:
        key = _key(split, item.id)
        if key in self._seen:
            raise SegmaskExportError(
                f"another subset has an item of this id, and both are in the split {split!r}",
                place_of(item),
                "an id of its own for every image of a split",
                "rename the items, for instance with 'datum transform -t rename'",
            )
        self._seen.add(key)

    def _finish(self) -> None:
        self._lines.flush()
        self._discard_caches()
        splits = {TRAIN: self._train(), VAL: self._val()}
        splits |= {TEST: TEST} if TEST in self._splits else {}
        self._sink.put_lines(
            DATA_FILE, data_file(os.path.abspath(self._save_dir), splits, self._classes.names)
        )
        self._say_what_is_missing()

    def _discard_caches(self) -> None:
        """Discard what Ultralytics remembers of the labels, which it tells by their sizes."""
        for name in self._files_in(LABELS):
            labels = os.path.join(self._save_dir, name.removesuffix(_CACHE))
            if name.endswith(_CACHE) and os.path.isdir(labels):
                self._sink.discard(name)

    def _was_ours(self, name: str) -> bool:
        return is_own_data_file(self._head_of(DATA_FILE))

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
                "%d images are not in %s yet: %s%s. %s", self._missing, self._save_dir,
                printable(", ".join(self._named)), f" and {more} more" if more else "",
                "The dataset does not have them; put them there." if self._save_media
                else as_typed("Put them there, or export with save_media=True."),
            )  # fmt: skip


def _key(split: str, item_id: str) -> int:
    return hash((split, item_id))


def _parse_split(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    for subset, equals, split in pairs:
        if not equals or not subset.strip() or split.strip() not in (TRAIN, VAL, TEST):
            raise SegmaskExportError(
                f"the option split has {subset + equals + split!r}",
                "the export",
                "pairs of a subset and 'train', 'val' or 'test', as in 'train2017=train'",
                "correct the option",
            )
    return {subset.strip(): split.strip() for subset, _, split in pairs}
