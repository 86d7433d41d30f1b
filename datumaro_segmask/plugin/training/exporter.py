"""What the formats for training have in common: one pass over the items, into one folder."""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeAlias

from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.media import Image, ImageFromFile

from ...archive import Item
from ...errors import MaskLimitError, SegmaskExportError, counted
from ...formats import CocoWriter, YoloWriter, check_choice, check_names, log_left_out
from ...formats.panoptic import PanopticWriter
from ...storage import FolderSink, Record, layout
from ..export.common import WholeExporter
from ..items import OBJECT, STUFF, ObjectMaker, classes_of
from ..media import place_of, upright_image

log = logging.getLogger(__name__)

Writer: TypeAlias = CocoWriter | YoloWriter | PanopticWriter


class TrainingExporter(WholeExporter):
    """Exports objects of any dataset for training; a base class.

    ``stuff`` is what becomes of pixels of a label without an instance, one of the class's `STUFF`.
    ``keep_background`` makes the background a class. Source: docs/training.md.
    """

    NAME: ClassVar[str]
    STUFF: ClassVar[dict[str, str]] = STUFF

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
        self._turned = 0
        self._classes = classes_of(extractor.categories(), keep_background)
        self._maker = ObjectMaker(self._classes, stuff, self._left_out)

    def _apply_impl(self) -> None:
        sink = FolderSink(self._save_dir, record=self._record())
        try:
            with self._make_writer(sink) as writer:
                for item in self._items("Exporting objects"):
                    try:
                        self._export(item, writer)
                    except SegmaskExportError as error:
                        self._report_item(error, item)
                    except MaskLimitError as error:
                        parts = error.what, place_of(item), error.expected, error.remedy
                        self._report_item(SegmaskExportError(*parts), item)
                writer.finish()
            self._end(sink)
        except BaseException:
            sink.abandon()
            raise
        log_left_out(self._left_out + writer.left_out)
        if self._turned:
            log.warning(
                "%s written upright, without the EXIF data that turned them, because half of the "
                "trainers do not read these.",
                counted(self._turned, "picture"),
            )

    def _make_writer(self, sink: FolderSink) -> Writer:
        """Return what writes the format."""
        raise NotImplementedError

    def _record(self) -> Record:
        """Return how an export knows what earlier ones wrote into the folder."""
        raise NotImplementedError

    def _export(self, item: DatasetItem, writer: Writer) -> None:
        """Write one item, with its image if that is wanted."""
        problem = layout.problem_of_new_name(item.id)
        check_names((item.id, item.subset), problem, "it is a part of a file name")
        made = self._made(item)
        suffix = self._image_suffix(item)
        made = replace(made, image=f"{layout.IMAGES}/{item.id}{suffix}")
        data = None
        if self._save_media and isinstance(item.media, Image) and item.media.has_data:
            data, is_turned = upright_image(item, suffix)
            self._turned += is_turned
        self._add(writer, item, made, data)

    def _made(self, item: DatasetItem) -> Item:
        """Return what is to be written of an item."""
        return self._maker.item(item, partial(self._report_annotation, item))

    def _add(self, writer: Writer, item: DatasetItem, made: Item, image: bytes | None) -> None:
        writer.add((item.id, item.subset), made, image)

    def _image_suffix(self, item: DatasetItem) -> str:
        """Return the suffix of a picture as its file has it, unless ``image_ext`` says another."""
        path = item.media.path if isinstance(item.media, ImageFromFile) else ""
        own = layout.split_suffix(os.path.basename(path))[1]
        suffix: str = self._image_ext or own or self._find_image_ext(item)
        return suffix
