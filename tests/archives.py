"""Archives for the tests, made of NumPy planes without the package's own encoder.

An archive is a dict of places and bytes until it is written into a folder or a zip. Masks are
encoded by OpenCV, by Pillow, or by `raw_png`, which makes every PNG that the specification knows.
"""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane: TypeAlias = NDArray[Any]  # (height, width), or with channels (height, width, n)
Files: TypeAlias = dict[str, bytes]

LABELS = "background:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\n"
# The first VOC colours, so that one digit stands for a label above, or for an instance number.
COLORS = np.array(
    [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 0, 128),
        (128, 0, 128),
        (0, 128, 128),
        (128, 128, 128),
        (64, 0, 0),
        (192, 0, 0),
    ],
    np.uint8,
)


# Planes


def plane(text: str) -> NDArray[np.uint8]:
    """Return the plane that a picture of digits shows, its rows parted by spaces: ``012 012``."""
    return np.array([[int(digit) for digit in row] for row in text.split()], np.uint8)


def picture(pixels: Plane) -> str:
    """Return the picture of a plane of single digits, as `plane` takes it."""
    return " ".join("".join(str(int(value)) for value in row) for row in pixels)


def painted(text: str) -> NDArray[np.uint8]:
    """Return a picture of digits in `COLORS`: (height, width, 3), red, green, blue."""
    return COLORS[plane(text)]


# Masks


def png(pixels: Plane) -> bytes:
    """Encode by OpenCV: gray, RGB or RGBA, of 8 or 16 bits as the dtype says."""
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    done, data = cv2.imencode(".png", pixels)
    assert done
    return data.tobytes()


def rgb(text: str) -> bytes:
    return png(painted(text))


def gray(text: str) -> bytes:
    return png(plane(text))


def palette_png(indices: Plane, palette: Sequence[Sequence[int]], **options: Any) -> bytes:
    """Encode by Pillow, with a palette. ``options``: such as ``bits``, 1, 2, 4 or 8."""
    height, width = indices.shape
    image = Image.frombytes("P", (width, height), indices.astype(np.uint8).tobytes())
    image.putpalette([int(value) for color in palette for value in color])
    return _saved(image, **options)


def gray_alpha_png(values: Plane, alpha: Plane) -> bytes:
    return _saved(Image.merge("LA", [Image.fromarray(a.astype(np.uint8)) for a in (values, alpha)]))


def _saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def jpeg(height: int, width: int, shade: int = 90) -> bytes:
    """An image to go with masks of this size."""
    done, data = cv2.imencode(".jpg", np.full((height, width, 3), shade, np.uint8))
    assert done
    return data.tobytes()


# PNGs of every kind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
DEPTHS = {
    GRAY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GRAY_ALPHA: (8, 16),
    RGBA: (8, 16),
}
KINDS = [(kind, depth) for kind, depths in DEPTHS.items() for depth in depths]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def header(width: int, height: int, depth: int = 8, color_type: int = GRAY, *methods: int) -> bytes:
    """The chunk IHDR. ``methods``: of compression, filtering and interlacing, 0 if not given."""
    rest = (*methods, 0, 0, 0)[:3]
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, *rest))


def png_of(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


def raw_png(
    samples: Plane,
    depth: int = 8,
    color_type: int = GRAY,
    *,
    filters: Sequence[int] = (0,),
    interlaced: bool = False,
    palette: bytes = b"",
    pieces: int = 1,
    extra: bytes = b"",
) -> bytes:
    """Encode samples: (height, width, channels), each below ``1 << depth``.

    ``filters`` are taken in turn, row by row. ``pieces``: the number of chunks that the pixels
    are cut into. ``extra``: whole chunks to stand before them.
    """
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes]
    step = max(1, CHANNELS[color_type] * depth // 8)
    stream = zlib.compress(
        b"".join(filtered(packed(part, depth), step, filters) for part in parts if part.size)
    )
    cuts = [len(stream) * i // pieces for i in range(pieces + 1)]
    return png_of(
        header(width, height, depth, color_type, 0, 0, int(interlaced)),
        chunk(b"PLTE", palette) if palette else b"",
        extra,
        *(chunk(b"IDAT", stream[a:b]) for a, b in itertools.pairwise(cuts)),
        chunk(b"IEND"),
    )


def packed(samples: Plane, depth: int) -> NDArray[np.uint8]:
    """Return the bytes of each row of samples: (height, bytes)."""
    height = len(samples)
    if depth == 16:
        return samples.astype(">u2").reshape(height, -1).view(np.uint8)
    if depth == 8:
        return samples.astype(np.uint8).reshape(height, -1)
    bits = samples.reshape(height, -1, 1) >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)


def filtered(rows: NDArray[np.uint8], step: int, filters: Sequence[int]) -> bytes:
    """Filter rows of bytes as the PNG specification says, section 9; ``step`` bytes a pixel."""
    out = b""
    up = np.zeros(rows.shape[1], np.int64)
    for row, kind in zip(rows.astype(np.int64), itertools.cycle(filters)):
        left, corner = (np.concatenate([np.zeros(step, np.int64), a])[: a.size] for a in (row, up))
        out += (
            bytes([kind]) + (row - _PREDICTORS[kind](left, up, corner)).astype(np.uint8).tobytes()
        )
        up = row
    return out


def _paeth(left: Plane, up: Plane, corner: Plane) -> Plane:
    guess = left + up - corner
    to_left, to_up, to_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
    best = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, best)


_PREDICTORS: list[Callable[[Plane, Plane, Plane], Plane]] = [
    lambda left, up, corner: left * 0,
    lambda left, up, corner: left,
    lambda left, up, corner: up,
    lambda left, up, corner: (left + up) // 2,
    _paeth,
]


# Archives


def archive(
    classes: Mapping[str, bytes] | None = None,
    instances: Mapping[str, bytes] | None = None,
    *,
    labels: str | bytes | None = LABELS,
    lists: Mapping[str, str | bytes] | None = None,
    images: Mapping[str, bytes] | None = None,
    root: str = "",
) -> Files:
    """Return the files of an archive.

    ``classes`` and ``instances``: masks by id; ``images`` by id and suffix; ``lists``: the text
    of each list by subset, all ids with masks in ``default`` if None; ``root`` ends in ``/``.
    """
    classes, instances = classes or {}, instances or {}
    if lists is None:
        lists = {"default": "".join(f"{i}\n" for i in sorted({*classes, *instances}))}
    files: dict[str, str | bytes] = {} if labels is None else {"labelmap.txt": labels}
    files |= {f"ImageSets/Segmentation/{name}.txt": text for name, text in lists.items()}
    files |= {f"SegmentationClass/{item}.png": data for item, data in classes.items()}
    files |= {f"SegmentationObject/{item}.png": data for item, data in instances.items()}
    files |= {f"JPEGImages/{name}": data for name, data in (images or {}).items()}
    return {
        root + name: data.encode() if isinstance(data, str) else data
        for name, data in files.items()
    }


def as_folder(files: Mapping[str, bytes], path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def as_zip(
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    path: Path,
    compression: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Write a zip; ``files`` as pairs may name a file twice."""
    path = path.with_suffix(".zip")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            target.writestr(name, data)
    return path


CONTAINERS: dict[str, Callable[[Mapping[str, bytes], Path], Path]] = {
    "folder": as_folder,
    "zip": as_zip,
}
