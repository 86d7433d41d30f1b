"""The format ``coco_segments``: COCO instances, as training code reads them."""

from __future__ import annotations

from ...formats import CocoWriter, make_images_folder
from ...formats.coco import record_of
from ...options import CocoExportOptions
from ...storage import FolderSink, Record
from ..export.common import Done
from .exporter import TrainingExporter, Writer


class CocoSegmentsExporter(TrainingExporter):
    """Exports COCO instances for training: all of them count (iscrowd 0).

    One annotation per pair of instance and label; categories count from 1, without the background;
    area and box are those of the pixels. ``segmentation``: ``polygons``, from which pycocotools
    paints the same pixels, or ``rle``, compressed. ``tolerance``: pixels by which polygons may be
    simplified. Source: docs/training.md, section 2.
    """

    NAME = "coco_segments"

    OPTIONS = CocoExportOptions

    def _apply_impl(self) -> None:
        super()._apply_impl()
        make_images_folder(self._save_dir)

    def _put(self, writer: Writer, done: Done) -> None:
        assert isinstance(writer, CocoWriter)
        # Datumaro's readers of COCO give the images in the reverse of the file, and keep their ids.
        writer.put(done.entry, done.made, done.image, source_id=done.source_id)

    def _record(self) -> Record:
        return record_of(self._save_dir)

    def _make_writer(self, sink: FolderSink) -> CocoWriter:
        return CocoWriter(
            sink,
            self._classes,
            segmentation=self._chosen.segmentation,
            tolerance=self._chosen.tolerance,
            has_images=self._save_media,
        )
