"""Counts of what is in an item, and in a subset."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...archive import Item, LabelMap

NO_LABEL = "(no label)"


@dataclass
class LabelCount:
    """Counts of a label: instances (with a number), items that have it, pixels."""

    instances: int = 0
    items: int = 0
    pixels: int = 0

    def merge(self, other: LabelCount) -> None:
        """Add the counts of other items."""
        self.instances += other.instances
        self.items += other.items
        self.pixels += other.pixels


@dataclass
class SubsetCount:
    """Counts of a subset. ``annotated``: items with masks; ``broken``: unreadable items."""

    items: int = 0
    annotated: int = 0
    images: int = 0
    broken: int = 0
    labels: dict[str, LabelCount] = field(default_factory=dict)

    def merge(self, other: SubsetCount) -> None:
        """Add the counts of other items."""
        self.items += other.items
        self.annotated += other.annotated
        self.images += other.images
        self.broken += other.broken
        for name, count in other.labels.items():
            self.labels.setdefault(name, LabelCount()).merge(count)

    def add(self, item: Item, label_map: LabelMap) -> None:
        """Count what is in an item that could be read."""
        self.annotated += bool(item.instances)
        self.images += item.image is not None
        of_item = set()
        for instance in item.instances:
            name = NO_LABEL if instance.label is None else label_map.labels[instance.label].name
            of_item.add(name)
            count = self.labels.setdefault(name, LabelCount())
            count.pixels += instance.area
            count.instances += instance.number > 0
        for name in of_item:
            self.labels[name].items += 1
