"""What CVAT will refuse or leave out of an export (docs/format.md, section 7)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..archive import LAST_SHARED, Item, LabelMap
from ..colors import VOID
from ..errors import as_typed, counted
from .cvat import is_thin
from .facts import is_skipped

log = logging.getLogger(__name__)


@dataclass
class CvatLosses:
    """Counts what CVAT will refuse or leave out of an export, for who is likely to upload it.

    ``highest`` is the largest instance number of an item. What is "stuff" counts where there are
    instances beside it.
    """

    label_map: LabelMap
    highest: int = 0
    _stuff: int = 0
    _thin: int = 0
    _unknown: int = 0
    _comments: int = 0
    _subsets: set[str] = field(default_factory=set)

    def add(
        self, item_id: str, subset: str, *, stuff: int = 0, thin: int = 0, unknown: int = 0
    ) -> None:
        """Count an item: its shapes that are stuff, those that are thin, its unknown pixels."""
        self._stuff += stuff
        self._unknown += unknown
        self._thin += thin
        self._comments += item_id.startswith("#")
        self._subsets.add(subset)

    def add_item(self, item_id: str, subset: str, item: Item) -> None:
        """Count an item of an archive or a table."""
        numbered = [instance for instance in item.instances if instance.number]
        unknown = sum(instance.area for instance in item.instances if instance.is_unknown)
        loose = [i for i in item.instances if not i.number and not i.is_unknown]
        stuff = len(loose) if numbered else 0
        thin = sum(is_thin(*instance.bbox[2:]) for instance in numbered)
        self.highest = max([self.highest, *(instance.number for instance in numbered)])
        self.add(item_id, subset, stuff=stuff, thin=thin, unknown=unknown)

    def log(self) -> None:
        """Log all losses in one warning, if there are any."""
        losses = "; ".join(self.lines())
        if losses:
            log.warning("CVAT will not read all of this: %s.", as_typed(losses))

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind of loss, with its number."""
        labels = self.label_map.labels
        colons = [label.name for label in labels if ":" in label.name]
        names = {label.name for label in labels}
        parts = [part for label in labels for part in label.parts if part in names]
        skipped = sorted(filter(is_skipped, self._subsets))
        if colons:
            yield (
                f"{counted(len(colons), 'label')} with a colon in the name, such as {colons[0]!r}, "
                "for which it refuses the archive"
            )
        if parts:
            yield (
                f"{counted(len(parts), 'part')} named as a label, such as {parts[0]!r}, for which "
                "it refuses the archive"
            )
        if self._stuff:
            yield (
                f"{counted(self._stuff, 'mask')} of stuff beside instances, which it leaves out "
                "(with number_stuff=True they are instances)"
            )
        if self._unknown and VOID not in {label.color for label in labels}:
            yield (
                f"{counted(self._unknown, 'pixel')} in the colour of VOC's void, which no label "
                "has and for which it refuses the archive"
            )
        if self._comments:
            yield f"{counted(self._comments, 'id')} that begin with '#', which are comments to it"
        if skipped:
            yield (
                f"{counted(len(skipped), 'subset')} with '_' in the name, or a dot before it, such "
                f"as {skipped[0]!r}, which it skips"
            )
        if len(labels) > LAST_SHARED + 1:
            yield f"{len(labels):,} labels, of which it can read {LAST_SHARED + 1}"
        if self.highest > LAST_SHARED:
            yield f"instance numbers up to {self.highest:,}, of which it can read {LAST_SHARED}"
        if self._thin:
            yield (
                f"{counted(self._thin, 'object')} of one or two pixels across, which vanish when "
                "it makes polygons of them (upload with conv_mask_to_poly=False)"
            )
