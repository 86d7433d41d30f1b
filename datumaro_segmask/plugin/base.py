"""Datumaro's view of an archive: items with images and masks, read when they are asked for."""

from __future__ import annotations

import copy
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from datumaro.components.annotation import (
    Annotation,
    AnnotationType,
)
from datumaro.components.dataset_base import CategoriesInfo, DatasetBase, DatasetItem
from datumaro.components.importer import ImportContext
from datumaro.components.media import Image

from ..archive import (
    WAYS,
    Archive,
    Item,
)
from ..errors import SegmaskImportError, StoreError, UnsafePathError, check_options, printable
from ..options import COMPONENTS, KEEP, POLYGON, ImportOptions
from ..rules import RULES, WholeFacts, log_findings, open_archive
from ..storage import Entry, Listing, layout
from .annotations import make_mask
from .host import datumaro_errors, report_imported, set_subsets, track
from .labels import make_categories
from .media import MissingImage, StoredImage, image_in_file
from .transforms import components_of, polygons_of

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class SegmaskBase(DatasetBase):
    """The items of one archive, subset by subset, in the order of the lists.

    ``path``: a folder or a zip, or an open archive. ``opened``: the same archive if it is already
    open; then ``path`` is only used in messages. The lists and the label map are read at once, the
    masks of an item when the item is reached.

    ``options``: those of `ImportOptions`. Polygons follow docs/format.md, section 6. With
    ``unknown="keep"``, unknown pixels are a mask without a label whose attribute ``is_unknown`` is
    true.

    Raises SegmaskImportError at construction. Errors of single items go to the error policy of
    ``ctx``.
    """

    @datumaro_errors()
    def __init__(
        self,
        path: str | os.PathLike[str] | Archive,
        *,
        stream: bool = False,
        opened: Archive | None = None,
        ctx: ImportContext | None = None,
        **options: Any,
    ) -> None:
        chosen = check_options(ImportOptions, options)
        if isinstance(path, Archive):
            self._archive = path
        else:
            self._archive = opened or open_archive(path, stream)
        check_subsets(self._archive)
        reading = {
            "keep_background": chosen.keep_background,
            "ignore_index": chosen.ignore_index,
            "keep_unknown": chosen.unknown == KEEP,
            "max_pixels": chosen.max_pixels,
        }
        self._reader = self._archive.reader(**reading)
        place = os.path.realpath(self._archive.storage.place())
        self.listing = Listing(place, self._archive.subsets, reading=reading)
        """What saves need to know of this archive later: which items could not be read."""
        self._as_polygons = chosen.annotation == POLYGON
        self._tolerance = chosen.tolerance
        self._components = (
            (chosen.connectivity, chosen.min_area) if chosen.instances == COMPONENTS else None
        )
        self._num_workers = chosen.num_workers
        self._stream = stream
        self._remarks: Callable[[Remark], None] = Remarks(self.place).add
        super().__init__(
            subsets=list(self._archive.subsets),
            media_type=Image,
            ann_types={AnnotationType.polygon if self._as_polygons else AnnotationType.mask},
            ctx=ctx,
        )
        self._categories = make_categories(self._archive.label_map)

    def categories(self) -> CategoriesInfo:
        return self._categories

    @property
    def is_stream(self) -> bool:
        return self._stream

    def __len__(self) -> int:
        return sum(len(ids) for ids in self._archive.subsets.values())

    def __iter__(self) -> Iterator[DatasetItem]:
        entries = ((i, subset) for subset, ids in self._archive.subsets.items() for i in ids)
        if self._num_workers:
            ahead = self._archive.storage.prefetch(entries)
            reads = read_ahead(self._read, ahead, self._num_workers)
        else:
            reads = self._reader.entries(entries)
        reporter = self._ctx.progress_reporter
        with datumaro_errors():
            for entry, read in track(reads, reporter, "Importing masks", len(self)):
                item = self._make(entry, read)
                if item is not None:
                    yield item

    def _read(self, entry: Entry) -> tuple[Entry, Item | SegmaskImportError]:
        return entry, self._reader.scan(entry[0]).item()

    def get(self, id: str, subset: str | None = None) -> DatasetItem | None:
        subset = subset or layout.DEFAULT_SUBSET
        if id in self._archive.subsets.get(subset, ()):
            return self._make(*self._read((id, subset)))
        return None

    def get_subset(self, name: str) -> SegmaskBase:
        """Return the items of one subset, without reading the others.

        Raises KeyError if there is no such subset.
        """
        if name not in self._archive.subsets:
            raise KeyError(f"no subset {name!r}, there are {sorted(self._archive.subsets)}")
        return self._part({name: self._archive.subsets[name]})

    def place(self, name: str) -> str:
        """Return how to call a file of the archive in a message."""
        return self._archive.storage.place(name)

    def part(
        self, entries: Iterable[Entry], ctx: ImportContext, remark: Callable[[Remark], None]
    ) -> SegmaskBase:
        """Return these items alone; what is to be said of them goes to ``ctx`` and ``remark``."""
        subsets: dict[str, list[str]] = {}
        for item_id, subset in entries:
            subsets.setdefault(subset, []).append(item_id)
        part = self._part(subsets)
        part._ctx, part._remarks = ctx, remark
        return part

    def _part(self, subsets: Mapping[str, Collection[str]]) -> SegmaskBase:
        part = copy.copy(self)
        part._archive = replace(self._archive, subsets=dict(subsets))
        part.listing = replace(self.listing, subsets=part._archive.subsets)
        set_subsets(part, [*subsets])
        return part

    def _make(self, entry: Entry, item: Item | SegmaskImportError) -> DatasetItem | None:
        item_id, subset = entry
        try:
            if isinstance(item, SegmaskImportError):
                raise item
            annotations = self._annotations(item)
        except StoreError:
            raise
        except SegmaskImportError as error:
            self.listing.unread.add((item_id, subset))
            report_imported(self._ctx.error_policy.report_item_error, error, item_id, subset)
            return None
        self.listing.unread.discard((item_id, subset))
        mask = item.class_mask or item.instance_mask or ""
        lacks_labels = not item.has_labels and bool(item.instances)
        self._remarks(Remark(item_id, mask, item.class_mask and item.way, lacks_labels))
        return DatasetItem(item_id, subset=subset, media=self._media(item), annotations=annotations)

    def _annotations(self, item: Item) -> list[Annotation]:
        if item.size is None:
            return []
        annotations: list[Annotation] = [make_mask(i, *item.size) for i in item.instances]
        if self._components:
            annotations = components_of(annotations, *self._components)
        if self._as_polygons:
            return polygons_of(annotations, self._tolerance, self._place_of_mask(item))
        return annotations

    def _place_of_mask(self, item: Item) -> str:
        return self._archive.storage.place(item.class_mask or item.instance_mask or "")

    def _media(self, item: Item) -> Image | None:
        storage = self._archive.storage
        if item.image is None:
            # Without data, but exports that need a width and a height find them here.
            return MissingImage(item.item_id, item.size) if item.size else None
        path = storage.path(item.image)
        if path is None:
            return StoredImage(storage, item.image, item.size, item.turn)
        return image_in_file(path, item.size, item.turn)


