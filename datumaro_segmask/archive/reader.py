"""The only way to the items of an archive: whoever reads items gets a `Reader`.

Where the files of an item are, and what their pixels mean, is known here and below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import Report, SegmaskImportError, StoreError, stop
from ..png import MAX_PIXELS
from ..storage import Entry, Storage
from .class_lookup import ClassLookup
from .item import Item, Scan, read_item, scan_item
from .labelmap import LabelMap


class Reader:
    """Reads the items of one archive, one at a time, and keeps none. It can be pickled.

    ``keep_background``: the background is a label like any other. ``ignore_index``: a value of gray
    class masks that means "no annotation". ``keep_unknown``: make a region of these pixels and of
    VOC's void, see `ClassLookup`. ``max_pixels``: the largest mask that is read. Raises ValueError
    for an ``ignore_index`` that no mask can have.
    """

    def __init__(
        self,
        storage: Storage,
        label_map: LabelMap,
        *,
        keep_background: bool = False,
        ignore_index: int | None = None,
        keep_unknown: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.storage = storage
        self.label_map = label_map
        self.lookup = ClassLookup(label_map, keep_background, ignore_index, keep_unknown)
        self.max_pixels = max_pixels

    def read(self, item_id: str) -> Item:
        """Read the masks of one item, and find its image. Raises like `read_item`."""
        return read_item(self.storage, self.lookup, item_id, self.max_pixels)

    def scan(self, item_id: str, report: Report = stop) -> Scan:
        """Read the files of one item, each once. What is wrong with them goes to ``report``."""
        return scan_item(self.storage, self.lookup, item_id, self.max_pixels, report)

    def entries(
        self, entries: Iterable[Entry]
    ) -> Iterator[tuple[Entry, Item | SegmaskImportError]]:
        """Yield each of these items, or the error of an item that cannot be read.

        Raises StoreError if a store does not answer, because that is not a fault of the item.
        """
        for entry in self.storage.prefetch(entries):
            try:
                item = self.read(entry[0])
            except StoreError:
                raise
            except SegmaskImportError as error:
                yield entry, error
            else:
                yield entry, item

    def image(self, item: Item) -> bytes | None:
        """Return the file of an item's image, None if it has none. Raises SegmaskImportError."""
        return None if item.image is None else self.storage.read(item.image)
