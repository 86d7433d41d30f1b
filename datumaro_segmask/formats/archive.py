"""The archive itself, as a format to write: masks, pictures, subset lists, label map.

Source: docs/format.md, section 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from ..archive import (
    COLOR,
    Item,
    LabelMap,
    MaskEncoder,
    find_lists,
    label_map_lines,
    read_label_map,
    unknown_value,
    voc_label_map,
)
from ..errors import SegmaskExportError, SegmaskImportError
from ..regions import Rle, Shape, paint
from ..rules import CvatLosses
from ..storage import Entry, FolderSink, FolderStorage, Hashes, Sink, SubsetLists, layout
from .common import log_left_out, place_of_entry


class ArchiveWriter:
    """Writes items as an archive: masks in the colours of ``label_map``, by which they count.

    The label map has a colour of its own for every label (`archive.with_own_colors`). Without
    ``writes_labels`` the file of the label map is left to whoever made the sink. An item of two
    subsets has its files once. The lists wait on the disk until `finish`; leave the context then.
    """

    def __init__(
        self,
        sink: Sink,
        label_map: LabelMap,
        *,
        mask_mode: str = COLOR,
        ignore_label: str | None = None,
        writes_labels: bool = True,
    ) -> None:
        self._sink = sink
        self._map = label_map
        self._encoder = MaskEncoder(label_map, mask_mode, ignore_label)
        self._lines = label_map_lines(self._encoder.label_map) if writes_labels else None
        self._lists = SubsetLists()
        self._seen = Hashes()
        self._losses = CvatLosses(label_map)
        self.left_out: Counter[str] = Counter()
        self.items = 0

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *details: object) -> None:
        self._lists.__exit__(*details)

    def add(self, entry: Entry, item: Item, image: bytes | None = None) -> None:
        """Write the masks of an item, and its image if it is given.

        Raises SegmaskExportError for an item that has no place beside those before it.
        """
        files = self._masks(item)
        self._losses.add_item(*entry, item)
        if image is not None and item.image is not None:
            suffix = layout.split_suffix(item.image)[1]
            files[layout.image(item.item_id, suffix)] = image
        self.add_files(entry, files)

    def add_files(self, entry: Entry, files: Mapping[str, bytes]) -> None:
        """Write the files of an item as they are, by their places. Raises as `add`."""
        item_id, subset = entry
        masks = [name for name in files if not name.startswith(layout.IMAGES)]
        problem = layout.problem_of_listed(item_id, bool(masks))
        problem = problem or layout.problem_of_new_subset(subset)
        if problem or "/" in subset:
            raise SegmaskExportError(
                f"its id or subset cannot be written: {problem or 'a list lies in its folder'}",
                place_of_entry(entry),
                "ids and subsets that can be file names and lines of a list",
                "rename it",
            )
        if self._is_new(entry, files):
            for name, data in files.items():
                self._sink.put(name, data)
            for folder in (layout.CLASS_MASKS, layout.INSTANCE_MASKS):
                for name in layout.mask_places(folder, item_id):
                    if name not in files:
                        self._sink.discard(name)
        self._lists.add(subset, layout.list_line(item_id, bool(masks)))
        self.items += 1

    def class_mask(self, item: Item) -> dict[str, bytes]:
        """Return the class mask of an item, drawn anew; it is blank without instances."""
        assert item.size is not None
        planes = paint(self._shapes(item), *item.size, self._encoder.background)
        return {layout.class_mask(item.item_id): self._encoder.labels(planes.labels)}

    def finish(self) -> None:
        """Write the lists, in the place of those of an earlier archive, and the label map."""
        for name in lists_in(self._sink.root) if isinstance(self._sink, FolderSink) else ():
            self._sink.discard(name)
        for name, lines in self._lists.texts().items():
            self._sink.put_lines(name, lines)
        if self._lines is not None:
            self._sink.put_lines(layout.LABEL_MAP, self._lines)

    def log_losses(self, *, for_cvat: bool) -> None:
        """Log once, with numbers, what was left out, and what CVAT will not read of it."""
        log_left_out(self.left_out)
        if for_cvat:
            self._losses.log()

    def _masks(self, item: Item) -> dict[str, bytes]:
        if not item.instances or item.size is None:
            return {}
        planes = paint(self._shapes(item), *item.size, self._encoder.background)
        masks = {}
        if item.has_labels:
            masks[layout.class_mask(item.item_id)] = self._encoder.labels(planes.labels)
        # An item of "stuff" alone gets no instance mask: beside an empty one, CVAT and Datumaro's
        # VOC plugin take no notice of the class mask.
        if planes.numbers.values.any():
            place = layout.instance_mask(item.item_id)
            masks[place] = self._encoder.numbers(planes.numbers, f"item {item.item_id!r}")
        return masks

    def _shapes(self, item: Item) -> list[Shape]:
        assert item.size is not None
        size, unknown = [*item.size], unknown_value(self._map)
        return [
            Shape(Rle(size, i.counts), unknown if i.is_unknown else i.label or 0, i.number)
            for i in item.instances
        ]

    def _is_new(self, entry: Entry, files: Mapping[str, bytes]) -> bool:
        """Tell whether the files of an item are still to be written: two subsets may share them."""
        item_id = entry[0]
        itself, listed = hash((item_id,)), hash(entry)
        content = hash((item_id, tuple(files.items())))
        known = itself in self._seen
        if known and (listed in self._seen or content not in self._seen):
            raise two_of_one_id(entry)
        for value in (itself, listed, content):
            self._seen.add(value)
        return not known


def usual_places(item: Item) -> dict[str, str]:
    """Return where each file of an item of an archive lies, by the name that an export gives it."""
    places = {}
    if item.class_mask is not None:
        places[layout.class_mask(item.item_id)] = item.class_mask
    if item.instance_mask is not None:
        places[layout.instance_mask(item.item_id)] = item.instance_mask
    if item.image is not None:
        suffix = layout.split_suffix(item.image)[1]
        places[layout.image(item.item_id, suffix)] = item.image
    return places


def two_of_one_id(entry: Entry) -> SegmaskExportError:
    """Make the error of an item whose place is taken by another one."""
    return SegmaskExportError(
        "there is another item of this id, with masks or a picture of its own",
        place_of_entry(entry),
        "an id of its own for every image",
        "rename one of them, or write the archives that they come from one by one",
    )


def lists_in(root: str) -> list[str]:
    """Return the places of the subset lists in a folder, without tables that lie among them."""
    storage, labels = FolderStorage(root), voc_label_map()
    with suppress(SegmaskImportError):
        labels = read_label_map(storage)
    return [layout.subset_list(name) for name in find_lists(storage, labels, lambda _: None)]
