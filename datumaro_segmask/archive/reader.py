"""The one way to the items of an archive: who reads any is handed a `Reader`.

Where the files of an item lie, and what their pixels mean, is known here and below.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ..errors import SegmaskImportError
from ..png import MAX_PIXELS
from ..storage import Entry, Storage
from .class_lookup import ClassLookup
from .item import Item, Scan, read_item, scan_items
from .labelmap import LabelMap


class Reader:
    """Reads the items of one archive, and keeps none; can be pickled.

    ``keep_background`` makes the background a label like any other, ``ignore_index`` is a value of
    gray class masks that means "no annotation", ``max_pixels`` the largest mask that is read.
    ``keep_unknown`` makes a region of it, and of VOC's void, see `ClassLookup`. Raises ValueError
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
        """Read the masks of one item, and where its image is. Raises as `read_item`."""
        return read_item(self.storage, self.lookup, item_id, self.max_pixels)

    def scan(self, item_id: str) -> Scan:
        """Read the files of one item. Raises StoreError."""
        (scan,) = scan_items(self.storage, self.lookup, [item_id], self.max_pixels)
        return scan

    def entries(
        self, entries: Iterable[Entry]
    ) -> Iterator[tuple[Entry, Item | SegmaskImportError]]:
        """Yield each of these items, or the error of one that cannot be read.

        A store that does not answer is no fault of an item: StoreError is raised.
        """
        for entry, scan in self.scans(entries):
            yield entry, scan.item()

    def scans(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Scan]]:
        """Yield what the files of each of these items hold. Raises StoreError."""
        taken: deque[Entry] = deque()

        def ids() -> Iterator[str]:
            for entry in self.storage.prefetch(entries):
                taken.append(entry)
                yield entry[0]

        for scan in scan_items(self.storage, self.lookup, ids(), self.max_pixels):
            yield taken.popleft(), scan

    def image(self, item: Item) -> bytes | None:
        """Return the file of an item's image, None if it has none. Raises SegmaskImportError."""
        return None if item.image is None else self.storage.read(item.image)
