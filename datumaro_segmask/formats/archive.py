"""The archive itself, as a format to write: masks, pictures, subset lists, label map.

Instance numbers, masks in the three mask modes, the label map's text, and what CVAT will not read
of it all. Source: docs/format.md, sections 2 and 5.
"""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import NamedTuple

import numpy as np

from .. import colors
from ..archive import (
    Item,
    LabelMap,
    find_lists,
    parse_label_map,
    read_label_map,
    shared_colors,
    voc_label_map,
)
from ..arrays import IntArray
from ..errors import (
    EXPORT,
    LabelMapError,
    SegmaskExportError,
    SegmaskImportError,
    as_typed,
    check_options,
    counted,
)
from ..options import COLOR, INDEX, PALETTE, SegmaskExportOptions
from ..png import Plane, encode_gray, encode_palette, encode_rgb
from ..regions import Planes, Rle, Shape, paint
from ..rules import is_skipped, is_thin
from ..storage import Entry, Hashes, Sink, Storage, SubsetLists, layout
from .common import check_names, log_left_out, place_of_entry, unwritable

log = logging.getLogger(__name__)

ON_WINDOWS = os.name == "nt"
FOLDS_CASE = ON_WINDOWS or sys.platform == "darwin"
TWICE = "items that are there twice, with the same masks and image"

LAST_SHARED = 255
"""The last instance number that CVAT and Datumaro's VOC plugin can read."""
_SHOWN = 80  # characters of a name in messages
HEADER = "# label:color_rgb:parts:actions"
IGNORED = 255
"""The value of the ``ignore_label`` in index masks, as training code expects it."""
_LAST_GRAY = (1 << 16) - 1


class Standing(Enum):
    """How an item stands beside those before it."""

    NEW = auto()
    SHARED = auto()  # another subset has it, too: its files are written, but it is to be listed
    AGAIN = auto()  # its subset has it, just so


