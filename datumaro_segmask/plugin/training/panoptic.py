"""The format ``panoptic_segments``: COCO's panoptic format."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from datumaro.components.dataset_base import IDataset

from ...formats import Classes
from ...formats.panoptic import PanopticWriter, record_of
from ...storage import FolderSink, Record
from ..items import OBJECT, STUFF, painted_item
from ..labels import SOURCE, make_export_labels
from .exporter import TrainingExporter


class PanopticSegmentsExporter(TrainingExporter):
    """Exports every pixel's segment as COCO's panoptic format has it.

    One id for each pair of instance and label, and one for each label's pixels without an instance;
    what lies on top hides the rest. Labels with instances anywhere are things, the others stuff.
    Source: docs/training.md.
    """

    NAME = "panoptic_segments"
    STUFF: ClassVar[dict[str, str]] = {OBJECT: STUFF[OBJECT]}

    def __init__(self, extractor: IDataset, save_dir: str, **kwargs: Any) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        self._labels = make_export_labels(extractor.categories(), SOURCE)
        self._make = partial(painted_item, labels=self._labels)

    def _record(self) -> Record:
        return record_of()

    def _make_writer(self, sink: FolderSink) -> PanopticWriter:
        classes = Classes.of_label_map(self._labels.label_map)
        return PanopticWriter(sink, classes, has_images=self._save_media)
