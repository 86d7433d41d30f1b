"""PNGs for the targets: repaired ones, made ones, and what OpenCV and Pillow see in them."""

from __future__ import annotations

import io
import itertools
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
KINDS = [(GRAY, 1), (GRAY, 2), (GRAY, 4), (GRAY, 8), (GRAY, 16), (RGB, 8), (RGB, 16), (PALETTE, 1)]
KINDS += [(PALETTE, 2), (PALETTE, 4), (PALETTE, 8), (GRAY_ALPHA, 8), (GRAY_ALPHA, 16), (RGBA, 8)]
KINDS += [(RGBA, 16)]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]
LAST_FILTER = 4


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of each chunk that is whole, whatever its checksum."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : end - 4]
        at = end


def repaired(data: bytes) -> bytes:
    """Return a PNG with right checksums: a mutant that has wrong ones is soon done with."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        return data
    good = SIGNATURE + b"".join(chunk(kind, body) for kind, body in chunks(data))
    return good + data[len(good) :]


@dataclass(frozen=True)
class Made:
    """A PNG made of fuzzed pixels, and what is wrong with these."""

    data: bytes
    filters: set[int]
    rows: int  # to read at once


def make(data: bytes) -> Made:
    """Make a PNG that is sound but for its filters and indices: five bytes of shape, then rows."""
    kind, width, height, colors, rows = (*data[:5], 0, 0, 0, 0, 0)[:5]
    color_type, depth = KINDS[kind % len(KINDS)]
    interlaced = kind >= 128
    width, height = width % 70 + 1, height % 40 + 1
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    pixels = itertools.chain(data[5:], itertools.repeat(0))
    lines = []
    for x, y, dx, dy in passes:
        across, down = -(-(width - x) // dx), -(-(height - y) // dy)
        if across > 0:
            size = 1 + (across * CHANNELS[color_type] * depth + 7) // 8
            lines += [bytes(itertools.islice(pixels, size)) for _ in range(down)]
    lines = [bytes([line[0] % (LAST_FILTER + 1 + line[0] // 250)]) + line[1:] for line in lines]
    palette = bytes((i * 89 + c * 151) % 256 for i in range(colors + 1) for c in range(3))
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    made = SIGNATURE + chunk(b"IHDR", header)
    if color_type == PALETTE:
        made += chunk(b"PLTE", palette[: 3 << depth])
    made += chunk(b"IDAT", zlib.compress(b"".join(lines), 1)) + chunk(b"IEND")
    return Made(made, {line[0] for line in lines}, rows % 7 + 1)


def essence(data: bytes) -> bytes:
    """Return a PNG of the critical chunks alone: extras make libraries see alpha or animations."""
    parts = [chunk(kind, body) for kind, body in chunks(data) if not kind[0] & 32]
    return SIGNATURE + b"".join(parts)


Pixels: TypeAlias = NDArray[Any]


def by_opencv(data: bytes) -> Pixels | None:
    """Return what OpenCV reads: gray, or (height, width, 3) red, green, blue; 8 or 16 bits."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim == 2:
        return image
    return image[..., 2::-1]


_MODES = {"1": "L", "P": "RGB", "RGBA": "RGB"}


def by_pillow(data: bytes) -> Pixels | None:
    """Return what Pillow reads, as `by_opencv`; None also for what it cuts to 8 bits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data), formats=["PNG"])
            image.load()
        if image.mode == "LA":
            image = image.getchannel("L")
        return np.asarray(image.convert(_MODES.get(image.mode, image.mode)))
    except Exception:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
        return None