class Remark(NamedTuple):
    """What may have to be said of an item: ``way`` as in `Item`, ``mask`` the place of a mask."""

    item_id: str
    mask: str
    way: str | None
    lacks_labels: bool


class Remarks:
    """Logs what is to be said of the items of an archive, each kind once."""

    def __init__(self, place: Callable[[str], str]) -> None:
        self._place = place
        self._warned_of_labels = False
        self._ways: dict[str, str] = {}  # that class masks were read, and the first of each

    def add(self, remark: Remark) -> None:
        """Say what is new about an item."""
        if remark.lacks_labels and not self._warned_of_labels:
            self._warned_of_labels = True
            log.warning(
                "%s: the item %r has an instance mask but no class mask, so its masks have no "
                "label. This is reported once; other items may also lack theirs.",
                printable(self._place(remark.mask)),
                remark.item_id,
            )
        if remark.way is None or remark.way in self._ways:
            return
        self._ways[remark.way] = remark.mask
        if len(self._ways) == len(WAYS):
            facts = WholeFacts(ways={way: [mask] for way, mask in self._ways.items()})
            log_findings(self._place, RULES["class-mask-kinds"].findings(facts))


def check_subsets(archive: Archive) -> None:
    """Raise UnsafePathError for a subset that Datumaro takes for a drive, as 1.13 does ``a:b``."""
    for subset in archive.subsets:
        try:
            DatasetItem("a", subset=subset)
        except ValueError as error:
            raise UnsafePathError(
                f"this version of Datumaro refuses the subset {subset!r} ({error})",
                archive.storage.place(layout.subset_list(subset)),
                "a subset whose name does not begin with a letter and a colon",
                "rename the list",
            ) from error


def read_ahead(read: Callable[[T], R], keys: Iterable[T], workers: int) -> Iterator[R]:
    """Yield what ``read`` returns for each key, in order, and raise what it raises.

    With so many threads, twice as many are begun ahead as there are threads, so memory does not
    grow with their number.
    """
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, "segmask") as pool:
        for key in keys:
            pending.append(pool.submit(read, key))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()
