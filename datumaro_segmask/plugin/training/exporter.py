"""What the formats for training have in common: one pass over the items, into one folder."""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.media import Image

from ...arrays import Size
from ...errors import MaskLimitError, SegmaskExportError, as_typed
from ...storage import FolderSink, Record, layout
from ...training import Segment
from ..export.common import WholeExporter
from ..export.item_files import check_names, image_data, place_of, size_of
from .segments import OBJECT, STUFF, SegmentMaker, classes_of

log = logging.getLogger(__name__)


class TrainingExporter(WholeExporter):
    """Exports objects of any dataset for training; a base class.

    ``stuff`` is what becomes of pixels of a label without an instance, one of the class's `STUFF`.
    ``keep_background`` makes the background a class. Source: docs/training.md.
    """

    NAME: ClassVar[str]
    STUFF: ClassVar[dict[str, str]] = STUFF
    ALONE: ClassVar[str] = ""
    """The folder of pictures of which readers tell no two by their suffix, if there is one."""

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_cmdline_parser(**kwargs)
        parser.add_argument(
            "--stuff",
            choices=[*cls.STUFF],
            default=OBJECT,
            help="What becomes of pixels of a label that belong to no instance: "
            + ", ".join(f"'{name}' ({what})" for name, what in cls.STUFF.items())
            + " (default: %(default)s)",
        )
        parser.add_argument(
            "--keep-background",
            action="store_true",
            help="Make the background a class like any other (default: it is no object)",
        )
        return parser

    def __init__(
        self,
        extractor: IDataset,
        save_dir: str,
        *,
        stuff: str = OBJECT,
        keep_background: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        check_choice("stuff", stuff, self.STUFF)
        self._left_out: Counter[str] = Counter()
        self._classes = classes_of(extractor.categories(), keep_background)
        self._maker = SegmentMaker(self._classes, stuff, self._left_out)

    def _apply_impl(self) -> None:
        record = Record(self.NAME, self._was_ours, self.ALONE)
        self._sink = FolderSink(self._save_dir, record=record)
        try:
            for item in self._items("Exporting objects"):
                try:
                    self._export(item)
                except SegmaskExportError as error:
                    self._report_item(error, item)
                except MaskLimitError as error:
                    parts = error.what, place_of(item), error.expected, error.remedy
                    self._report_item(SegmaskExportError(*parts), item)
            self._finish()
            self._end(self._sink)
        except BaseException:
            self._sink.abandon()
            raise
        for what, count in sorted(self._left_out.items()):
            if count:
                log.warning("Left out of the export: %d %s.", count, as_typed(what))

    def _export(self, item: DatasetItem) -> None:
        """Write what belongs to one item."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Write what belongs to all items."""
        raise NotImplementedError

    def _was_ours(self, name: str) -> bool:
        """Tell whether an older version, which left no record, may have written a file there."""
        raise NotImplementedError

    def _segments(self, item: DatasetItem) -> tuple[list[Segment], Size | None]:
        """Return the objects of an item and its size, None where it has no object to tell it."""
        try:
            size = Size(*size_of(item))
        except SegmaskExportError:
            if item.annotations:
                raise
            return [], None
        report = partial(self._report_annotation, item)
        return self._maker.segments(item.annotations, size, place_of(item), report), size

    def _check_names(self, item: DatasetItem) -> None:
        """Raise SegmaskExportError for an item whose id or subset cannot be a file name."""
        check_names(item, layout.problem_of_new_name(item.id), "it is a part of a file name")

    def _put_image(self, item: DatasetItem, name: str) -> bool:
        """Write the image of an item, if that is wanted; return whether it could be.

        Where it is not written, the one that an earlier export wrote stays.
        """
        has_data = isinstance(item.media, Image) and item.media.has_data
        if not self._save_media or not has_data:
            self._sink.keep(name)
            return not self._save_media
        self._sink.put(name, image_data(item, layout.split_suffix(name)[1]))
        return True

    def _head_of(self, name: str) -> bytes:
        """Return how a file begins that lies there already; nothing if there is none."""
        try:
            with open(os.path.join(self._save_dir, *name.split("/")), "rb") as file:
                return file.read(100)
        except OSError:
            return b""

    def _files_in(self, folder: str) -> Iterator[str]:
        """Yield the places of the files below a folder of what lies there already."""
        for root, _, files in os.walk(os.path.join(self._save_dir, folder)):
            inner = os.path.relpath(root, self._save_dir).replace(os.sep, "/")
            yield from (f"{inner}/{name}" for name in files)


def check_choice(option: str, value: str, choices: dict[str, str] | tuple[str, ...]) -> None:
    """Raise SegmaskExportError for a value that an option cannot have."""
    if value not in choices:
        raise SegmaskExportError(
            f"the option {option} is {value!r}",
            "the export",
            f"one of {', '.join(choices)}",
            "choose one of them",
        )
