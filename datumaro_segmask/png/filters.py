"""The filters of a PNG taken back, row by row, whatever the bytes mean.

Source: the PNG specification (third edition), section 9.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..arrays import Bytes
from . import deflate
from .container import GRAY, RGB, RGBA, Header, write_png

NONE, SUB, UP, PAETH = 0, 1, 2, 4


def unfilter_sub(line: Bytes, step: int) -> Bytes:
    """Unfilter one row: (bytes,), with ``step`` bytes from each to its left neighbour."""
    plain: Bytes = np.add.accumulate(line.reshape(-1, step), axis=0, dtype=np.uint8)
    return plain.ravel()


def unfilter_simple(lines: Bytes, above: Bytes | None, step: int) -> Bytes:
    """Unfilter rows of None, Sub and Up. ``lines``: (rows, 1 + bytes), ``above``: (bytes,)."""
    plain: Bytes = lines[:, 1:].copy()
    filters = lines[:, 0]
    for y in np.flatnonzero(filters == SUB).tolist():
        plain[y] = unfilter_sub(plain[y], step)
    # A stretch of Up rows is one running sum down the columns, begun in the row above it.
    up = np.flatnonzero(np.diff(filters == UP, prepend=False, append=False)).tolist()
    for start, stop in zip(up[::2], up[1::2], strict=True):
        if start:
            np.add.accumulate(plain[start - 1 : stop], axis=0, out=plain[start - 1 : stop])
        else:
            if above is not None:
                plain[0] += above
            np.add.accumulate(plain[:stop], axis=0, out=plain[:stop])
    return plain


def unfilter_any(lines: Bytes, above: Bytes | None, step: int) -> Bytes:
    """Unfilter rows of any filter by handing them to OpenCV as an image of their own.

    A filter knows bytes and the distance to the left neighbour, not what the bytes mean. So rows
    of any kind can pose as one of the kinds that OpenCV gives back byte for byte.
    """
    rows, count = len(lines), lines.shape[1] - 1
    depth, color_type, dtype = {
        1: (8, GRAY, "u1"),
        2: (16, GRAY, ">u2"),
        3: (8, RGB, "u1"),
        4: (8, RGBA, "u1"),
        6: (16, RGB, ">u2"),
        8: (16, RGBA, ">u2"),
    }[step]
    if above is not None:
        lines = np.vstack([np.concatenate(([np.uint8(NONE)], above)), lines])
    header = Header(count // step, len(lines), depth, color_type)
    data = write_png(header, [_store(lines.tobytes())])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise AssertionError("OpenCV did not take rows that were checked before")
    if image.ndim == 3:
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]  # from OpenCV's BGR(A)
    plain: Bytes = np.ascontiguousarray(image.astype(dtype)).view(np.uint8)
    return plain.reshape(len(lines), count)[-rows:]


def _store(data: bytes) -> bytes:
    stream = deflate.compressobj(0)
    return stream.compress(data) + stream.flush()


def unpack_bits(plain: Bytes, depth: int) -> Bytes:
    """Return samples of 1, 2 or 4 bits, the first in the highest bits, one a byte."""
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    samples: Bytes = (plain[:, :, None] >> shifts) & np.uint8((1 << depth) - 1)
    return samples.reshape(len(plain), -1)
