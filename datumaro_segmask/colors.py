"""Colours and numbers: the bijection behind the VOC colormap.

Datumaro's colormap (``datumaro.plugins.data_formats.voc.format.VocInstColormap``) is the start
of a one-to-one map between the numbers 0 .. 2**24 - 1 and the RGB colours: bit ``3 * k + c`` of
the number is bit ``7 - k`` of channel ``c``. Carried on past 255 it gives every colour a number
and every number a colour, so no instance is ever lost for want of colours (docs/format.md,
section 3). A test holds it against Datumaro's table.

A colour travels as one integer, *packed*: ``red << 16 | green << 8 | blue``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .arrays import IntArray

Rgb: TypeAlias = tuple[int, int, int]

COLORS = 1 << 24  # as many colours, and so numbers, as there are
BLACK: Rgb = (0, 0, 0)
VOID: Rgb = (224, 224, 192)  # the outline between objects in the VOC dataset


def _tables() -> tuple[IntArray, IntArray]:
    """Two (3, 256) tables: channel byte -> bits of the number; byte of the number -> colour."""
    byte = np.arange(256, dtype=np.int64)
    to_number = np.zeros((3, 256), np.int64)
    to_color = np.zeros((3, 256), np.int64)
    for channel in range(3):
        for k in range(8):
            to_number[channel] |= (byte >> (7 - k) & 1) << (3 * k + channel)
    for position in range(3):
        for bit in range(8):
            k, channel = divmod(8 * position + bit, 3)
            to_color[position] |= (byte >> bit & 1) << (8 * (2 - channel) + 7 - k)
    return to_number, to_color


_TO_NUMBER, _TO_COLOR = _tables()


def pack(colors: NDArray[Any]) -> IntArray:
    """Pack colours to one integer each.

    ``colors``: (..., 3) integers, red, green, blue, 0 to 255. Returns (...,) int64.
    """
    wide = colors.astype(np.int64)
    packed: IntArray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed


def pack_one(color: Rgb) -> int:
    """Pack one colour."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def unpack(packed: int) -> Rgb:
    """Return the red, green and blue (0 to 255) of one packed colour."""
    return packed >> 16 & 255, packed >> 8 & 255, packed & 255


def color_to_number(packed: IntArray) -> IntArray:
    """Return the VOC number of each packed colour; both int64, of any one shape."""
    number: IntArray = _TO_NUMBER[0][packed >> 16 & 255]
    number |= _TO_NUMBER[1][packed >> 8 & 255] | _TO_NUMBER[2][packed & 255]
    return number


def number_to_color(number: IntArray) -> IntArray:
    """Return the packed VOC colour of each number (0 to 2**24 - 1); both int64, any shape.

    Raises ValueError for a number that has no colour: it would wrap to another one's.
    """
    if number.size and not 0 <= int(number.min()) <= int(number.max()) < COLORS:
        raise ValueError(f"numbers of colours are from 0 to {COLORS - 1}, got {number}")
    color: IntArray = _TO_COLOR[0][number & 255]
    color |= _TO_COLOR[1][number >> 8 & 255] | _TO_COLOR[2][number >> 16]
    return color


def voc_color(number: int) -> Rgb:
    """Return the VOC colour (red, green, blue) of one number."""
    return unpack(int(number_to_color(np.array(number, np.int64))))


def text_of(color: Rgb) -> str:
    """Return a colour as it stands in ``labelmap.txt``: ``r,g,b``."""
    return ",".join(map(str, color))
