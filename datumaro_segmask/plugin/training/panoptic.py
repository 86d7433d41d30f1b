"""The format ``panoptic_segments``: COCO's panoptic format."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from datumaro.components.dataset_base import DatasetItem, IDataset

from ...archive import Item, LabelMap
from ...formats import Classes
from ...formats.panoptic import PanopticWriter, record_of
from ...storage import FolderSink, Record
from ..items import CROWD, OBJECT, OF_STUFF, SKIP, painted_item
from ..labels import SOURCE, ExportLabels, make_export_labels
from .exporter import TrainingExporter, Writer


class PanopticSegmentsExporter(TrainingExporter):
    """Exports every pixel's segment as COCO's panoptic format has it.

    One id for each pair of instance and label, and one for each label's pixels without an instance;
    what lies on top hides the rest. Labels with instances anywhere are things, the others stuff.
    Source: docs/training.md.
    """

    NAME = "panoptic_segments"

    def __init__(
        self,
        extractor: IDataset,
        save_dir: str,
        *,
        stuff: str = OBJECT,
        keep_background: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {"stuff": stuff, "keep_background": keep_background, **kwargs}
        super().__init__(extractor, save_dir, **options)
        self._stuff = stuff
        self._labels = make_export_labels(extractor.categories(), SOURCE)
        ground = self._labels.label_map.background
        if keep_background and ground in self._labels.positions:
            whole = _Whole(self._labels.label_map.labels)
            self._labels = ExportLabels(whole, self._labels.positions)

    def _made(self, item: DatasetItem) -> Item:
        report = partial(self._report_annotation, item)
        made = painted_item(item, self._labels, self._left_out, report)
        instances = made.instances
        if self._stuff == CROWD:
            instances = [replace(one, is_crowd=not one.number) for one in instances]
        elif self._stuff == SKIP:
            instances = [one for one in instances if one.number]
            self._left_out[OF_STUFF] += len(made.instances) - len(instances)
        return replace(made, instances=instances)

    def _add(self, writer: Writer, item: DatasetItem, made: Item, image: bytes | None) -> None:
        assert isinstance(writer, PanopticWriter)
        source_id = item.attributes.get("id")
        writer.add((item.id, item.subset), made, image, source_id=source_id)

    def _record(self) -> Record:
        return record_of()

    def _make_writer(self, sink: FolderSink) -> PanopticWriter:
        classes = Classes.of_label_map(self._labels.label_map)
        return PanopticWriter(sink, classes, has_images=self._save_media)


class _Whole(LabelMap):
    """A label map whose background is a label like any other."""

    @property
    def background(self) -> None:
        return None
