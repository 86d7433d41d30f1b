"""The format ``coco_segments``: COCO instances, as training code reads them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from datumaro.components.dataset_base import DatasetItem, IDataset

from ...storage import Hashes, is_recorded
from ...training import (
    ANNOTATIONS,
    IMAGES,
    SEGMENTATIONS,
    CocoText,
    own_texts,
    simplified,
)
from ..transforms import add_tolerance_option
from .exporter import TrainingExporter, check_choice

WITHOUT_SIZE = "items without image and without masks, whose width and height nobody knows"
WITHOUT_IMAGE = "images that the dataset does not have"


class CocoSegmentsExporter(TrainingExporter):
    """Exports instances as COCO has them, for training: all of them count (iscrowd 0).

    One annotation for each pair of instance and label, categories from 1 on without the background,
    area and box of the pixels. ``segmentation`` is ``polygons``, which pycocotools paints to the
    very same pixels, or ``rle``, compressed. ``tolerance``: pixels by which such polygons may be
    simplified. Source: docs/training.md.
    """

    NAME = "coco_segments"

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser = super().build_cmdline_parser(**kwargs)
        parser.add_argument(
            "--segmentation",
            choices=SEGMENTATIONS,
            default=SEGMENTATIONS[0],
            help="'polygons' (every reader takes them, pycocotools paints the same pixels) or "
            "'rle' (compressed, a fifth of the size) (default: %(default)s)",
        )
        add_tolerance_option(parser)
        return parser

    def __init__(
        self,
        extractor: IDataset,
        save_dir: str,
        *,
        segmentation: str = SEGMENTATIONS[0],
        tolerance: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        check_choice("segmentation", segmentation, SEGMENTATIONS)
        self._segmentation = segmentation
        self._tolerance = tolerance
        self._texts: dict[str, CocoText] = {}
        self._images = self._annotations = 0
        self._source_ids: Hashes | None = Hashes()  # of the images; None if they are not unique

    def _apply_impl(self) -> None:
        try:
            super()._apply_impl()
            # Datumaro's importer insists on it.
            os.makedirs(os.path.join(self._save_dir, IMAGES), exist_ok=True)
        finally:
            for text in self._texts.values():
                text.close()

    def _export(self, item: DatasetItem) -> None:
        self._check_names(item)
        segments, size = self._segments(item)
        if size is None:
            self._left_out[WITHOUT_SIZE] += 1
            return
        if self._tolerance > 0:
            segments = simplified(segments, size, self._tolerance)
        # All that can fail comes first: of an item that is left out nothing is written.
        text = self._text(item.subset)
        objects = text.start(segments, size)
        file_name = self._make_image_filename(item).replace(os.sep, "/")
        if not self._put_image(item, f"{IMAGES}/{item.subset}/{file_name}"):
            self._left_out[WITHOUT_IMAGE] += 1
        self._images += 1
        first_id, source_id = self._annotations + 1, self._source_id(item)
        text.add(self._images, file_name, objects, first_id, source_id)
        self._annotations += len(segments)

    def _source_id(self, item: DatasetItem) -> int | None:
        """Return the id of an image in the source, while all have one of their own.

        Datumaro's readers of COCO give the images in the reverse of the file, and keep their ids.
        """
        source_id = item.attributes.get("id")
        ids = self._source_ids
        if (
            ids is None
            or type(source_id) is not int
            or source_id in ids
            or source_id.bit_length() > 63
        ):
            self._source_ids = None
            return None
        ids.add(source_id)
        return source_id

    def _text(self, subset: str) -> CocoText:
        if subset not in self._texts:
            self._texts[subset] = CocoText(self._segmentation)
        return self._texts[subset]

    def _finish(self) -> None:
        if not is_recorded(self._save_dir, self.NAME):  # but perhaps of an older version
            for name in own_texts(self._save_dir):
                self._sink.discard(name)
        categories = list(zip(self._classes.names, self._classes.parents, strict=True))
        if not self._texts:
            self._text("default")
        first_id = 1
        for subset, text in self._texts.items():
            name = f"{ANNOTATIONS}/instances_{subset}.json"
            lines = text.lines(categories, None if self._source_ids is None else first_id)
            self._sink.put_lines(name, lines)
            first_id += text.annotations

    def _was_ours(self, name: str) -> bool:
        own = set(own_texts(self._save_dir))
        return name in own or (name.startswith(f"{IMAGES}/") and bool(own))
