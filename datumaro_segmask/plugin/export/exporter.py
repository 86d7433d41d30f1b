"""Datumaro's door out: any dataset becomes an archive of masks (docs/format.md, section 5)."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection
from typing import Any

from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.dataset_item_storage import ItemStatus
from datumaro.components.dataset_storage import DatasetPatch

from ...archive import COLOR, MASK_MODES, MaskEncoder, label_map_lines
from ...errors import SegmaskExportError
from ...storage import FolderSink, Sink, SubsetLists, ZipSink, layout
from ..importer import NAME
from ..labels import SOURCE, make_export_labels
from .common import WholeExporter
from .in_place import ZIP_NAME, Before, Pictures, Target, find_target, lists_in
from .item_files import ItemFiles, place_of
from .shards import check_shards, in_shards, shard_name, shards_in

log = logging.getLogger(__name__)


class SegmaskExporter(WholeExporter):
    """Exports class masks and instance masks as CVAT's "Segmentation mask 1.1" has them.

    ``mask_mode`` is ``color`` (RGB), ``palette`` (the same colours) or ``index`` (gray, the value
    is the label's line in the label map). ``label_map`` is ``source`` (the labels of the dataset),
    ``voc``, or the path of a label map file, which fixes order, colours and which labels stay.
    ``ignore_label`` names the label that gets the value 255 in index masks. ``number_stuff``
    numbers masks that were read of pixels without an instance, ``empty_masks`` writes masks for
    items without shapes too, ``zip`` one zip into ``save_dir`` instead of a tree, ``shard_items``
    zips of so many items each.

    Errors: those of `WholeExporter`. Source: docs/format.md, section 5.
    """

    NAME = NAME
    WRITES_FILES = True
    """Lets a dataset be saved to the zip that it was imported from, see `host`."""

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_cmdline_parser(**kwargs)
        parser.add_argument(
            "--mask-mode",
            choices=[*MASK_MODES],
            default=COLOR,
            help="Kind of the mask files: "
            + ", ".join(f"'{mode}' ({what})" for mode, what in MASK_MODES.items())
            + " (default: %(default)s)",
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
            "--number-stuff",
            action="store_true",
            help="Number masks read of pixels without an instance, as CVAT wants (default: not)",
        )
        parser.add_argument(
            "--zip",
            action="store_true",
            help=f"Write one zip, ready for CVAT, into the folder: {ZIP_NAME} (default: a tree)",
        )
        parser.add_argument(
            "--shard-items",
            type=int,
            default=0,
            metavar="N",
            help="Write zips of N items each, every one ready for CVAT, into the folder: "
            f"{shard_name(0)} and so on (default: all in one)",
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
        number_stuff: bool = False,
        zip: bool = False,
        shard_items: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        self._labels = make_export_labels(extractor.categories(), label_map)
        encoder = MaskEncoder(self._labels.label_map, mask_mode, ignore_label)
        self._label_lines = label_map_lines(encoder.label_map)
        self._files = ItemFiles(
            self._labels,
            encoder,
            empty_masks=empty_masks,
            number_stuff=number_stuff,
            report=self._report_annotation,
            stream=extractor.is_stream,
        )
        self._as_zip = zip
        self._shard_items = shard_items
        self._rewrites = mask_mode != COLOR or ignore_label is not None or number_stuff

    @classmethod
    def patch(cls, dataset: IDataset, patch: DatasetPatch, save_dir: str, **options: Any) -> None:
        """Save a dataset where it was imported from, changing no more than has changed.

        Masks of items that are as they were stay byte for byte, and images stay without
        ``save_media`` too, moving with their items. Only where the labels have changed, or the
        options ask for another kind of masks, every mask is written anew. A zip is written again,
        images and all.
        """
        cls.convert(dataset, save_dir, **options)

    def _apply_impl(self) -> None:
        if self._shard_items:
            self._write_shards()
        else:
            self.write_to(find_target(self._extractor, self._save_dir, self._as_zip))

    def write_to(self, target: Target, *, replace: bool = False) -> None:
        """Export to this very target; with ``replace`` nothing of an archive there stays."""
        place, saves = target.place, target.in_place and not self._extractor.is_stream
        if place.is_zip and target.in_place:
            self._save_media = True  # or the only copy of the images would go
        sink: Sink = (
            ZipSink(place.path) if place.is_zip else FolderSink(place.path, replace=replace)
        )
        root = None if place.is_zip or replace else place.path
        self._pictures = self._make_pictures(root, in_place=saves)
        try:
            with SubsetLists() as lists:
                if saves and isinstance(sink, FolderSink):
                    self._save(sink, lists)
                else:
                    for item in self._items("Exporting masks"):
                        self._export(item, sink, lists)
                    self._finish(sink, lists)
        except BaseException:
            sink.abandon()
            raise
        if saves:
            self._pictures.settle(place)
        # Who trains, splits or merges is not told of CVAT.
        self._files.log_losses(for_cvat=self._as_zip or replace)

    def _write_shards(self) -> None:
        """Export to zips of so many items each, which get into the folder together."""
        check_shards(self._extractor, self._save_dir, self._shard_items)
        self._pictures = self._make_pictures(None, in_place=False)
        sink = FolderSink(self._save_dir)
        try:
            for name in shards_in(sink.root):
                sink.discard(name)
            shards = in_shards(self._items("Exporting masks"), self._shard_items)
            for number, items in enumerate(shards):
                with sink.zip(shard_name(number)) as shard, SubsetLists() as lists:
                    for item in items:
                        self._export(item, shard, lists)
                    self._finish(shard, lists)
            sink.finish()
        except BaseException:
            sink.abandon()
            raise
        self._files.log_losses(for_cvat=True)

    def _make_pictures(self, root: str | None, *, in_place: bool) -> Pictures:
        return Pictures(
            root,
            self._files,
            self._find_image_ext,
            save_media=self._save_media,
            in_place=in_place,
        )

    def _save(self, sink: FolderSink, lists: SubsetLists) -> None:
        """Write what has changed in the folder that the dataset was imported from."""
        before = Before(sink.root)
        updated = self._extractor.get_patch().updated_items
        same_labels = before.label_map.is_like(self._labels.label_map)
        all_changed = self._rewrites or not same_labels
        there = set()
        for item in self._items("Exporting masks"):
            key = (item.id, item.subset)
            there.add(key)
            if key not in before and key not in updated:
                raise _changed_by_others(item, sink.root)
            # Datumaro does not see what is changed inside of an item, and calls an item changed
            # when a transform has merely looked at it. So the masks are read again.
            kept = None
            if not all_changed and before.has_same_masks(item):
                kept = before.has_masks(item.id)
            if not self._export(item, sink, lists, kept) and key in before:
                lists.add(item.subset, layout.list_line(item.id, before.has_masks(item.id)))
        self._discard_removed(sink, {item_id for item_id, _ in there}, updated)
        self._keep_unread(before, lists, there, updated, all_changed)
        self._finish(sink, lists, keeps_labels=same_labels and before.has_label_map)

    def _discard_removed(
        self, sink: FolderSink, there: set[str], updated: dict[tuple[str, str], ItemStatus]
    ) -> None:
        for (item_id, _), status in updated.items():
            if status == ItemStatus.removed and item_id not in there:
                self._discard_masks(item_id, sink)
                for name in self._pictures.of(item_id):
                    sink.discard(name)

    def _keep_unread(
        self,
        before: Before,
        lists: SubsetLists,
        there: set[tuple[str, str]],
        updated: dict[tuple[str, str], ItemStatus],
        all_changed: bool,
    ) -> None:
        """Keep the lines of items that the import could not read, and lists without any."""
        unread = 0
        for subset, ids in before.subsets.items():
            if not ids:
                lists.keep(subset)
            for item_id in ids:
                if (item_id, subset) not in there and (item_id, subset) not in updated:
                    lists.add(subset, layout.list_line(item_id, before.has_masks(item_id)))
                    unread += 1
        if unread and all_changed:
            log.warning(
                "%d items that the dataset does not have, such as those that an import has left "
                "out for their faults, keep the masks that they have, in the old kind and colours.",
                unread,
            )

    def _export(
        self, item: DatasetItem, sink: Sink, lists: SubsetLists, kept: bool | None = None
    ) -> bool:
        """Write the files of an item; return whether that could be done.

        ``kept`` tells of masks that stay as they lie there whether there are any.
        """
        try:
            masks = self._files.masks(item) if kept is None else {}
            picture = self._pictures.plan(item, bool(masks))
            has_masks = bool(masks) if kept is None else kept
            self._files.check(item, has_masks, (kept, *masks.values()), picture)
            for name, data in masks.items():
                sink.put(name, data)
            self._pictures.write(item, picture, sink)
        except SegmaskExportError as error:
            self._report_item(error, item)
            return False
        if kept is None:
            self._discard_masks(item.id, sink, masks)
        lists.add(item.subset, layout.list_line(item.id, has_masks))
        return True

    def _discard_masks(self, item_id: str, sink: Sink, but: Collection[str] = ()) -> None:
        """Remove what masks an item has, however their names are written, ``but`` these."""
        for usual in (layout.class_mask(item_id), layout.instance_mask(item_id)):
            if usual not in but:
                folder = usual.partition("/")[0]
                for name in layout.mask_places(folder, item_id):
                    sink.discard(name)

    def _finish(self, sink: Sink, lists: SubsetLists, *, keeps_labels: bool = False) -> None:
        """Write the lists, and the label map unless the folder keeps the one it has."""
        for name in lists_in(sink.root) if isinstance(sink, FolderSink) else ():
            sink.discard(name)
        for name, lines in lists.texts().items():
            sink.put_lines(name, lines)
        if not keeps_labels:
            sink.put_lines(layout.LABEL_MAP, self._label_lines)
        self._end(sink)


def _changed_by_others(item: DatasetItem, root: str) -> SegmaskExportError:
    return SegmaskExportError(
        f"the lists of the folder do not name {place_of(item)} any more, so another program, or "
        "another dataset of this one, has changed the folder since it was imported",
        root,
        "the folder as it was when it was imported",
        "import it again and repeat the changes, or export to another folder",
    )
