"""The format ``yolo_segments``: Ultralytics' datasets and predictions, read and written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datumaro.components.dataset_base import IDataset
from datumaro.components.format_detection import FormatDetectionConfidence
from datumaro.components.media import Image

from ...arrays import Size
from ...errors import SegmaskImportError
from ...formats import YoloWriter
from ...formats.read_yolo import Picture, YoloDataset, has_segments, open_yolo, read_labels
from ...formats.yolo import record_of
from ...options import YoloExportOptions, YoloImportOptions
from ...storage import FolderSink, Record
from ...training import parse_splits
from ..host import ABOVE_MEDIUM
from ..media import image_in_file
from ..reading import REPEATED, WITHOUT_PIXELS, Found, SourceBase, SourceImporter, head_of
from .exporter import TrainingExporter


class YoloSegmentsBase(SourceBase):
    """The pictures of a YOLO dataset, and the masks and boxes of their label files.

    ``images``: the folder of the pictures of predicted labels. ``names``: a data file or a text
    with the names of the classes. The others as `SourceBase`. Source: docs/predictions.md.
    """

    @classmethod
    def open(cls, path: str, **paths: str) -> YoloDataset:
        return open_yolo(path, **paths)

    def entries(self, opened: YoloDataset) -> Mapping[str, Mapping[str, Picture]]:
        return opened.subsets

    def labels(self, opened: YoloDataset) -> Sequence[tuple[str, str]]:
        return [(name, "") for name in opened.names]

    def read(
        self,
        entry: Picture,
        subset: str,
        report: Callable[[SegmaskImportError], None],
        left_out: Counter[str],
    ) -> tuple[Image, Size, list[Found], dict[str, Any]]:
        size, turn = head_of(entry.path, entry.where)
        media = image_in_file(entry.path, size, turn)
        if entry.labels is None:
            return media, size, [], {}
        opened: YoloDataset = self._opened
        labels = read_labels(entry.labels, size, len(opened.names), opened.may_be_scored, report)
        left_out[REPEATED] += labels.repeated
        left_out[WITHOUT_PIXELS] += labels.empty
        found = [Found(o.label, o.instance, o.box, 0, o.score, {}) for o in labels.objects]
        return media, size, found, {}


class YoloSegmentsImporter(SourceImporter):
    """Imports YOLO segments: datasets of Ultralytics, folders of labels, predictions.

    It is found only if label files have segments, which no format of Datumaro reads.
    """

    NAME = "yolo_segments"
    BASE = YoloSegmentsBase
    OPTIONS = YoloImportOptions

    @classmethod
    def get_file_extensions(cls) -> list[str]:
        return ["", ".txt", ".yaml", ".yml"]

    @classmethod
    def confidence(cls, path: str) -> FormatDetectionConfidence | None:
        is_data_file = os.path.isfile(path) and path.lower().endswith((".yaml", ".yml"))
        folder = os.path.dirname(path) if is_data_file else path
        # Datumaro's "yolo" and "roboflow_yolo" take a set for theirs if one label file begins with
        # a box, with what counts as MEDIUM, and then pass over all segments.
        return ABOVE_MEDIUM if os.path.isdir(folder) and has_segments(folder) else None


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
