"""What the formats for training have in common: one pass over the items, into one folder.

What is done for an item, before a writer has it, is done of nothing but the item: so processes may
share it, and hand what comes of it to the one that writes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.media import Image

from ...archive import Item
from ...errors import MaskLimitError, SegmaskExportError, UnpaintableError, counted
from ...formats import check_names, log_left_out
from ...formats.common import flat_name
from ...formats.lines import Coder
from ...options import TrainingOptions
from ...storage import Aside, Entry, FolderSink, Record, layout, whole
from ..export.common import Done, WholeExporter
from ..items import ObjectMaker, Report, classes_of
from ..media import file_suffix, place_of, upright_image


class Make(Protocol):
    """Makes what is written of an item, as `items` does."""

    def __call__(self, item: DatasetItem, *, left_out: Counter[str], report: Report) -> Item: ...


@dataclass(frozen=True)
class CodedWork:
    """Does for an item what a format needs of it; can be pickled.

    ``image_ext`` and ``default_ext`` are those of Datumaro's exporters. ``picture`` makes the file
    of a picture, as `upright_image`. With ``flat_names`` no id has a folder.
    """

    make: Make
    coder: Coder
    save_media: bool
    image_ext: str | None
    default_ext: str
    picture: Callable[[DatasetItem, str], tuple[bytes, bool]] = upright_image
    flat_names: bool = False

    def __call__(self, item: DatasetItem) -> Done:
        entry, left_out = (item.id, item.subset), Counter[str]()
        unpainted: list[UnpaintableError] = []
        data, is_turned = None, False
        error: SegmaskExportError
        try:
            problem = layout.problem_of_new_name(item.id)
            check_names(entry, problem, "it is a part of a file name")
            made = self.make(item, left_out=left_out, report=unpainted.append)
            own = file_suffix(item.media) if isinstance(item.media, Image) else ""
            suffix = self.image_ext or own or self.default_ext
            name = flat_name(item.id) if self.flat_names else item.id
            made = replace(made, item_id=name, image=f"{layout.IMAGES}/{name}{suffix}")
            if self.save_media and isinstance(item.media, Image) and item.media.has_data:
                data, is_turned = self.picture(item, suffix)
            coded = self.coder.code(made, left_out)
        except SegmaskExportError as unwritable:
            error = unwritable
        except MaskLimitError as limit:
            parts = limit.what, place_of(item), limit.expected, limit.remedy
            error = SegmaskExportError(*parts)
        else:
            source_id = item.attributes.get("id")
            return Done((name, item.subset), coded, data, is_turned, source_id, left_out, unpainted)
        return Done(entry, left_out=left_out, unpainted=unpainted, error=error)

    def end(self, done: Sequence[Done]) -> list[Done]:
        """Return the same with nothing left to be done, as another process is to have it."""
        there = [one for one in done if one.made is not None]
        coded = iter(self.coder.end([one.made for one in there]))
        return [one if one.made is None else replace(one, made=next(coded)) for one in done]


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