class ArchiveWriter:
    """Writes items as an archive: masks in the colours of ``label_map``, by which they count.

    The label map has a colour of its own for every label (`archive.with_own_colors`). Items go to
    the sink of `into`, and to that of the next when one archive is finished: an id has one place in
    all of them. What does not show is counted in `left_out`, and in `losses` what CVAT will not
    read. Raises SegmaskExportError as `MaskEncoder` and `label_map_lines`.
    """

    def __init__(
        self, label_map: LabelMap, *, mask_mode: str = COLOR, ignore_label: str | None = None
    ) -> None:
        self.encoder = MaskEncoder(label_map, mask_mode, ignore_label)
        self._label_lines = label_map_lines(self.encoder.label_map)
        self._ids, self._looks, self._seen = Hashes(), Hashes(), Hashes()
        self._warned = self._warned_of_many = False
        self.left_out: Counter[str] = Counter()
        self.losses = CvatLosses(label_map)
        self.items = 0

    def into(self, sink: Sink) -> None:
        """Write to this sink, with lists of its own, which wait on the disk until `finish`."""
        folders, there = (layout.CLASS_MASKS, layout.INSTANCE_MASKS), sink.there
        # Most exports go to where no mask is, and then there is none to be removed.
        self._with_masks = [f for f in folders if there is not None and any(there.files(f))]
        self._lists = SubsetLists()
        self._sink = sink

    def add(self, entry: Entry, item: Item) -> None:
        """Write the masks of an item. Raises as `check`."""
        files: dict[str, bytes] = {}
        if item.instances and item.size is not None:
            files, highest = self.encoder.draw(entry, self.encoder.planes(item), item.has_labels)
            self.note_highest(entry, highest)
        self.losses.add_item(entry, item)
        self.add_files(entry, files)

    def add_files(self, entry: Entry, files: Mapping[str, bytes]) -> None:
        """Write the files of an item as they are, by their places. Raises as `check`."""
        has_masks = any(not name.startswith(layout.IMAGES) for name in files)
        standing = self.check(entry, has_masks, tuple(files.items()))
        if standing is Standing.NEW:
            for name, data in files.items():
                self._sink.put(name, data)
            self.discard_masks(entry[0], but=files)
        if standing is not Standing.AGAIN:
            self.list_item(entry, has_masks)

    def note_highest(self, entry: Entry, number: int) -> None:
        """Take note of the largest instance number of an item, and warn once of a large one."""
        self.losses.highest = max(self.losses.highest, number)
        if number > LAST_SHARED and not self._warned_of_many:
            self._warned_of_many = True
            log.warning(
                "%s has the instance number %d. All are kept, but CVAT and the VOC formats of "
                "Datumaro cannot read files with numbers past %d. This is reported once.",
                place_of_entry(entry),
                number,
                LAST_SHARED,
            )

    def check(self, entry: Entry, has_masks: bool, content: Hashable) -> Standing:
        """Return how an item stands beside those before it.

        The same id in two subsets means the same files, so their ``content`` must be the same.
        Raises SegmaskExportError for an item that has no place.
        """
        item_id = entry[0]
        problem = layout.problem_of_listed(item_id, has_masks)
        check_names(entry, problem, "a list is directly in its folder")
        itself, listed, whole = hash(item_id), hash(entry), hash((item_id, (content,)))
        is_new = itself not in self._ids
        self._check_elsewhere(entry, is_new)
        if not is_new and whole not in self._seen:
            raise two_of_one_id(entry, "its" if listed in self._seen else "another")
        if listed in self._seen:
            self.left_out[TWICE] += 1
            return Standing.AGAIN
        self._ids.add(itself)
        self._seen.add(listed)
        self._seen.add(whole)
        return Standing.NEW if is_new else Standing.SHARED

    def has_listed(self, entry: Entry) -> bool:
        """Return whether an item was checked, and had its place."""
        return hash(entry) in self._seen

    def list_item(self, entry: Entry, has_masks: bool) -> None:
        """Name an item in the list of its subset."""
        self._lists.add(entry[1], layout.list_line(entry[0], has_masks))
        self.items += 1

    def declare_list(self, subset: str) -> None:
        """Let a subset have a list, even if it names no item."""
        self._lists.declare(subset)

    def discard_masks(self, item_id: str, but: Collection[str] = ()) -> None:
        """Remove what masks an item has there, however their names are written, ``but`` these."""
        for folder in self._with_masks:
            for name in layout.mask_places(folder, item_id):
                if name not in but:
                    self._sink.discard(name)

    def finish(self, *, labels: bool = True) -> None:
        """Write the lists, in the place of those that are there, and the label map if wanted."""
        for name in () if self._sink.there is None else lists_in(self._sink.there):
            self._sink.discard(name)
        for name, lines in self._lists.texts().items():
            self._sink.put_lines(name, lines)
        if labels:
            self._sink.put_lines(layout.LABEL_MAP, self._label_lines)

    def log_losses(self, *, for_cvat: bool) -> None:
        """Log once, with numbers, what was left out, and what CVAT will not read of it."""
        log_left_out(self.left_out)
        if for_cvat:
            self.losses.log()

    def _check_elsewhere(self, entry: Entry, is_new: bool) -> None:
        """Refuse ids that cannot be files on this system, and warn of those of other systems."""
        item_id = entry[0]
        problem, is_here = "", ON_WINDOWS
        if not layout.is_for_windows(f"{item_id}{layout.MASK_SUFFIX}"):
            problem = "Windows cannot have a file of this name"
        # Windows and macOS take names for one that differ in case or in how accents are encoded.
        look = unicodedata.normalize("NFC", item_id).casefold()
        # Of an id that looks as it is written, which most do, the id itself is note enough.
        is_plain, look_hash = look == item_id, hash(look)
        if is_new and (look_hash in self._looks or (not is_plain and look_hash in self._ids)):
            problem = "Windows and macOS take it for the file of an id that looks the same"
            is_here = FOLDS_CASE
        if not is_plain:
            self._looks.add(look_hash)
        if problem and is_here:
            raise unwritable("id", problem, entry)
        if problem and not self._warned:
            self._warned = True
            log.warning(
                "%s: %s. It is written, but rename it before the dataset moves there. This is "
                "reported once; other ids may have the same problem.",
                place_of_entry(entry),
                problem,
            )


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


