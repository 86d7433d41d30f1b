"""The format ``yolo_segments``: Ultralytics' tree of images and label files."""

from __future__ import annotations

from typing import Any

from datumaro.components.dataset_base import IDataset

from ...formats import YoloWriter
from ...formats.yolo import record_of
from ...options import YoloExportOptions
from ...storage import FolderSink, Record
from ...training import parse_splits
from .exporter import TrainingExporter


class YoloSegmentsExporter(TrainingExporter):
    """Exports segments for Ultralytics: images, labels/…/*.txt, data.yaml.

    One line per pair of instance and label: a ring through the centres of the outermost pixels,
    from which ``cv2.fillPoly`` paints the same mask. Parts are joined by the shortest bridges.
    ``split`` says which subset becomes which split, as in ``name=train,…``. Source:
    docs/training.md, section 3.
    """

    NAME = "yolo_segments"
    OPTIONS = YoloExportOptions

    def __init__(self, extractor: IDataset, save_dir: str, **options: Any) -> None:
        super().__init__(extractor, save_dir, **options)
        self._split_of = parse_splits(self._chosen.split)

    def _record(self) -> Record:
        return record_of(self._save_dir)

    def _make_writer(self, sink: FolderSink) -> YoloWriter:
        return YoloWriter(
            sink,
            self._classes,
            split_of=self._split_of,
            has_images=self._save_media,
            root=self._save_dir,
        )
