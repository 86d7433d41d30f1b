"""Datumaro's door out: any dataset becomes an archive of masks (docs/format.md, section 5)."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from typing import Any

from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.dataset_item_storage import ItemStatus
from datumaro.components.dataset_storage import DatasetPatch
from datumaro.components.exporter import Exporter, _ExportFail
from datumaro.components.progress_reporting import NullProgressReporter

from ..archive.encode import COLOR, MASK_MODES, MaskEncoder
from ..archive.labelmap import format_label_map
from ..archive.lists import has_masks, read_label_map
from ..archive.meaning import ClassLookup
from ..errors import SegmaskExportError, UnpaintableError
from ..storage import layout
from ..storage.open import folder_roots, lone_zip
from ..storage.read import FolderStorage
from ..storage.write import FolderSink, Sink, SubsetLists, ZipSink
from .importer import NAME
from .in_place import is_as_before, is_source_of
from .item_files import ItemFiles, image_path
from .labels import SOURCE, make_export_labels
from .memory import keep_freed_memory
from .progress import track

log = logging.getLogger(__name__)

ZIP_NAME = f"{NAME}.zip"


class SegmaskExporter(Exporter):
    """Exports class masks and instance masks as CVAT's "Segmentation mask 1.1" has them.

    ``mask_mode`` is ``color`` (RGB), ``palette`` (the same colours) or ``index`` (gray, the value
    is the label's line in the label map). ``label_map`` is ``source`` (the labels of the dataset),
    ``voc``, or the path of a label map file, which fixes order, colours and which labels stay.
    ``ignore_label`` names the label that gets the value 255 in index masks. ``empty_masks`` writes
    masks for items without shapes too, ``zip`` one zip into ``save_dir`` instead of a tree.

    Raises SegmaskExportError for what concerns the whole export; the errors of single items and
    annotations go to the error policy. Nothing is in its place before all is written. Source:
    docs/format.md, section 5.
    """

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
        mask_mode: str = COLOR,
        label_map: str = SOURCE,
        ignore_label: str | None = None,
        empty_masks: bool = False,
        zip: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        keep_freed_memory()
        self._labels = make_export_labels(extractor.categories(), label_map)
        self._label_lines = format_label_map(self._labels.label_map).splitlines()
        self._files = ItemFiles(
            self._labels,
            MaskEncoder(self._labels.label_map, mask_mode, ignore_label),
            empty_masks=empty_masks,
            report=self._report_annotation,
            stream=extractor.is_stream,
        )
        self._zip = os.path.join(save_dir, ZIP_NAME) if zip else None
        self._rewrites = mask_mode != COLOR or ignore_label is not None

    @property
    def can_stream(self) -> bool:
        return True

    @classmethod
    def convert(cls, extractor: IDataset, save_dir: str, **options: Any) -> None:
        """Export a dataset; over its own source (by whatever path it is called), as `patch`."""
        if is_source_of(extractor, save_dir):
            cls.patch(extractor, extractor.get_patch(), save_dir, **options)
        else:
            super().convert(extractor, save_dir, **options)

    @classmethod
    def patch(cls, dataset: IDataset, patch: DatasetPatch, save_dir: str, **options: Any) -> None:
        """Save a dataset where it was imported from, changing no more than has changed.

        Masks of items that are as they were stay byte for byte, and images stay without
        ``save_media`` too, moving with their items. Only where the labels have changed, or the
        options ask for another kind of masks, every mask is written anew.
        """
        roots = folder_roots(save_dir)
        lone = lone_zip(save_dir)
        if len(roots) != 1:
            # In a zip, all is written again, images and all; the old zip stays until then.
            options |= {"zip": True, "save_media": True} if lone else {}
            exporter = cls(dataset, save_dir, **options)
            exporter._zip = lone or exporter._zip
            exporter.apply()
            return
        exporter = cls(dataset, roots[0], **options)
        if exporter._zip:
            exporter.apply()
        else:
            exporter._patch_folder(roots[0], patch)

    def _apply_impl(self) -> None:
        os.makedirs(self._save_dir, exist_ok=True)
        sink: Sink = ZipSink(self._zip) if self._zip else FolderSink(self._save_dir)
        with SubsetLists() as lists:
            try:
                for item in self._items():
                    self._export(item, sink, lists)
                self._finish(sink, lists)
            except BaseException:
                sink.abandon()
                raise

    def _patch_folder(self, root: str, patch: DatasetPatch) -> None:
        storage = FolderStorage(root)
        old_labels = read_label_map(storage)
        lookup = ClassLookup(old_labels)
        same_labels = old_labels.is_like(self._labels.label_map)
        all_changed = self._rewrites or not same_labels
        changed = {item_id for item_id, _ in patch.updated_items}
        gone = {i for (i, _), how in patch.updated_items.items() if how == ItemStatus.removed}
        sink = FolderSink(root)
        with SubsetLists() as lists:
            try:
                for item in self._items():
                    gone.discard(item.id)
                    # Datumaro calls an item changed when a transform has merely looked at it.
                    if all_changed or (
                        item.id in changed and not is_as_before(item, storage, lookup)
                    ):
                        self._export(item, sink, lists, keep_image_in=root)
                    else:
                        lists.add(
                            item.subset, layout.list_line(item.id, has_masks(storage, item.id))
                        )
                for item_id in gone:
                    for name in layout.all_places(item_id):
                        sink.discard(name)
                keeps_labels = same_labels and storage.exists(layout.LABEL_MAP)
                self._finish(sink, lists, keeps_labels=keeps_labels)
            except BaseException:
                sink.abandon()
                raise

    def _items(self) -> Iterator[DatasetItem]:
        reporter = self._ctx.progress_reporter
        # Datumaro counts a lazy dataset by reading all of it, so nobody who does not ask waits.
        counts = not isinstance(reporter, NullProgressReporter) or (
            isinstance(self._extractor, Dataset) and self._extractor.is_cache_initialized
        )
        total = len(self._extractor) if counts else None
        return track(self._extractor, reporter, "Exporting masks", total)

    def _export(
        self,
        item: DatasetItem,
        sink: Sink,
        lists: SubsetLists,
        keep_image_in: str | None = None,
    ) -> None:
        try:
            masks = self._files.masks(item)
            images = self._image(item, keep_image_in)
            for name, data in {**masks, **images}.items():
                sink.put(name, data)
        except SegmaskExportError as error:
            self._report_item(error, item)
            return
        for name in (layout.class_mask(item.id), layout.instance_mask(item.id)):
            if name not in masks:
                sink.discard(name)
        lists.add(item.subset, layout.list_line(item.id, bool(masks)))

    def _image(self, item: DatasetItem, keep_in: str | None) -> dict[str, bytes]:
        """Return the image to write: all with ``save_media``, else those that move in a folder."""
        suffix = self._find_image_ext(item)
        moves = False
        path = image_path(item)
        if keep_in is not None and path is not None and os.path.isfile(path):
            place = os.path.relpath(path, keep_in).replace(os.sep, "/")
            if place == layout.image(item.id, suffix):
                return {}
            moves = place.startswith(f"{layout.IMAGES}/")
        return self._files.image(item, suffix) if self._save_media or moves else {}

    def _finish(self, sink: Sink, lists: SubsetLists, *, keeps_labels: bool = False) -> None:
        """Write the lists, and the label map unless the folder keeps the one it has."""
        texts = lists.texts()
        if not keeps_labels:
            # Dictionaries keep their order: the label map comes last.
            texts[layout.LABEL_MAP] = self._label_lines
        sink.finish(texts)
        if self._save_dataset_meta:
            self._save_meta_file(self._save_dir)
        for what, count in sorted(self._files.left_out.items()):
            if count:
                log.warning("Left out of the export: %d %s.", count, what)

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
