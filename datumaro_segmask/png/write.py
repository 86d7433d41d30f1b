"""Planes to PNG files, straight from the pixels that change (docs/format.md, section 5).

The filter Up of the PNG standard leaves a zero wherever a pixel equals the one above, so a row is
zeros but for its changes, and no pixel is ever coloured. Rows that change in many pixels
(the flat edge of a box) are filtered Sub, which leaves a zero where a pixel equals its left
neighbour. Deflate then needs to look for nothing but runs of one byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bytes, IntArray, Size
from .container import GRAY, PALETTE, RGB, SUB, UP, Header, deflate, write_png

_BLOCK = 1 << 18  # bytes of filtered rows at a time: what a processor's cache holds
_Z_RLE = 3  # strategy: runs of one byte are all that is looked for; the level then has no say
_LEVEL, _WINDOW, _MEMORY = 6, 15, 8
_BUSY = 16  # a row is looked at twice if more than one in so many of its pixels change


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Where the topmost shape of a pixel is another one than above it: four (n,) arrays.

    Sorted by ``row``, then ``column``. All pixels of row 0 are among them. ``shape`` is the
    topmost shape, counted from 1, 0 for none, and ``above`` that of the pixel above, which in
    row 0 means nothing.
    """

    size: Size
    row: IntArray
    column: IntArray
    shape: NDArray[np.int32]
    above: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The values of an image's pixels: ``values[shape]``, by the topmost shape of a pixel."""

    changes: Changes
    values: IntArray


def encode_rgb(plane: Plane, color_of: Callable[[IntArray], IntArray]) -> bytes:
    """Return a PNG of 8-bit RGB.

    ``color_of`` gives the packed colour (see `colors`) of each value of the plane.
    """
    return _encode(plane.changes, color_of(plane.values), 8, RGB)


def encode_palette(plane: Plane, palette: Bytes) -> bytes:
    """Return a PNG of 8-bit indices: the plane's values.

    ``palette``: (n, 3) uint8, red, green, blue; n at most 256. The file has it up to the last
    value. Raises ValueError for a value without a colour in it.
    """
    if len(palette) > 256:
        raise ValueError(f"a palette has at most 256 colours, got {len(palette)}")
    _check(plane.values, len(palette) - 1)
    used = palette[: int(plane.values.max()) + 1]
    return _encode(plane.changes, plane.values, 8, PALETTE, used.tobytes())


def encode_gray(plane: Plane, bits: int) -> bytes:
    """Return a gray PNG of the plane's values, 8 or 16 bits deep.

    Raises ValueError for a value that does not fit.
    """
    _check(plane.values, (1 << bits) - 1)
    return _encode(plane.changes, plane.values, bits, GRAY)


def _check(values: IntArray, last: int) -> None:
    if values.min() < 0 or values.max() > last:
        raise ValueError(f"values are from 0 to {last}, got {values.min()} to {values.max()}")


def _encode(
    changes: Changes, pixels: IntArray, depth: int, color_type: int, palette: bytes = b""
) -> bytes:
    """Return the file; ``pixels``: the bytes of a pixel, as one integer, by its topmost shape."""
    header = Header(changes.size.width, changes.size.height, depth, color_type)
    compressor = deflate.compressobj(_LEVEL, 8, _WINDOW, _MEMORY, _Z_RLE)
    rows = _filtered(changes, pixels, header.pixel_bits // 8)
    return write_png(header, [*map(compressor.compress, rows), compressor.flush()], palette)


def _filtered(changes: Changes, pixels: IntArray, step: int) -> Iterator[Bytes]:
    """Yield the filtered rows in blocks of whole rows: uint8, one buffer that is used again.

    ``pixels``: (shapes + 1,) the ``step`` bytes of a pixel as one integer.
    """
    (height, width), row = changes.size, changes.row
    stride = 1 + width * step
    now, above = pixels[changes.shape], pixels[changes.above]
    above[:width] = 0  # to the filters, the row over the first one is zeros
    differences = _differences(now, above, step)
    vertical = np.bincount(row[now != above], minlength=height)
    flat = _flat_rows(changes, now, vertical, step)
    y, line = next(flat, (height, []))

    offset = row * stride + changes.column * step + 1
    rows = max(1, _BLOCK // stride)
    buffer = np.empty(min(rows, height) * stride, np.uint8)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        block = buffer[: (stop - start) * stride]
        block[:] = 0
        block[::stride] = UP
        a, b = row.searchsorted((start, stop))
        at = offset[a:b] - start * stride
        for byte, difference in enumerate(differences):
            block[at + byte] = difference[a:b]
        while y < stop:
            filtered = block[(y - start) * stride :][:stride]
            filtered[0] = SUB
            for byte, difference in enumerate(line):
                filtered[1 + byte :: step] = difference
            y, line = next(flat, (height, []))
        yield block


def _differences(pixels: IntArray, others: IntArray, step: int) -> list[Bytes]:
    """Return by how much each byte of ``pixels`` differs from that of ``others``, modulo 256."""
    shifts = range(8 * step - 8, -1, -8)
    # What is left of the higher bytes falls off in the cast, and so does what is borrowed.
    return [((pixels >> shift) - (others >> shift)).astype(np.uint8) for shift in shifts]


def _flat_rows(
    changes: Changes, now: IntArray, vertical: IntArray, step: int
) -> Iterator[tuple[int, list[Bytes]]]:
    """Yield the rows that change less along themselves than from the row above.

    ``now``: (n,) the pixels that change, as integers; ``vertical``: (height,) how many of them
    really do. Yields the index of a row and its `_differences` from the left.
    """
    # A pixel of zeros on the left is the neighbour of the first one.
    width = changes.size.width
    line = np.zeros(1 + width, np.int64)
    done = 0
    for y in (vertical > max(8, width // _BUSY)).nonzero()[0].tolist():
        upto = int(changes.row.searchsorted(y, side="right"))
        # Where a column comes twice NumPy keeps the last, which is the lowest row.
        line[1 + changes.column[done:upto]] = now[done:upto]
        done = upto
        if np.count_nonzero(line[1:] != line[:-1]) < vertical[y]:
            yield y, _differences(line[1:], line[:-1], step)
