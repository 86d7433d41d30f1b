"""The format ``panoptic_segments``: COCO's panoptic format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from datumaro.components.dataset_base import DatasetItem, IDataset

from ...archive import Item, LabelMap
from ...formats import Classes
from ...formats.panoptic import PanopticWriter, record_of
from ...options import CROWD, SKIP, SOURCE, PanopticExportOptions
from ...storage import FolderSink, Record
from ..export.common import Done
from ..items import OF_STUFF, Report, painted_item
from ..labels import ExportLabels, make_export_labels
from .exporter import TrainingExporter, Writer


class PanopticSegmentsExporter(TrainingExporter):
    """Exports every pixel's segment as COCO's panoptic format has it.

    One id for each pair of instance and label, and one for each label's pixels without an instance;
    what lies on top hides the rest. Labels with instances anywhere are things, the others stuff.
    Source: docs/training.md.
    """

    NAME = "panoptic_segments"

    OPTIONS = PanopticExportOptions

    def __init__(self, extractor: IDataset, save_dir: str, **options: Any) -> None:
        super().__init__(extractor, save_dir, **options)
        chosen: PanopticExportOptions = self._chosen
        labels = make_export_labels(extractor.categories(), SOURCE)
        if chosen.keep_background and labels.label_map.background in labels.positions:
            labels = ExportLabels(_Whole(labels.label_map.labels), labels.positions)
        self._labels = labels
        self._make = _Segments(labels, chosen.stuff)

    def _put(self, writer: Writer, done: Done) -> None:
        assert isinstance(writer, PanopticWriter)
        writer.put(done.entry, done.made, done.image, source_id=done.source_id)

    def _record(self) -> Record:
        return record_of()

    def _make_writer(self, sink: FolderSink) -> PanopticWriter:
        classes = Classes.of_label_map(self._labels.label_map)
        return PanopticWriter(sink, classes, has_images=self._save_media)


@dataclass(frozen=True)
class _Segments:
    """Makes what is written of an item; ``stuff``: see `PanopticExportOptions`."""

    labels: ExportLabels
    stuff: str

    def __call__(self, item: DatasetItem, *, left_out: Counter[str], report: Report) -> Item:
        made = painted_item(item, self.labels, left_out, report)
        instances = made.instances
        if self.stuff == CROWD:
            instances = [replace(one, is_crowd=not one.number) for one in instances]
        elif self.stuff == SKIP:
            instances = [one for one in instances if one.number or one.is_unknown]
            left_out[OF_STUFF] += len(made.instances) - len(instances)
        return replace(made, instances=instances)


class _Whole(LabelMap):
    """A label map whose background is a label like any other."""

    @property
    def background(self) -> None:
        return None
