"""Datumaro's door out: any dataset becomes an archive of masks (docs/format.md, section 5)."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, starmap
from typing import Any, NamedTuple, TypeVar

from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.dataset_item_storage import ItemStatus
from datumaro.components.dataset_storage import DatasetPatch
from datumaro.components.media import Image

from ...archive import has_masks
from ...errors import SegmaskExportError, UnpaintableError, counted
from ...formats import ArchiveWriter, Masks, Standing
from ...options import COLOR, SegmaskExportOptions
from ...regions import paint
from ...storage import (
    Entry,
    FolderSink,
    FolderStorage,
    Listing,
    Sink,
    Storage,
    ZipSink,
    plan_save,
    whole,
)
from ..annotations import in_paint_order, is_stuff, is_thin_object, is_unknown, paint_annotations
from ..host import known_archive, remember_archive
from ..importer import NAME
from ..items import Report
from ..labels import ExportLabels, make_export_labels
from ..media import place_of, size_of
from .common import Done, WholeExporter
from .in_place import (
    Before,
    ExportTarget,
    Picture,
    Pictures,
    find_target,
    source_of,
    vanished_source,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
_DESC = "Exporting masks"


class SegmaskExporter(WholeExporter):
    """Exports class masks and instance masks as CVAT's "Segmentation mask 1.1" has them.

    ``options``: those of `SegmaskExportOptions`. Raises like `WholeExporter`. Source:
    docs/format.md, section 5.
    """

    NAME = NAME
    WRITES_FILES = True
    """Lets a dataset be saved to the zip that it was imported from, see `host`."""

    OPTIONS = SegmaskExportOptions

    def __init__(self, extractor: IDataset, save_dir: str, **options: Any) -> None:
        super().__init__(extractor, save_dir, **options)
        chosen: SegmaskExportOptions = self._chosen
        self._labels = make_export_labels(extractor.categories(), chosen.label_map)
        self._writer = ArchiveWriter(
            self._labels.label_map, mask_mode=chosen.mask_mode, ignore_label=chosen.ignore_label
        )
        self._empty_masks = chosen.empty_masks
        self._number_stuff = chosen.number_stuff
        self._as_zip = chosen.zip
        self._shard_items = chosen.shard_items
        self._remembers = False
        self._listed: dict[str, dict[str, None]] = {}
        self._unread: set[Entry] = set()
        self._rewrites = (
            chosen.mask_mode != COLOR or chosen.ignore_label is not None or chosen.number_stuff
        )

    @classmethod
    def patch(cls, dataset: IDataset, patch: DatasetPatch, save_dir: str, **options: Any) -> None:
        """Save a dataset where it was imported from, changing no more than has changed.

        Masks that did not change stay byte for byte. Images follow their items, and new images are
        written, with or without ``save_media``. If the labels have changed, or the options ask for
        another kind of masks, every mask is written again. Files that do not belong to the dataset
        stay unchanged.
        """
        cls.convert(dataset, save_dir, **options)

    def _apply_impl(self) -> None:
        if self._shard_items:
            self._write_shards()
        else:
            self.write_to(find_target(self._extractor, self._save_dir, self._as_zip))

    def write_to(self, target: ExportTarget, *, replace: bool = False) -> None:
        """Export to this target; with ``replace`` nothing of an archive there stays."""
        place, dataset = target.place, self._extractor
        made: FolderSink | ZipSink
        if place.is_zip:
            made = ZipSink(place.path, update=target.in_place)
        else:
            made = FolderSink(place.path, replace=replace)
        known = known_archive(dataset) if target.in_place else None
        if known is not None and known.place != place.path:
            known = None
        if target.in_place:
            self._spread = None  # what is there, and what the dataset knows of it, is needed
        is_loaded = isinstance(dataset, Dataset) and not dataset.is_stream
        self._remembers = is_loaded and self._spread is None
        with whole(made) as sink:
            saves = target.in_place and self._remembers
            before = None
            if saves and sink.there is not None:
                before = Before(sink.there, {} if known is None else known.reading)
                if not self._rewrites and before.is_labelled_as(dataset.categories()):
                    labels = range(len(before.label_map.labels))
                    self._labels = ExportLabels(before.label_map, (*labels,))
                    self._writer = ArchiveWriter(before.label_map)
            self._pictures = self._make_pictures(sink.there, target.in_place, saves, known)
            self._writer.into(sink)
            if before is not None:
                self._save(sink, before, known)
            else:
                with closing(self._done(self._work, sink, _DESC)) as all_done:
                    for done, item in all_done:
                        self._write(done, sink, item)
                if known is not None and sink.there is not None:
                    self._keep_unread(sink.there, known)
                self._writer.finish()
            self._put_meta(sink)
        if isinstance(dataset, Dataset) and self._remembers:
            pictures = self._pictures.relocate(place)
            reading = {} if known is None else known.reading
            listing = Listing(place.path, self._listed, self._unread, pictures, reading)
            remember_archive(dataset, listing)
        # Who trains, splits or merges is not told of CVAT, and a new zip is likely to go there.
        is_for_cvat = replace or (place.is_zip and not target.in_place)
        self._writer.log_losses(for_cvat=is_for_cvat)

    def _write_shards(self) -> None:
        """Export to zips of N items each, which appear in the folder together."""
        self._check_shards()
        self._pictures = self._make_pictures(None, False, False, None)
        with whole(FolderSink(self._save_dir)) as sink:
            for name in filter(_SHARD.fullmatch, os.listdir(sink.root)):
                sink.discard(name)
            with closing(self._done(self._work, sink, _DESC)) as all_done:
                for number, made in enumerate(_in_shards(all_done, self._shard_items)):
                    with sink.zip(shard_name(number)) as shard:
                        self._writer.into(shard)
                        for done, _ in made:
                            self._write(done, shard)
                        self._writer.finish()
                        self._put_meta(shard)
        self._writer.log_losses(for_cvat=True)

    def _check_shards(self) -> None:
        """Raise SegmaskExportError for a size that is none, and over the dataset's own source.

        What is imported from a shard has to be read while the shards are written anew.
        """
        if self._shard_items < 0:
            raise SegmaskExportError(
                f"the option shard_items is {self._shard_items}",
                "the export",
                "a number of items",
                "choose one",
            )
        source, root = source_of(self._extractor), os.path.realpath(self._save_dir)
        if source is not None and root in (source.path, os.path.dirname(source.path)):
            raise SegmaskExportError(
                "the dataset was imported from there",
                self._save_dir,
                "another folder for the shards",
                "export into another folder",
            )

    def _make_pictures(
        self, there: Storage | None, writes_new: bool, in_place: bool, known: Listing | None
    ) -> Pictures:
        return Pictures(
            there,
            partial(_suffix_of, self._image_ext, self._default_image_ext),
            save_media=self._save_media,
            in_place=in_place,
            writes_new=writes_new,
            vanished=vanished_source(self._extractor, self._save_dir),
            saved={} if known is None else known.pictures,
            remember=self._remembers,
        )

    @property
    def _work(self) -> _Work:
        encoder = self._writer.encoder
        return _Work(
            self._labels,
            encoder.draw,
            encoder.background,
            self._pictures,
            self._empty_masks,
            self._number_stuff,
        )

    def _save(self, sink: Sink, before: Before, known: Listing | None) -> None:
        """Write what has changed in the archive that the dataset was imported from."""
        updated = self._extractor.get_patch().updated_items
        same_labels = before.label_map.is_like(self._labels.label_map)
        all_changed = self._rewrites or not same_labels
        there, failed = set(), 0
        work = self._work
        for item in self._items(_DESC):
            key = (item.id, item.subset)
            there.add(key)
            is_old = known is None or key in known
            if is_old and key not in before and key not in updated:
                raise _changed_by_others(item, before.storage)
            # Datumaro does not see what is changed inside of an item, and calls an item changed
            # when a transform has merely looked at it. So the masks are read again.
            kept = None
            if not all_changed and before.has_same_masks(item):
                kept = before.has_masks(item.id)
            if self._write(work(item, kept), sink, item):
                continue
            if key in before:
                self._list(key, before.has_masks(item.id))
            else:
                failed += 1
        removed = {key for key, status in updated.items() if status == ItemStatus.removed}
        plan = plan_save(before.subsets, known, there, removed)
        if failed and plan.gone:
            log.warning(
                "%s could not be written. They may have had other names before, so the files of "
                "%s that the dataset no longer has stay, although no list names them.",
                counted(failed, "item"),
                counted(len(plan.gone), "item"),
            )
        for item_id in plan.gone if not failed else ():
            self._writer.discard_masks(item_id)
            for name in self._pictures.of(item_id):
                sink.discard(name)
        for key in plan.kept:
            self._list(key, before.has_masks(key[0]))
        self._unread.update(plan.kept)
        for subset in plan.empty:
            self._writer.declare_list(subset)
        if plan.kept and all_changed:
            log.warning(
                "The masks of %s that the dataset does not have, such as those that an import "
                "could not read, stay as they are, in the old kind and colours.",
                counted(len(plan.kept), "item"),
            )
        self._writer.finish(labels=not same_labels)

    def _keep_unread(self, archive: Storage, known: Listing) -> None:
        """Keep the lines of what a stream could not read, and lists without any."""
        for entry in sorted(known.unread):
            if not self._writer.has_listed(entry):
                self._writer.list_item(entry, has_masks(archive, entry[0]))
        for subset, ids in known.subsets.items():
            if not ids:
                self._writer.declare_list(subset)

    def _write(self, done: Done, sink: Sink, item: DatasetItem | None = None) -> bool:
        """Write the files of an item; return whether that could be done."""
        entry, writer = done.entry, self._writer
        writer.left_out.update(done.left_out)
        self._report(done)
        if done.error is not None:
            return False
        made: _Made = done.made
        picture = made.picture and replace(made.picture, data=done.image)
        writer.losses.add(entry, stuff=made.stuff, thin=made.thin, unknown=made.unknown)
        writer.note_highest(entry, made.highest)
        has_masks = bool(made.files) if made.kept is None else made.kept
        content = made.kept, *made.files.values(), picture and (picture.name, picture.content)
        try:
            if writer.check(entry, has_masks, content) is Standing.AGAIN:
                return True
            for name, data in made.files.items():
                sink.put(name, data)
            self._pictures.write(entry[0], picture, sink, item)
        except SegmaskExportError as error:
            self._report(replace(done, unpainted=(), error=error))
            return False
        if made.kept is None:
            writer.discard_masks(entry[0], but=made.files)
        self._list(entry, has_masks)
        return True

    def _list(self, entry: Entry, has_masks: bool) -> None:
        self._writer.list_item(entry, has_masks)
        if self._remembers:
            self._listed.setdefault(entry[1], {})[entry[0]] = None


class _Made(NamedTuple):
    """What is to be written of an item: masks by their places, and its picture but for the data.

    ``kept``: of masks that stay as they lie there, whether there are any. What CVAT will not read
    is counted: see `CvatLosses`.
    """

    files: Mapping[str, bytes]
    highest: int = 0
    picture: Picture | None = None
    kept: bool | None = None
    stuff: int = 0
    thin: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class _Work:
    """Draws the masks of an item, and makes the file of its picture; can be pickled."""

    labels: ExportLabels
    draw: Callable[..., Masks]
    background: int
    pictures: Pictures
    empty_masks: bool
    number_stuff: bool

    def __call__(self, item: DatasetItem, kept: bool | None = None) -> Done:
        """Do it. ``kept``: see `_Made`."""
        entry, left_out = (item.id, item.subset), Counter[str]()
        unpainted: list[UnpaintableError] = []
        try:
            made = _Made({}, kept=kept)
            if kept is None:
                made = self._masks(item, left_out, unpainted.append)
            picture = self.pictures.plan(item, bool(made.files), left_out)
        except SegmaskExportError as error:
            return Done(entry, left_out=left_out, unpainted=unpainted, error=error)
        data = None
        if picture is not None:
            data, picture = picture.data, replace(picture, data=None)
        made = made._replace(picture=picture)
        return Done(entry, made, data, left_out=left_out, unpainted=unpainted)

    def end(self, done: Sequence[Done]) -> list[Done]:
        return [*done]

    def _masks(self, item: DatasetItem, left_out: Counter[str], report: Report) -> _Made:
        """Draw the masks of an item; none for an item without shapes.

        Raises SegmaskExportError for an item that cannot be painted.
        """
        background = self.background
        placed = in_paint_order(item.annotations, left_out)
        if not placed and not self.empty_masks:
            return _Made({})
        size, where = size_of(item), place_of(item)
        painted = paint_annotations(
            placed, size, self.labels, background, where, report, left_out, self.number_stuff
        )
        if painted is None and not self.empty_masks:
            return _Made({})
        planes = paint([], *size, background) if painted is None else painted.planes
        has_labels = painted is None or painted.has_labels
        masks = self.draw((item.id, item.subset), planes, has_labels, is_blank=not placed)
        shown = [] if painted is None else painted.shown
        numbered = [(annotation, shape.geometry) for shape, annotation in shown if shape.number]
        others = [a for s, a in shown if not s.number and s.label_value != background]
        return _Made(
            *masks,
            stuff=sum(map(is_stuff, others)) if numbered else 0,
            thin=sum(starmap(is_thin_object, numbered)),
            unknown=sum(int(a.get_area()) for a in others if is_unknown(a)),
        )


def _suffix_of(chosen: str | None, default: str, item: DatasetItem) -> str:
    """Return the suffix of an item's picture, by the rule of Datumaro's exporters."""
    own = item.media.ext if isinstance(item.media, Image) else None
    return chosen or own or default


def _changed_by_others(item: DatasetItem, archive: Storage) -> SegmaskExportError:
    what = "folder" if isinstance(archive, FolderStorage) else "zip"
    return SegmaskExportError(
        f"the lists of the {what} do not name {place_of(item)} any more, so another program, or "
        f"another dataset of this one, has changed the {what} since it was imported",
        archive.place(),
        f"the {what} as it was when it was imported",
        "import it again and repeat the changes, or export to another folder",
    )


def shard_name(number: int) -> str:
    """Return the name of a zip of an export in shards, counted from 0."""
    return f"{NAME}-{number:06}.zip"


_SHARD = re.compile(rf"{NAME}-\d{{6,}}\.zip")


def _in_shards(items: Iterator[T], size: int) -> Iterator[Iterator[T]]:
    """Yield the items of each shard, to be used up before the next; one shard at least."""
    first = next(items, None)
    if first is None:
        yield iter(())
    while first is not None:
        yield chain([first], islice(items, size - 1))
        first = next(items, None)
