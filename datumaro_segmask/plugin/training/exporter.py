"""What the formats for training have in common: one pass over the items, into one folder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, ClassVar, Protocol, TypeAlias

from datumaro.components.dataset_base import DatasetItem, IDataset

from ...errors import SegmaskExportError, counted
from ...formats import log_left_out
from ...formats.lines import Coder
from ...options import TrainingOptions
from ...storage import Aside, Entry, FolderSink, Record, whole
from ..export.common import WholeExporter
from ..items import ObjectMaker, classes_of
from ..media import upright_image
from .work import Done, Make, Work

log = logging.getLogger(__name__)

Spread: TypeAlias = Callable[[Work, FolderSink], Iterator[Done]]
"""Has the work done for all items, wherever, and yields what came of each in their order."""


class Writer(Protocol):
    """What writes a format, see `formats`."""

    left_out: Counter[str]

    @property
    def coder(self) -> Coder:
        """What is done for an item before `put`."""

    def __enter__(self) -> Writer: ...

    def __exit__(self, *details: object) -> None: ...

    def put(self, entry: Entry, coded: Any, image: bytes | Aside | None = None) -> None:
        """Write what `coder` made of an item."""

    def finish(self) -> None:
        """Write what belongs to all items."""


class TrainingExporter(WholeExporter):
    """Exports objects of any dataset for training; a base class.

    ``options`` are those of the class's ``OPTIONS``. Source: docs/training.md.
    """

    NAME: ClassVar[str]

    def __init__(
        self,
        extractor: IDataset,
        save_dir: str,
        *,
        spread: Spread | None = None,
        **options: Any,
    ) -> None:
        super().__init__(extractor, save_dir, **options)
        chosen: TrainingOptions = self._chosen
        self._left_out: Counter[str] = Counter()
        self._turned = 0
        self._spread = spread
        self._flat_names = chosen.flat_names
        self._picture = upright_image
        self._classes = classes_of(extractor.categories(), chosen.keep_background)
        self._make: Make = ObjectMaker(self._classes, chosen.stuff).item

    def _apply_impl(self) -> None:
        with whole(FolderSink(self._save_dir, record=self._record())) as sink:
            with self._make_writer(sink) as writer, closing(self._done(writer, sink)) as all_done:
                for done in all_done:
                    self._write(done, writer)
                writer.finish()
            self._put_meta(sink)
        log_left_out(self._left_out + writer.left_out)
        if self._turned:
            log.warning(
                "%s written upright, without the EXIF data that turned them, because many trainers "
                "ignore it.",
                counted(self._turned, "image"),
            )

    def _make_writer(self, sink: FolderSink) -> Writer:
        """Return what writes the format."""
        raise NotImplementedError

    def _record(self) -> Record:
        """Return how an export knows what earlier ones wrote into the folder."""
        raise NotImplementedError

    def _done(self, writer: Writer, sink: FolderSink) -> Generator[Done]:
        """Yield what came of each item, in their order: here, or where `spread` has it done."""
        assert self._default_image_ext is not None
        media = bool(self._save_media), self._image_ext, self._default_image_ext
        work = Work(self._make, writer.coder, *media, self._picture, self._flat_names)
        if self._spread is None:
            yield from map(work, self._items("Exporting objects"))
        else:
            yield from self._spread(work, sink)

    def _write(self, done: Done, writer: Writer) -> None:
        self._left_out.update(done.left_out)
        for unpainted in done.unpainted:
            self._report_annotation(_named(done), unpainted)
        if done.error is not None:
            self._report_item(done.error, _named(done))
            return
        self._turned += done.is_turned
        try:
            self._put(writer, done)
        except SegmaskExportError as error:
            self._report_item(error, _named(done))

    def _put(self, writer: Writer, done: Done) -> None:
        writer.put(done.entry, done.coded, done.image)


def _named(done: Done) -> DatasetItem:
    """Return the item that reports of errors name."""
    item_id, subset = done.entry
    return DatasetItem(item_id, subset=subset)
