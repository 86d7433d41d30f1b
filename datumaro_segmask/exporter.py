"""Datumaro's door out: any dataset becomes an archive of masks (docs/format.md, section 5)."""

from __future__ import annotations

import argparse
import io
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

from datumaro.components.annotation import Mask
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.exporter import Exporter, _ExportFail
from datumaro.components.media import Image
from datumaro.components.progress_reporting import NullProgressReporter

from . import layout
from .archive_write import MASK_MODES, MaskEncoder
from .errors import SegmaskExportError, UnpaintableError
from .export_labels import SOURCE, make_export_labels
from .importer import NAME
from .labelmap import format_label_map
from .painting import paint
from .shapes import Painted, in_paint_order, paint_annotations, size_of_mask
from .storage_write import FolderSink, Sink, ZipSink

log = logging.getLogger(__name__)

ZIP_NAME = f"{NAME}.zip"


class SegmaskExporter(Exporter):  # type: ignore[misc]  # Datumaro is untyped
    """Exports class masks and instance masks as CVAT's "Segmentation mask 1.1" has them."""

    NAME = NAME
    DEFAULT_IMAGE_EXT = ".jpg"

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_cmdline_parser(**kwargs)
        parser.add_argument(
            "--mask-mode",
            choices=MASK_MODES,
            default=MASK_MODES[0],
            help="Kind of the mask files: 'color' (RGB, as CVAT writes), 'palette' (the same "
            "colours, smaller), 'index' (gray, the value is the label's line in labelmap.txt, "
            "for training) (default: %(default)s)",
        )
        parser.add_argument(
            "--label-map",
            default=SOURCE,
            help="Labels to write: 'source' (those of the dataset, in their order), 'voc', or a "
            "label map file, which fixes order, colours and which labels stay "
            "(default: %(default)s)",
        )
        parser.add_argument(
            "--ignore-label",
            help="Name of the label that gets the value 255 in 'index' masks (default: none)",
        )
        parser.add_argument(
            "--empty-masks",
            action="store_true",
            help="Write masks for items without shapes too (default: only list them)",
        )
        parser.add_argument(
            "--zip",
            action="store_true",
            help=f"Write one zip, ready for CVAT, into the folder: {ZIP_NAME} (default: a tree)",
        )
        return parser

    def __init__(
        self,
        extractor: IDataset,
        save_dir: str,
        *,
        mask_mode: str = MASK_MODES[0],
        label_map: str = SOURCE,
        ignore_label: str | None = None,
        empty_masks: bool = False,
        zip: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        self._labels = make_export_labels(extractor.categories(), label_map)
        self._encoder = MaskEncoder(self._labels.label_map, mask_mode, ignore_label)
        self._empty_masks = empty_masks
        self._zip = zip
        self._left_out: Counter[str] = Counter()
        self._seen: set[int] = set()

    @property
    def can_stream(self) -> bool:
        return True

    def _apply_impl(self) -> None:
        texts = {layout.LABEL_MAP: format_label_map(self._labels.label_map).splitlines()}
        os.makedirs(self._save_dir, exist_ok=True)
        if self._zip:
            sink: Sink = ZipSink(os.path.join(self._save_dir, ZIP_NAME))
        else:
            sink = FolderSink(self._save_dir)
        with _Lists() as lists:
            try:
                for item in self._items():
                    self._export(item, sink, lists)
                # Dictionaries keep their order: the label map is the last file of all.
                sink.finish({**lists.texts(), **texts})
            except BaseException:
                sink.abandon()
                raise
        if self._save_dataset_meta:
            self._save_meta_file(self._save_dir)
        self._report_left_out()

    def _items(self) -> Iterator[DatasetItem]:
        reporter = self._ctx.progress_reporter
        # Datumaro counts a lazy dataset by reading all of it, so nobody who does not ask waits.
        total = None if isinstance(reporter, NullProgressReporter) else len(self._extractor)
        items: Iterator[DatasetItem] = iter(
            reporter.iter(self._extractor, total=total, desc="Exporting masks")
        )
        return items

    def _export(self, item: DatasetItem, sink: Sink, lists: _Lists) -> None:
        try:
            masks = self._masks(item)
            self._check_name(item, bool(masks))
            self._check_repeated(item, masks)
            image = self._image(item) if self._save_media else None
        except SegmaskExportError as error:
            self._report_item(error, item)
            return
        for name in (layout.class_mask(item.id), layout.instance_mask(item.id)):
            if name in masks:
                sink.put(name, masks[name])
            else:
                sink.discard(name)
        if image is not None:
            sink.put(*image)
        lists.add(item.subset, layout.list_line(item.id, bool(masks)))

    def _masks(self, item: DatasetItem) -> dict[str, bytes]:
        """Return the mask files of an item by their places in the archive."""
        annotations = in_paint_order(item.annotations, self._left_out)
        if not annotations and not self._empty_masks:
            return {}
        size = self._size(item)
        painted = paint_annotations(
            annotations,
            size,
            self._labels,
            self._encoder.background,
            _place(item),
            partial(self._report_annotation, item),
            self._left_out,
        )
        if painted is None:
            if not self._empty_masks:
                return {}
            painted = Painted(paint([], *size, self._encoder.background), has_labels=True)
        masks = {}
        if painted.has_labels:
            masks[layout.class_mask(item.id)] = self._encoder.labels(painted.planes.labels)
        # An item of "stuff" alone gets no instance mask: beside an empty one, CVAT and Datumaro's
        # VOC plugin take no notice of the class mask.
        if painted.planes.numbers.values.any() or not annotations:
            masks[layout.instance_mask(item.id)] = self._encoder.numbers(
                painted.planes.numbers, _place(item)
            )
        return masks

    def _size(self, item: DatasetItem) -> tuple[int, int]:
        size = item.media.size if isinstance(item.media, Image) else None
        if size is None:
            masks = (a for a in item.annotations if isinstance(a, Mask))
            size = next((size_of_mask(mask) for mask in masks), None)
        if size is None:
            raise SegmaskExportError(
                "the size of its image is not known",
                _place(item),
                "an image, or masks, which tell it",
                "give the dataset its images, or make the items with Image.from_file(path, "
                "size=(height, width))",
            )
        return size

    def _image(self, item: DatasetItem) -> tuple[str, bytes] | None:
        if not isinstance(item.media, Image) or not item.media.has_data:
            self._left_out["images that the dataset does not have"] += 1
            return None
        suffix = self._find_image_ext(item)
        buffer = io.BytesIO()
        try:
            item.media.save(buffer, ext=suffix)
        except (OSError, ValueError) as error:
            raise SegmaskExportError(
                f"its image cannot be saved ({error})",
                _place(item),
                f"an image that can be read and written as {suffix}",
                "check the file, or export without save_media",
            ) from error
        return layout.image(item.id, suffix), buffer.getvalue()

    def _check_name(self, item: DatasetItem, has_mask: bool) -> None:
        problem = layout.problem_of_listed(item.id, has_mask)
        name = "id"
        if not problem:
            name = "subset"
            problem = layout.problem_of_name(item.subset) or (
                "a list lies directly in its folder" if "/" in item.subset else ""
            )
        if problem:
            raise SegmaskExportError(
                f"its {name} cannot be written: {problem}",
                _place(item),
                "ids and subsets that can be file names and lines of a list",
                f"rename the {name}, for instance with 'datum transform -t rename'",
            )

    def _check_repeated(self, item: DatasetItem, masks: dict[str, bytes]) -> None:
        """The same id in two subsets means the same files, so the masks must be the same."""
        itself, content = hash(item.id), hash((item.id, tuple(masks.items())))
        if itself in self._seen and content not in self._seen:
            raise SegmaskExportError(
                "another subset has an item of this id with other masks, and both have the same "
                "place in the archive",
                _place(item),
                "an id of its own for every image",
                "rename the items, for instance with 'datum transform -t rename'",
            )
        self._seen |= {itself, content}

    def _report_item(self, error: SegmaskExportError, item: DatasetItem) -> None:
        try:
            self._ctx.error_policy.report_item_error(error, item_id=(item.id, item.subset))
        except _ExportFail:
            # Datumaro raises the cause, which would name the item and leave out the reason.
            raise _ExportFail from error

    def _report_annotation(self, item: DatasetItem, error: UnpaintableError) -> None:
        try:
            self._ctx.error_policy.report_annotation_error(error, item_id=(item.id, item.subset))
        except _ExportFail:
            raise _ExportFail from error

    def _report_left_out(self) -> None:
        for what, count in sorted(self._left_out.items()):
            if count:
                log.warning("Left out of the export: %d %s.", count, what)


class _Lists:
    """The ids of each subset, kept on the disk while the export goes on: there may be millions."""

    def __init__(self) -> None:
        self._files: dict[str, IO[str]] = {}

    def __enter__(self) -> _Lists:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def add(self, subset: str, line: str) -> None:
        if subset not in self._files:
            self._files[subset] = tempfile.TemporaryFile(
                "w+", encoding="utf-8", newline="\n", prefix="segmask-"
            )
        self._files[subset].write(line + "\n")

    def texts(self) -> dict[str, Iterator[str]]:
        """Return the lines of each list by its place in the archive."""
        return {layout.subset_list(subset): _lines(file) for subset, file in self._files.items()}


def _lines(file: IO[str]) -> Iterator[str]:
    file.seek(0)
    return (line.removesuffix("\n") for line in file)


def _place(item: DatasetItem) -> str:
    return f"item {item.id!r} of subset {item.subset!r}"
