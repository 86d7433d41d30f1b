"""The format ``coco_segments``: COCO instances, as training code reads them."""

from __future__ import annotations

import argparse
from typing import Any

from datumaro.components.dataset_base import IDataset

from ...formats import SEGMENTATIONS, CocoWriter, check_choice, make_images_folder
from ...formats.coco import record_of
from ...options import PolygonOptions, add_to
from ...storage import FolderSink, Record
from .exporter import TrainingExporter, Writer
from .work import Done


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
        add_to(parser, PolygonOptions)
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

    def _apply_impl(self) -> None:
        super()._apply_impl()
        make_images_folder(self._save_dir)

    def _put(self, writer: Writer, done: Done) -> None:
        assert isinstance(writer, CocoWriter)
        # Datumaro's readers of COCO give the images in the reverse of the file, and keep their ids.
        writer.put(done.entry, done.coded, done.image, source_id=done.source_id)

    def _record(self) -> Record:
        return record_of(self._save_dir)

    def _make_writer(self, sink: FolderSink) -> CocoWriter:
        return CocoWriter(
            sink,
            self._classes,
            segmentation=self._segmentation,
            tolerance=self._tolerance,
            has_images=self._save_media,
        )
