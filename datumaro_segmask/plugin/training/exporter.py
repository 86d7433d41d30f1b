"""What the formats for training have in common: one pass over the items, into one folder."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from datumaro.components.dataset_base import IDataset

from ...errors import SegmaskExportError, counted
from ...formats import log_left_out
from ...formats.lines import Coder
from ...options import TrainingOptions
from ...storage import Aside, Entry, FolderSink, Record, whole
from ..export.common import Done, WholeExporter
from ..items import ObjectMaker, classes_of
from ..media import upright_image
from .work import CodedWork, Make

log = logging.getLogger(__name__)


class Writer(Protocol):
    """What writes a format, see `formats`."""

    left_out: Counter[str]

    @property
    def coder(self) -> Coder:
        """What is done for an item before `put`."""

    def put(self, entry: Entry, coded: Any, image: bytes | Aside | None = None) -> None:
        """Write what `coder` made of an item."""

    def finish(self) -> None:
        """Write what belongs to all items."""


class TrainingExporter(WholeExporter):
    """Exports objects of any dataset for training; a base class.

    ``options`` are those of the class's ``OPTIONS``. Source: docs/training.md.
    """

    NAME: ClassVar[str]

    def __init__(self, extractor: IDataset, save_dir: str, **options: Any) -> None:
        super().__init__(extractor, save_dir, **options)
        chosen: TrainingOptions = self._chosen
        self._left_out: Counter[str] = Counter()
        self._turned = 0
        self._flat_names = chosen.flat_names
        self._picture = upright_image
        self._classes = classes_of(extractor.categories(), chosen.keep_background)
        self._make: Make = ObjectMaker(self._classes, chosen.stuff).item

    def _apply_impl(self) -> None:
        with whole(FolderSink(self._save_dir, record=self._record())) as sink:
            writer = self._make_writer(sink)
            work = self._work(writer)
            with closing(self._done(work, sink, "Exporting objects")) as all_done:
                for done, _ in all_done:
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

    def _work(self, writer: Writer) -> CodedWork:
        assert self._default_image_ext is not None
        media = bool(self._save_media), self._image_ext, self._default_image_ext
        return CodedWork(self._make, writer.coder, *media, self._picture, self._flat_names)

    def _write(self, done: Done, writer: Writer) -> None:
        self._left_out.update(done.left_out)
        self._report(done)
        if done.error is not None:
            return
        self._turned += done.is_turned
        try:
            self._put(writer, done)
        except SegmaskExportError as error:
            self._report(replace(done, unpainted=(), error=error))

    def _put(self, writer: Writer, done: Done) -> None:
        writer.put(done.entry, done.made, done.image)