def two_of_one_id(entry: Entry, whose: str) -> SegmaskExportError:
    """Make the error of an item whose place is taken; ``whose`` subset has the other one."""
    return SegmaskExportError(
        f"{whose} subset has an item of this id with other masks or another image, and both have "
        "the same place",
        place_of_entry(entry),
        "a different id for every image",
        "rename one of them, for instance with 'datum transform -t rename', or write them to "
        "archives of their own",
    )


def lists_in(storage: Storage) -> list[str]:
    """Return the places of the subset lists of an archive, without tables that lie among them."""
    labels = voc_label_map()
    with suppress(SegmaskImportError):
        labels = read_label_map(storage)
    return [layout.subset_list(name) for name in find_lists(storage, labels, lambda _: None)]


def unknown_value(label_map: LabelMap) -> int:
    """Return the value of pixels, that are unknown, in a plane of labels."""
    return len(label_map.labels) + 1


@dataclass(frozen=True, slots=True)
class Member:
    """What decides about the number of one shape.

    ``group`` is 0 for a shape on its own. ``is_stuff`` tells masks that an import made of pixels
    without an instance.
    """

    group: int
    is_stuff: bool = False


def instance_numbers(members: Sequence[Member]) -> list[int]:
    """Return the instance number of each shape of an item, given in paint order; 0 for none.

    Shapes of one group are one instance, and a shape without group is one of its own, but "stuff"
    gets no number: CVAT refuses or loses class pixels without an instance.

    The groups themselves are the numbers where all numbers then fit in 1 to 255, and shapes
    without group take those that are left; otherwise the instances count from 1 in paint order.
    """
    keys: list[Hashable] = [
        None if member.is_stuff and not member.group else member.group or ("loose", i)
        for i, member in enumerate(members)
    ]
    instances = dict.fromkeys(key for key in keys if key is not None)
    groups = {key for key in instances if isinstance(key, int)}
    if len(instances) <= LAST_SHARED and all(0 < group <= LAST_SHARED for group in groups):
        left = (number for number in range(1, LAST_SHARED + 1) if number not in groups)
        numbers = {key: key if isinstance(key, int) else next(left) for key in instances}
    else:
        numbers = {key: i for i, key in enumerate(instances, 1)}
    return [0 if key is None else numbers[key] for key in keys]


class Masks(NamedTuple):
    """The masks of an item by their places; ``highest``: its largest instance number."""

    files: dict[str, bytes]
    highest: int = 0


