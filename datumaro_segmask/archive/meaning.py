"""From what a mask holds to what it means: class values to labels, instance colours to numbers.

Colours are looked up once a run, indices once a distinct value. Source: docs/format.md, section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from .. import colors
from ..arrays import IntArray
from ..errors import MaskLimitError, UndeclaredColorError, counted
from ..png import MaskReader
from .labelmap import MAX_LABELS, LabelMap

NOTHING = -1
"""Stands for pixels that are no annotation, where otherwise the position of a label stands."""
_UNDECLARED = -2

MAX_VALUES = 1 << 19
"""Values of one mask that are counted to say which are not declared."""
_SHOWN = 5  # colours that a message lists
_SMOOTH = 32  # as many colours come from smoothing, not from a forgotten line
_BINARY = 255  # what marks the objects of a binary mask, or pixels without a label
_NEAREST = 2  # declared colours named beside each of them


class ClassLookup:
    """Gives the pixels of class masks their labels.

    ``keep_background`` makes the background a label like any other. ``ignore_index`` is a value
    of gray masks (and of palette masks that are read by index) that means "no annotation".
    """

    def __init__(
        self, label_map: LabelMap, keep_background: bool = False, ignore_index: int | None = None
    ) -> None:
        self._map = label_map
        meanings = {
            colors.BLACK: NOTHING,
            int(colors.pack(np.array(colors.VOID))): NOTHING,
        }
        by_index = {}
        for position, label in enumerate(label_map.labels):
            is_nothing = position == label_map.background and not keep_background
            meaning = NOTHING if is_nothing else position
            meanings[int(colors.pack(np.array(label.color)))] = meaning
            by_index[label.index] = meaning
        if ignore_index is not None:
            if not 0 <= ignore_index < MAX_LABELS:
                raise ValueError(
                    f"ignore_index is {ignore_index}, but the values of gray masks go from 0 to "
                    f"{MAX_LABELS - 1:,}"
                )
            by_index[ignore_index] = NOTHING
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

    def labels_of(self, values: IntArray, reader: MaskReader) -> IntArray | None:
        """Return the positions of the labels (or `NOTHING`) for values that ``reader`` gave.

        None if the label map does not declare all of them. One that could not be read, and so has
        no labels, is not held against the masks.
        """
        if not self._map.labels:
            return np.full(values.shape, NOTHING)
        if reader.header.is_color:
            labels = self._of_number[values]
        elif reader.palette is None:
            labels = self._by_index(values)
        else:
            labels = self._of_palette(values, colors.pack(reader.palette))
        return labels if int(labels.min()) != _UNDECLARED else None

    def _of_palette(self, values: IntArray, palette: IntArray) -> IntArray:
        """By palette colour if all colours in use are declared, else by index."""
        used = np.bincount(values).nonzero()[0]
        table = np.full(256, _UNDECLARED, np.int64)
        table[: len(palette)] = self._by_color(palette)
        if (table[used] == _UNDECLARED).any():
            table = self._by_index(np.arange(256))
        return table[values]

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
        """Read a class mask again, and return the error that says what is not declared in it.

        Most pixels first. Indices of a palette count by their colours.
        """
        totals, is_gray = count_values(data, where, max_pixels)
        values = np.array(list(totals), np.int64)
        meanings = self._by_index(values) if is_gray else self._by_color(values)
        bad = values[meanings == _UNDECLARED].tolist()
        found = sorted(((value, totals[value]) for value in bad), key=lambda pair: -pair[1])
        error = (
            self._error_of_values(found, where) if is_gray else self._error_of_colors(found, where)
        )
        error.undeclared = found
        return error

    def _error_of_colors(self, found: list[tuple[int, int]], where: str) -> UndeclaredColorError:
        shown = [
            f"{colors.show(value)} ({counted(pixels, 'pixel')}; nearest: {self.nearest(value)})"
            for value, pixels in found[:_SHOWN]
        ]
        return UndeclaredColorError(
            f"{counted(len(found), 'colour')} of the mask {_is(found)} not in the label map: "
            + _listed(shown, len(found)),
            where,
            f"only the {len(self._map.labels)} colours of {self._map.where}",
            remedy_of_color(found[0][0], len(found)),
        )

    def _error_of_values(self, found: list[tuple[int, int]], where: str) -> UndeclaredColorError:
        shown = [f"{value} ({counted(pixels, 'pixel')})" for value, pixels in found[:_SHOWN]]
        last = max(label.index for label in self._map.labels)
        is_binary = any(value == _BINARY for value, _ in found)
        return UndeclaredColorError(
            f"{counted(len(found), 'value')} of the gray mask {_is(found)} no line of the label "
            f"map: " + _listed(shown, len(found)),
            where,
            f"the index of a line of {self._map.where}, from 0 to {last}",
            remedy_of_value(_BINARY if is_binary else found[0][0]),
            kind="undeclared-value",
        )

    def nearest(self, packed: int) -> str:
        """Name the declared colours that come nearest to a packed one, the nearest first."""
        color = colors.unpack(packed)
        ranked = sorted(
            (label for label in self._map.labels if not label.is_stand_in),
            key=lambda label: sum((a - b) ** 2 for a, b in zip(label.color, color, strict=True)),
        )
        return ", ".join(
            f"{label.name} {','.join(map(str, label.color))}" for label in ranked[:_NEAREST]
        )


def remedy_of_color(packed: int, count: int) -> str:
    """Return what to do about a colour that is not declared, one of ``count`` in its mask."""
    if count > _SMOOTH:
        return (
            "draw the mask without smoothing, scaling or JPEG, which blend colours, or add the "
            "missing colours to the label map"
        )
    return (
        f"add the line 'name:{colors.show(packed)}::' to the label map, or give these pixels a "
        "declared colour"
    )


def remedy_of_value(value: int) -> str:
    """Return what to do about a value of gray masks that is no line of the label map."""
    remedy = "add the missing lines to the label map"
    if value == _BINARY:
        remedy = (
            f"import with ignore_index={_BINARY} if {_BINARY} marks pixels without a label, write "
            f"1 instead of {_BINARY} if the mask is a binary one, or {remedy}"
        )
    return remedy


def count_values(data: bytes, where: str, max_pixels: int) -> tuple[dict[int, int], bool]:
    """Read a mask, and return its number of pixels by value, and whether the values are gray.

    Values that are not gray are packed colours; indices of a palette count by their colours.
    Raises PngError, and MaskLimitError past `MAX_VALUES` values.
    """
    reader = MaskReader(data, where, lambda packed: packed, max_pixels)
    # A photograph that poses as a mask has a million colours: no dict while they are counted.
    totals = np.zeros(colors.COLORS if reader.header.is_color else MAX_LABELS, np.int64)
    for block in reader.blocks():
        found, pixels = np.unique(block, return_counts=True)
        totals[found] += pixels
    values = totals.nonzero()[0]
    if values.size > MAX_VALUES:
        raise MaskLimitError(
            f"the mask has {values.size:,} colours",
            where,
            f"at most {MAX_VALUES:,}",
            "check that this is a mask, and not a photograph or noise",
        )
    by_value = dict(zip(values.tolist(), totals[values].tolist(), strict=True))
    if reader.palette is not None:
        by_index, by_value = by_value, {}
        packed = colors.pack(reader.palette).tolist()
        for index, count in by_index.items():
            by_value[packed[index]] = by_value.get(packed[index], 0) + count
    return by_value, reader.header.is_gray


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


def _is(found: list[tuple[int, int]]) -> str:
    return "is" if len(found) == 1 else "are"


def _listed(shown: Iterable[str], total: int) -> str:
    text = ", ".join(shown)
    return text if total <= _SHOWN else f"{text}, and {total - _SHOWN:,} more"
