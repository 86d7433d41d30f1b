"""From what a mask holds to what it means: class values to labels, instance colours to numbers.

Colours are looked up once a run, indices once a distinct value. Source: docs/format.md, section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from .. import colors
from ..arrays import IntArray
from ..errors import UndeclaredColorError
from ..png import MaskReader
from ..regions import NOTHING
from .labelmap import MAX_LABELS, LabelMap
from .undeclared import count_values, undeclared_error

_SHARED = -2  # a colour that the background shares with a label: see `resolve_shared`
UNKNOWN = -3
"""Stands for pixels of which the annotator did not say what they are, if these are kept apart."""
_UNDECLARED = -4

BY_COLOR, BY_INDEX = WAYS = ("by colour", "by index")
"""How the pixels of a class mask get their labels."""

_LAST_SHADE = 255


class ClassLookup:
    """Gives the pixels of class masks their labels.

    ``keep_background`` makes the background a label like any other. ``ignore_index`` is a value
    of gray masks (and of palette masks that are read by index) that means "no annotation".
    ``keep_unknown`` makes `UNKNOWN` of it, and of VOC's void, declared or not.
    """

    def __init__(
        self,
        label_map: LabelMap,
        keep_background: bool = False,
        ignore_index: int | None = None,
        keep_unknown: bool = False,
    ) -> None:
        self._map = label_map
        unknown = UNKNOWN if keep_unknown else NOTHING
        meanings = {
            colors.pack_one(colors.BLACK): NOTHING,
            colors.pack_one(colors.VOID): unknown,
        }
        by_index = {}
        background = label_map.background
        ground = None if background is None else label_map.labels[background].color
        self._ground = NOTHING if background is None or not keep_background else background
        self._shared = None
        for position, label in enumerate(label_map.labels):
            meaning = self._ground if position == background else position
            if keep_unknown and label.is_void:
                meaning = UNKNOWN
            by_index[label.index] = meaning
            # Of labels of one colour the last has the pixels, as in CVAT.
            if position == background:
                self._shared = None
            elif label.color == ground and position > (background or 0):
                self._shared, meaning = position, _SHARED
            meanings[colors.pack_one(label.color)] = meaning
        if ignore_index is not None:
            if not 0 <= ignore_index < MAX_LABELS:
                raise ValueError(
                    f"ignore_index is {ignore_index}, but the values of gray masks are from 0 to "
                    f"{MAX_LABELS - 1:,}"
                )
            by_index[ignore_index] = unknown
        self._colors = np.array(sorted(meanings), np.int64)
        known = [meanings[color] for color in sorted(meanings)]
        self._of_number = np.array([_UNDECLARED, *known], np.int64)
        self._of_index = np.full(max(by_index, default=0) + 1, _UNDECLARED, np.int64)
        self._of_index[list(by_index)] = list(by_index.values())

    def number_of(self, packed: IntArray) -> IntArray:
        """Return small numbers for packed colours: from 1 for those that are known, else 0.

        `labels_of` tells what they mean.
        """
        at = np.minimum(self._colors.searchsorted(packed), self._colors.size - 1)
        return np.where(self._colors[at] == packed, at + 1, 0)

    @property
    def ground(self) -> int:
        """What background pixels get: the position of the background if it is kept."""
        return self._ground

    @property
    def takes_black_for_ground(self) -> bool:
        """Whether black is background in masks in colour, and 0 is a label in gray ones."""
        black = int(self._by_color(np.zeros(1, np.int64))[0])
        return black in (self._ground, _SHARED) and int(self._of_index[0]) != self._ground

    def labels_of(self, values: IntArray, reader: MaskReader) -> tuple[IntArray, str] | None:
        """Return the positions of the labels for values that ``reader`` gave.

        `NOTHING` and `UNKNOWN` may be among them. And whether that went by colour or by index. None
        if the label map does not declare all of them. One that could not be read, and so has no
        labels, is not held against the masks.
        """
        if not self._map.labels:
            return np.full(values.shape, NOTHING), BY_COLOR
        header = reader.header
        ways: list[tuple[str, Callable[[IntArray], IntArray]]] = [(BY_COLOR, self._by_number)]
        if reader.palette is not None:
            packed = colors.pack(reader.palette)
            ways = [(BY_COLOR, partial(self._in_palette, packed)), (BY_INDEX, self._by_index)]
        elif not header.is_color:
            # Not all of v,v,v: a value past 8 bits is not a colour.
            shade = partial(self._by_shade, 255 // ((1 << min(header.depth, 8)) - 1))
            ways = [(BY_INDEX, self._by_index), (BY_COLOR, shade)]
        for way, labels_by in ways:
            labels = labels_by(values)
            if int(labels.min()) != _UNDECLARED:
                return labels, way
        return None

    def _by_number(self, numbers: IntArray) -> IntArray:
        return self._of_number[numbers]

    def _in_palette(self, palette: IntArray, values: IntArray) -> IntArray:
        return self._by_color(palette)[values]

    def _by_shade(self, scale: int, values: IntArray) -> IntArray:
        """By the colour v,v,v of the value v, as a viewer shows it."""
        shades = np.minimum(values * scale, _LAST_SHADE)
        labels = self._by_color(shades * 0x010101)
        return np.where(values * scale > _LAST_SHADE, _UNDECLARED, labels)

    def resolve_shared(self, labels: IntArray, numbers: IntArray) -> IntArray:
        """Return labels with those decided that take the instance mask to tell.

        Where a label has the colour of the background, its pixels are those of instances.
        """
        if self._shared is None:
            return labels
        settled = np.where(numbers > 0, self._shared, self._ground)
        return np.where(labels == _SHARED, settled, labels)

    def _by_color(self, packed: IntArray) -> IntArray:
        return self._of_number[self.number_of(packed)]

    def _by_index(self, values: IntArray) -> IntArray:
        at = np.minimum(values, self._of_index.size - 1)
        return np.where(values < self._of_index.size, self._of_index[at], _UNDECLARED)

    def colors_in(self, pixels: dict[int, int], reader: MaskReader) -> dict[int, int]:
        """Return by packed colours how many pixels there are, given by the values of ``reader``.

        The label map declares all of them. The mask is no gray one.
        """
        by_value = self._colors if reader.palette is None else colors.pack(reader.palette)
        first = 1 if reader.palette is None else 0
        by_color: Counter[int] = Counter()
        for value, count in pixels.items():
            by_color[int(by_value[value - first])] += count
        return dict(by_color)

    def error(self, data: bytes, where: str, max_pixels: int) -> UndeclaredColorError:
        """Read a class mask again, and return the error that says what is not declared in it."""
        totals, in_gray = count_values(data, where, max_pixels)
        values = np.array(list(totals), np.int64)
        meanings = self._by_index(values) if in_gray else self._by_color(values)
        bad = values[meanings == _UNDECLARED].tolist()
        return undeclared_error({n: totals[n] for n in bad}, in_gray, self._map, where, data)


def numbers_of(values: IntArray, reader: MaskReader) -> IntArray:
    """Return the instance numbers for values that ``reader`` gave of an instance mask.

    ``reader`` was made with `colors.color_to_number`, so colours are numbers already; a gray
    value is a number; an index of a palette stands for its colour.
    """
    if reader.palette is None:
        return values
    table = np.zeros(256, np.int64)
    table[: len(reader.palette)] = colors.color_to_number(colors.pack(reader.palette))
    return table[values]
