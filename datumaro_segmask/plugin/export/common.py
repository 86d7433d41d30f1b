"""What all our exports have in common: one pass over the items, and nothing half written."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.dataset_storage import DatasetPatch
from datumaro.components.exporter import Exporter
from datumaro.components.progress_reporting import NullProgressReporter

from ...errors import EXPORT, SegmaskExportError, UnpaintableError, check_options
from ...options import OF_DATUMARO
from ...storage import Sink
from ..host import (
    FormatCli,
    datumaro_errors,
    keep_freed_memory,
    meta_files,
    report_exported,
    track,
)

_OF_DATUMARO = {*signature(Exporter.__init__).parameters} - {*OF_DATUMARO}
"""What Datumaro gives to every exporter, beside the options."""


class WholeExporter(FormatCli, Exporter):
    """An export whose files get into their places together, or not at all; a base class.

    Errors that concern the whole export are raised as SegmaskExportError; those of single items
    and annotations go to the error policy.
    """

    DEFAULT_IMAGE_EXT = ".jpg"

    def __init__(self, extractor: IDataset, save_dir: str, **options: Any) -> None:
        theirs = {name: options[name] for name in _OF_DATUMARO & options.keys()}
        ours = {name: value for name, value in options.items() if name not in theirs}
        self._chosen: Any = check_options(self.OPTIONS, ours, EXPORT)
        theirs |= {name: ours[name] for name in OF_DATUMARO if name in ours}
        super().__init__(extractor, save_dir, **theirs)
        keep_freed_memory()

    @property
    def can_stream(self) -> bool:
        return True

    @classmethod
    @datumaro_errors()
    def convert(cls, extractor: IDataset, save_dir: str, **options: Any) -> None:
        """Export a dataset."""
        super().convert(extractor, save_dir, **options)

    @classmethod
    def patch(cls, dataset: IDataset, patch: DatasetPatch, save_dir: str, **options: Any) -> None:
        """Export a dataset to where it was exported to before. Datumaro would empty the folder."""
        cls.convert(dataset, save_dir, **options)

    def _items(self, desc: str) -> Iterator[DatasetItem]:
        reporter = self._ctx.progress_reporter
        # Datumaro counts a lazy dataset by reading all of it, so nobody who does not ask waits.
        counts = not isinstance(reporter, NullProgressReporter) or (
            isinstance(self._extractor, Dataset) and self._extractor.is_cache_initialized
        )
        total = len(self._extractor) if counts else None
        return track(self._extractor, reporter, desc, total)

    def _report_item(self, error: SegmaskExportError, item: DatasetItem) -> None:
        report_exported(self._ctx.error_policy.report_item_error, error, item)

    def _report_annotation(self, item: DatasetItem, error: UnpaintableError) -> None:
        report_exported(self._ctx.error_policy.report_annotation_error, error, item)

    def _put_meta(self, sink: Sink) -> None:
        """Add what Datumaro keeps beside every dataset."""
        for name, data in meta_files(self).items():
            sink.put(name, data)
