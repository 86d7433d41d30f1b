"""The mask files of an item: planes to PNG in the three mask modes (docs/format.md, section 5)."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from .. import colors
from ..arrays import IntArray
from ..errors import SegmaskExportError
from ..png import Plane, encode_gray, encode_palette, encode_rgb
from .labelmap import LabelMap
from .numbering import LAST_SHARED

log = logging.getLogger(__name__)

COLOR, PALETTE, INDEX = MASK_MODES = ("color", "palette", "index")
IGNORED = 255
"""The value of the ``ignore_label`` in index masks, as training code expects it."""
_LAST_GRAY = (1 << 16) - 1


class MaskEncoder:
    """Makes the mask files of one export.

    Values of the class mask are positions in the label map, and `background` where no shape is.
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
        palette = [label.color for label in label_map.labels] + [(0, 0, 0)]
        self._palette = np.array(palette[: max(count, self.background + 1)], np.uint8)
        self._check_mode()
        self._values = np.arange(len(self._palette))
        self.label_map = label_map
        if ignore_label is not None:
            ignored = self._ignored(ignore_label)
            self._values[ignored:] -= 1
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
        if self._mode == INDEX:
            bits = 8 if int(self._values.max()) <= IGNORED else 16
            return encode_gray(Plane(plane.changes, self._values[plane.values]), bits)
        if self._mode == PALETTE and len(self._palette) <= 256:
            return encode_palette(plane, self._palette)
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
