"""What the rules look at: an archive, an item, all of its items; made of what `archive` reads."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..archive import (
    MAX_LIST_BYTES,
    WAYS,
    Archive,
    Item,
    LabelMap,
    Reader,
    Scan,
    lines_of,
)
from ..arrays import IntArray, sums_by_value
from ..storage import Storage, layout

OTHER_TASKS = ("Main", "Layout", "Action")
"""The folders beside ``ImageSets/Segmentation`` whose lists VOC, and so CVAT, reads as well."""


class OtherList(NamedTuple):
    """A list of one of `OTHER_TASKS`, and the ids that CVAT reads in it, with their lines."""

    task: str
    place: str
    subset: str
    ids: Sequence[tuple[int, str]]


def is_skipped(subset: str) -> bool:
    """Return whether CVAT passes over the list of a subset for its name."""
    return "_" in subset or subset.startswith(".")


@dataclass(frozen=True)
class LabelFacts:
    """A label map alone."""

    label_map: LabelMap


@dataclass(frozen=True)
class ArchiveFacts:
    """An archive that is open. ``path`` is what was given; ``for_cvat`` tells who judges."""

    archive: Archive
    path: str = ""
    for_cvat: bool = False

    @property
    def storage(self) -> Storage:
        return self.archive.storage

    @property
    def label_map(self) -> LabelMap:
        return self.archive.label_map

    @property
    def subsets(self) -> Mapping[str, Collection[str]]:
        return self.archive.subsets

    @cached_property
    def label_text(self) -> str | None:
        """The text of the label map, byte-order mark and all, None where there is none."""
        if not self.storage.exists(layout.LABEL_MAP):
            return None
        return self.storage.read(layout.LABEL_MAP).decode("utf-8", "replace")

    @cached_property
    def label_lines(self) -> Mapping[int, str]:
        """The lines of the label map by their numbers, from 1."""
        return dict(enumerate(map(str.strip, lines_of(self.label_text or "")), 1))

    @cached_property
    def own_lists(self) -> list[str]:
        """The subsets with a list in ``ImageSets/Segmentation``, whether CVAT reads it or not."""
        subsets = map(layout.subset_of, self.storage.files(layout.SUBSETS))
        return sorted(subset for subset in subsets if subset)

    @cached_property
    def other_lists(self) -> list[OtherList]:
        """The lists of VOC's other tasks that CVAT reads."""
        return list(self._other_lists())

    def _other_lists(self) -> Iterator[OtherList]:
        for task in OTHER_TASKS:
            folder = f"ImageSets/{task}"
            for place in sorted(self.storage.files(folder)):
                name = place.removeprefix(f"{folder}/")
                subset = name.removesuffix(layout.LIST_SUFFIX)
                if name != subset and "/" not in name and not is_skipped(name):
                    yield OtherList(task, place, subset, list(self._ids_in(task, place)))

    def _ids_in(self, task: str, place: str) -> Iterator[tuple[int, str]]:
        for number, line in self.lines_in(place):
            text = line.strip()
            if text and not text.startswith("#"):
                if task == "Layout":  # whose lines are an id, which may be quoted, and a number
                    quoted = text.split('"')
                    text = quoted[1] if len(quoted) == 3 else text.split()[0]
                yield number, text

    def lines_in(self, place: str) -> Iterator[tuple[int, str]]:
        """Yield the number and the text of each line of a list."""
        with self.storage.open(place, MAX_LIST_BYTES) as file:
            yield from enumerate(io.TextIOWrapper(file, "utf-8", "replace"), 1)


@dataclass(frozen=True)
class ItemFacts:
    """An item that can be read: the pixels of its files, and what an import makes of them."""

    scan: Scan
    item: Item
    reader: Reader
    for_cvat: bool = False

    @property
    def label_map(self) -> LabelMap:
        return self.reader.label_map

    @property
    def storage(self) -> Storage:
        return self.reader.storage

    @property
    def item_id(self) -> str:
        return self.scan.item_id

    @property
    def sees_numbers(self) -> bool:
        """Whether there is an instance mask that CVAT finds, letter by letter."""
        return self.scan.has_numbers and self.scan.instance_mask == self.scan.usual_places[1]

    @cached_property
    def pairs(self) -> list[tuple[int, int | None, int]]:
        """Instance number, position of the label (or None), and how many pixels have both."""
        scan = self.scan
        return list(scan.pixels_of_pairs()) if scan.has_labels or scan.has_numbers else []

    @cached_property
    def values_that_count(self) -> dict[int, int]:
        """How many pixels have each value of the class mask, of those that CVAT looks at.

        Beside an instance mask these are the pixels of instances alone.
        """
        scan = self.scan
        if scan.runs is None:
            return {}
        counts: IntArray = scan.runs.end - scan.runs.begin
        values: IntArray = np.asarray(scan.runs.values[0])
        if scan.has_numbers:
            values, counts = values[scan.numbers > 0], counts[scan.numbers > 0]
        found, pixels = sums_by_value(values, counts)
        return dict(zip(found.tolist(), pixels.tolist(), strict=True))


@dataclass(frozen=True)
class WholeFacts:
    """What is known when all items have been read.

    ``ways`` has, by how class masks were read (`archive.WAYS`), their places. ``lacks_images``
    tells whether items that could be read have none. ``used_labels`` are those that masks have.
    """

    of_archive: ArchiveFacts | None = None
    ways: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict.fromkeys(WAYS, ()))
    lacks_images: bool = False
    used_labels: Collection[str] = ()
