"""What all our exports have in common: one pass over the items, and nothing half written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Protocol, TypeAlias

from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.dataset_storage import DatasetPatch
from datumaro.components.exporter import Exporter
from datumaro.components.progress_reporting import NullProgressReporter

from ...arrays import keep_freed_memory
from ...errors import EXPORT, SegmaskExportError, UnpaintableError, check_options
from ...options import OF_DATUMARO
from ...storage import Aside, Entry, FolderSink, Sink, ZipSink
from ..host import (
    FormatCli,
    datumaro_errors,
    meta_files,
    report_exported,
    track,
)

_OF_DATUMARO = {*signature(Exporter.__init__).parameters} - {*OF_DATUMARO}
"""What Datumaro gives to every exporter, beside the options."""


@dataclass(frozen=True)
class Done:
    """What came of an item: what was ``made`` of it for a format, or an ``error``."""

    entry: Entry
    made: Any = None
    image: bytes | Aside | None = None
    is_turned: bool = False
    source_id: object = None
    left_out: Counter[str] = field(default_factory=Counter)
    unpainted: Sequence[UnpaintableError] = ()
    """Annotations that are left out."""
    error: SegmaskExportError | None = None


class Work(Protocol):
    """Does for an item what a format needs of it: of nothing but the item; can be pickled."""

    def __call__(self, item: DatasetItem) -> Done: ...

    def end(self, done: Sequence[Done]) -> list[Done]:
        """Return the same with nothing left to be done, as another process is to have it."""


Spread: TypeAlias = Callable[[Work, FolderSink | ZipSink], Generator[Done]]
"""Has the work done for all items, wherever, and yields what came of each in their order."""


class WholeExporter(FormatCli, Exporter):
    """An export whose files get into their places together, or not at all; a base class.

    Errors that concern the whole export are raised as SegmaskExportError; those of single items
    and annotations go to the error policy.
    """

    DEFAULT_IMAGE_EXT = ".jpg"

    def __init__(
        self, extractor: IDataset, save_dir: str, *, spread: Spread | None = None, **options: Any
    ) -> None:
        self._spread = spread
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

    def _done(
        self, work: Work, sink: FolderSink | ZipSink, desc: str
    ) -> Generator[tuple[Done, DatasetItem | None]]:
        """Yield what came of each item, in their order, beside the item if it was done here.

        Where ``spread`` has it done, that ends when this is closed.
        """
        if self._spread is None:
            yield from ((work(item), item) for item in self._items(desc))
        else:
            with closing(self._spread(work, sink)) as all_done:
                yield from ((done, None) for done in all_done)

    def _report(self, done: Done) -> None:
        """Tell the error policy what could not be done."""
        policy = self._ctx.error_policy
        for unpainted in done.unpainted:
            report_exported(policy.report_annotation_error, unpainted, done.entry)
        if done.error is not None:
            report_exported(policy.report_item_error, done.error, done.entry)

    def _put_meta(self, sink: Sink) -> None:
        """Add what Datumaro keeps beside every dataset."""
        for name, data in meta_files(self).items():
            sink.put(name, data)