class MaskEncoder:
    """Makes the mask files of one export, each of nothing but its item; can be pickled.

    Values of the class mask are positions in the label map, `background` where no shape is, and
    `unknown_value` for what is unknown, which becomes VOC's void, and 255 in index masks.
    `label_map` is what to write beside the masks: with ``ignore_label`` that label comes last,
    so that the values of all others are their lines.

    Raises SegmaskExportError for an unknown mode or ``ignore_label``, or a label map that the
    mode cannot show.
    """

    def __init__(self, label_map: LabelMap, mask_mode: str, ignore_label: str | None) -> None:
        self._mode = mask_mode
        self._map = label_map
        count = len(label_map.labels)
        # Without a background label, unpainted pixels are black and belong to none.
        self.background = count if label_map.background is None else label_map.background
        palette = [label.color for label in label_map.labels] + [(0, 0, 0), colors.VOID]
        self._palette = np.array(palette, np.uint8)
        self._last = max(count - 1, self.background)
        self._check_mode()
        self._values = np.arange(len(self._palette))
        self._values[unknown_value(label_map)] = IGNORED
        self._has_label_of_255 = ignore_label is None and count > IGNORED
        self.label_map = label_map
        if ignore_label is not None:
            ignored = self._ignored(ignore_label)
            self._values[ignored:count] -= 1
            self._values[ignored] = IGNORED
            labels = label_map.labels
            labels = (*labels[:ignored], *labels[ignored + 1 :], labels[ignored])
            self.label_map = replace(
                label_map, labels=tuple(replace(old, index=i) for i, old in enumerate(labels))
            )

    def _check_mode(self) -> None:
        check_options(SegmaskExportOptions, {"mask_mode": self._mode}, EXPORT)
        if self._mode == INDEX and self._map.background is None:
            raise SegmaskExportError(
                "no label is the background, so pixels without annotation have no value",
                self._map.where,
                "a label 'background' for the mask mode 'index'",
                "add the line 'background:0,0,0::' to the label map",
            )

    def _ignored(self, name: str) -> int:
        position = self._map.position(name)
        if position is None or self._mode != INDEX:
            raise SegmaskExportError(
                f"the option ignore_label is {name!r}"
                + (" but the masks hold colours" if position is not None else ""),
                "the export",
                f"the name of a label of {self._map.where}, and the mask mode 'index'",
                "check the name and the mask mode",
            )
        if len(self._map.labels) > IGNORED + 1:
            raise SegmaskExportError(
                f"the value {IGNORED} is the index of a label, so {name!r} cannot have it",
                self._map.where,
                f"at most {IGNORED} labels beside the one that is ignored",
                "leave the option ignore_label out",
            )
        return position

    def draw(
        self, entry: Entry, planes: Planes, has_labels: bool = True, *, is_blank: bool = False
    ) -> Masks:
        """Return the masks of an item.

        An item of "stuff" alone gets no instance mask: beside an empty one, CVAT and Datumaro's VOC
        plugin take no notice of the class mask. One that ``is_blank`` on purpose gets both.
        """
        masks = {}
        if has_labels:
            masks[layout.class_mask(entry[0])] = self.labels(planes.labels)
        highest = int(planes.numbers.values.max())
        if highest or is_blank:
            place = layout.instance_mask(entry[0])
            masks[place] = self.numbers(planes.numbers, place_of_entry(entry))
        return Masks(masks, highest)

    def class_mask(self, item: Item) -> dict[str, bytes]:
        """Return the class mask of an item, drawn again; it is blank without instances."""
        return {layout.class_mask(item.item_id): self.labels(self.planes(item).labels)}

    def planes(self, item: Item) -> Planes:
        """Paint an item of an archive, whose size is known."""
        assert item.size is not None
        size, unknown = [*item.size], unknown_value(self._map)
        shapes = [
            Shape(Rle(size, i.counts), unknown if i.is_unknown else i.label or 0, i.number)
            for i in item.instances
        ]
        return paint(shapes, *item.size, self.background)

    def labels(self, plane: Plane) -> bytes:
        """Return the class mask as a PNG."""
        last = max(self._last, int(plane.values.max()))
        if self._mode == INDEX:
            if last == unknown_value(self._map) and self._has_label_of_255:
                raise SegmaskExportError(
                    f"the value {IGNORED} is the index of a label, so what is unknown cannot have "
                    "it",
                    self._map.where,
                    f"at most {IGNORED} labels beside what is unknown",
                    "leave the option unknown of the import out, or use another mask mode",
                )
            bits = 8 if int(self._values[: self._last + 1].max()) <= IGNORED else 16
            return encode_gray(Plane(plane.changes, self._values[plane.values]), bits)
        if self._mode == PALETTE and last < 256:
            return encode_palette(plane, self._palette[:256])
        return encode_rgb(plane, self._color_of)

    def numbers(self, plane: Plane, where: str) -> bytes:
        """Return the instance mask as a PNG; ``where`` names the item in messages."""
        last = int(plane.values.max())
        if self._mode == INDEX:
            if last > _LAST_GRAY:
                raise SegmaskExportError(
                    f"it has {last:,} instances",
                    where,
                    f"at most {_LAST_GRAY:,} in gray masks",
                    "use the mask mode 'color'",
                )
            return encode_gray(plane, 8 if last <= LAST_SHARED else 16)
        if self._mode == PALETTE and last <= LAST_SHARED:
            return encode_palette(plane, _INSTANCE_PALETTE)
        return encode_rgb(plane, colors.number_to_color)

    def _color_of(self, values: IntArray) -> IntArray:
        return colors.pack(self._palette)[values]


