"""What an export writes: instance numbers, masks in the three mask modes, the label map's text.

Source: docs/format.md, sections 2 and 5.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import colors
from ..arrays import IntArray
from ..errors import LabelMapError, SegmaskExportError
from ..png import Plane, encode_gray, encode_palette, encode_rgb
from ..storage import LABEL_MAP
from .labelmap import LabelMap, parse_label_map, shared_colors, show_color

log = logging.getLogger(__name__)

LAST_SHARED = 255
"""The last instance number that CVAT and Datumaro's VOC plugin can read."""
_SHOWN = 80  # characters of a name in messages
HEADER = "# label:color_rgb:parts:actions"
COLOR, PALETTE, INDEX = "color", "palette", "index"
MASK_MODES = {
    COLOR: "RGB, as CVAT writes",
    PALETTE: "the same colours, smaller",
    INDEX: "gray, the value is the label's line in labelmap.txt, for training",
}
IGNORED = 255
"""The value of the ``ignore_label`` in index masks, as training code expects it."""
_LAST_GRAY = (1 << 16) - 1


def unknown_value(label_map: LabelMap) -> int:
    """Return the value of pixels, in a plane of labels, of which nobody said what they are."""
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


class MaskEncoder:
    """Makes the mask files of one export.

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
        self._warned = False
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
        if self._mode not in MASK_MODES:
            raise SegmaskExportError(
                f"the option mask_mode is {self._mode!r}",
                "the export",
                f"one of {', '.join(MASK_MODES)}",
                "choose one of them",
            )
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
        if last > LAST_SHARED:
            self._warn_of_many(last, where)
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

    def _warn_of_many(self, last: int, where: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "%s has the instance number %d. All are kept, but CVAT and the VOC formats of "
                "Datumaro cannot read files with numbers past %d. This is said once.",
                where,
                last,
                LAST_SHARED,
            )


_INSTANCE_PALETTE = np.array([colors.voc_color(number) for number in range(256)], np.uint8)


def check_colors(label_map: LabelMap) -> None:
    """Raise LabelMapError for labels that masks in colour could not tell apart."""
    for first, label in shared_colors(label_map):
        raise LabelMapError(
            f"the colour {show_color(label.color)} of {label.name[:_SHOWN]!r} is also that of "
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
        fields = label.name, show_color(label.color), ",".join(label.parts), ",".join(label.actions)
        line = ":".join(fields)
        try:
            again = parse_label_map(line, LABEL_MAP).labels[0]
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
