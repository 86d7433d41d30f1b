"""Planes to PNG files, straight from the pixels that change (docs/format.md, section 5).

The filter Up of the PNG standard leaves a zero wherever a pixel equals the one above, so a row is
zeros but for its changes, and no pixel is ever coloured. Rows that change nearly everywhere
(the flat edge of a box) are filtered Sub, which leaves a zero where a pixel equals its left
neighbour. Deflate then needs to look for nothing but runs of one byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import deflate
from .colors import IntArray
from .painting import Changes, Plane

Bytes: TypeAlias = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE = 0, 2, 3  # colour types
_SUB, _UP = 1, 2  # filter types

_BLOCK = 1 << 18  # bytes of filtered rows at a time: what a processor's cache holds
_Z_RLE = 3  # strategy: runs of one byte are all that is looked for; the level then has no say
_LEVEL, _WINDOW, _MEMORY = 6, 15, 8
_BUSY = 32  # a row is looked at twice if more than one in so many of its pixels change


def encode_rgb(plane: Plane, color_of: Callable[[IntArray], IntArray]) -> bytes:
    """Return a PNG of 8-bit RGB.

    ``color_of`` gives the packed colour (see `colors`) of each value of the plane.
    """
    packed = color_of(plane.values)
    samples = np.stack([packed >> 16, packed >> 8, packed]) & 255
    return _encode(plane.changes, samples.astype(np.uint8), 8, _RGB)


def encode_palette(plane: Plane, palette: Bytes) -> bytes:
    """Return a PNG of 8-bit indices: the plane's values.

    ``palette``: (n, 3) uint8, red, green, blue; n at most 256. Raises ValueError for a value
    without a colour in it.
    """
    if len(palette) > 256:
        raise ValueError(f"a palette has at most 256 colours, got {len(palette)}")
    _check(plane.values, len(palette) - 1)
    used = palette[: int(plane.values.max()) + 1]
    samples = plane.values.astype(np.uint8)[np.newaxis]
    return _encode(plane.changes, samples, 8, _PALETTE, used.tobytes())


def encode_gray(plane: Plane, bits: int) -> bytes:
    """Return a gray PNG of the plane's values, 8 or 16 bits deep.

    Raises ValueError for a value that does not fit.
    """
    _check(plane.values, (1 << bits) - 1)
    shifts = np.arange(bits - 8, -1, -8)[:, np.newaxis]
    return _encode(plane.changes, (plane.values >> shifts & 255).astype(np.uint8), bits, _GRAY)


def _check(values: IntArray, last: int) -> None:
    if values.min() < 0 or values.max() > last:
        raise ValueError(f"values go from 0 to {last}, got {values.min()} to {values.max()}")


def _encode(changes: Changes, samples: Bytes, bits: int, kind: int, palette: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", changes.width, changes.height, bits, kind, 0, 0, 0)
    compressor = deflate.compressobj(_LEVEL, 8, _WINDOW, _MEMORY, _Z_RLE)
    parts = [compressor.compress(block) for block in _filtered(changes, samples)]
    data = b"".join([*parts, compressor.flush()])
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", data), (b"IEND", b"")]
    kept = [_chunk(name, body) for name, body in chunks if body or name == b"IEND"]
    return b"".join([SIGNATURE, *kept])


def _chunk(name: bytes, body: bytes) -> bytes:
    crc = deflate.crc32(body, deflate.crc32(name))
    return b"".join([struct.pack(">I", len(body)), name, body, struct.pack(">I", crc)])


def _filtered(changes: Changes, samples: Bytes) -> Iterator[Bytes]:
    """Yield the filtered rows in blocks of whole rows: uint8, one buffer that is used again.

    ``samples``: (n, shapes + 1), the n bytes of a pixel by its topmost shape.
    """
    height, row = changes.height, changes.row
    depth = len(samples)
    stride = 1 + changes.width * depth
    differences = [_differences(changes, sample) for sample in samples]
    changed = np.logical_or.reduce(differences)
    flat = _flat_rows(changes, samples, np.bincount(row[changed], minlength=height))
    y, line = next(flat, (height, b""))

    offset = row * stride + changes.column * depth + 1
    rows = max(1, _BLOCK // stride)
    buffer = np.empty(min(rows, height) * stride, np.uint8)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        block = buffer[: (stop - start) * stride]
        block[:] = 0
        block[::stride] = _UP
        a, b = np.searchsorted(row, (start, stop))
        at = offset[a:b] - start * stride
        for byte, difference in enumerate(differences):
            block[at + byte] = difference[a:b]
        while y < stop:
            begin = (y - start) * stride
            block[begin : begin + stride] = line
            y, line = next(flat, (height, b""))
        yield block


def _differences(changes: Changes, sample: Bytes) -> Bytes:
    """Return by how much one byte of each changed pixel differs from above, modulo 256."""
    above = sample[changes.above]
    above[: changes.width] = 0  # to the filters, the row over the first one is zeros
    return sample[changes.shape] - above


def _flat_rows(changes: Changes, samples: Bytes, vertical: IntArray) -> Iterator[tuple[int, Bytes]]:
    """Yield the rows that change less along themselves than from the row above.

    ``vertical``: (height,) the number of pixels that change from above. Yields the index of the
    row and its bytes after the filter Sub, that of the filter type first.
    """
    shapes = np.zeros(changes.width, np.int32)
    done = 0
    for y in np.flatnonzero(vertical > max(8, changes.width // _BUSY)).tolist():
        upto = int(np.searchsorted(changes.row, y, side="right"))
        # Where a column comes twice NumPy keeps the last, which is the lowest row.
        shapes[changes.column[done:upto]] = changes.shape[done:upto]
        done = upto
        differences = samples[:, shapes]
        differences[:, 1:] -= differences[:, :-1].copy()
        if np.count_nonzero(np.logical_or.reduce(differences)) < vertical[y]:
            yield y, np.concatenate(([_SUB], differences.T.ravel())).astype(np.uint8)