_INSTANCE_PALETTE = np.array([colors.voc_color(number) for number in range(256)], np.uint8)


def check_colors(label_map: LabelMap) -> None:
    """Raise LabelMapError for labels whose colours are not different."""
    for first, label in shared_colors(label_map):
        raise LabelMapError(
            f"the colour {colors.text_of(label.color)} of {label.name[:_SHOWN]!r} is also that of "
            f"{first.name[:_SHOWN]!r} (line {first.line})",
            f"{label_map.where}:{label.line}",
            "a colour of its own for every label, or their pixels cannot be told apart",
            "give one of them another colour",
            kind="duplicate-color",
        )


def format_label_map(label_map: LabelMap) -> str:
    """Return the text of a label map, see `label_map_lines`."""
    return "\n".join(label_map_lines(label_map)) + "\n"


def label_map_lines(label_map: LabelMap) -> list[str]:
    """Return the lines of a label map as CVAT writes it, colours and all, in the labels' order.

    Raises SegmaskExportError for a label whose name or fields the format cannot hold: what is
    written is parsed again and compared.
    """
    lines = [HEADER]
    for label in label_map.labels:
        line = label.as_line
        try:
            again = parse_label_map(line, layout.LABEL_MAP).labels[0]
        except LabelMapError:
            again = None
        if again is None or replace(again, index=label.index) != label:
            raise SegmaskExportError(
                f"the label {label.name!r} cannot be written as a line ({line!r})",
                label_map.where,
                "names, parts and actions without line breaks, a '#' at the beginning or after a "
                "space, or white space around them",
                "rename the label",
            )
        lines.append(line)
    return lines


@dataclass
class CvatLosses:
    """Counts what CVAT will refuse or leave out of an export (docs/format.md, section 7).

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

    def add(self, entry: Entry, *, stuff: int = 0, thin: int = 0, unknown: int = 0) -> None:
        """Count an item: its shapes that are stuff, those that are thin, its unknown pixels."""
        item_id, subset = entry
        self._stuff += stuff
        self._unknown += unknown
        self._thin += thin
        self._comments += item_id.startswith("#")
        self._subsets.add(subset)

    def add_item(self, entry: Entry, item: Item) -> None:
        """Count an item of an archive or a table."""
        numbered = [instance for instance in item.instances if instance.number]
        unknown = sum(instance.area for instance in item.instances if instance.is_unknown)
        loose = [i for i in item.instances if not i.number and not i.is_unknown]
        thin = sum(is_thin(*i.bbox[2:]) for i in numbered)
        self.add(entry, stuff=len(loose) if numbered else 0, thin=thin, unknown=unknown)

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
        if self._unknown and colors.VOID not in {label.color for label in labels}:
            yield (
                f"{counted(self._unknown, 'pixel')} in the colour of VOC's void, which no label "
                "has and for which it refuses the archive"
            )
        if self._comments:
            yield f"{counted(self._comments, 'id')} with '#' at the beginning, a comment to CVAT"
        if skipped:
            yield (
                f"{counted(len(skipped), 'subset')} with '_' in the name, or a dot at its "
                f"beginning, such as {skipped[0]!r}, which it skips"
            )
        if len(labels) > LAST_SHARED + 1:
            yield f"{len(labels):,} labels, of which it can read {LAST_SHARED + 1}"
        if self.highest > LAST_SHARED:
            yield f"instance numbers up to {self.highest:,}, of which it can read {LAST_SHARED}"
        if self._thin:
            yield (
                f"{counted(self._thin, 'object')} one or two pixels thin, which vanish when it "
                "turns them into polygons (upload with conv_mask_to_poly=False)"
            )
