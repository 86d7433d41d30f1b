"""Pictures for training lie as their masks do, and say nothing of how else they might be shown.

Half of the readers turn a picture by its EXIF data (OpenCV, detectron2), half do not (Pillow, and
with it torchvision, transformers and nnU-Net). So a picture that notes an orientation is right for
one half only. Source: docs/training.md, section 1.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import PIL.Image
from PIL import ExifTags, JpegImagePlugin
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile

from ..arrays import turn
from ..signatures import PNG_HEAD, TIFF_HEADS
from ..training import decode

_TRANSPOSES = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_PNG_KIND, _RGB_OF_8_BITS = slice(24, 26), b"\x08\x02"
_HEAD = 64  # bytes that hold the first chunks of a WebP
_NEAR_LOSSLESS = 95  # of a lossy WebP, which does not tell its own quality


def notes_orientation(data: bytes, turn: int | None) -> bool:
    """Return whether a picture's file says that it is to be turned. ``turn`` is that of `Item`."""
    return turn is not None or (data.startswith(TIFF_HEADS) and _orientation_of(data) != 1)


def upright(data: bytes, orientation: int | None) -> bytes:
    """Return the file of a picture whose stored rows and columns lie as its masks do.

    ``orientation``: EXIF's, 1 to 8, in which the picture lies as its masks do; None if its file
    notes none. The type of the file stays, and the quality of a JPEG; a PNG or TIFF loses nothing.
    If the pixels lie right already, only the note is changed. Raises OSError or ValueError for a
    picture that cannot be decoded.
    """
    if not notes_orientation(data, orientation):
        return data
    if data.startswith(PNG_HEAD):
        return _png(data, orientation or 1)
    with PIL.Image.open(io.BytesIO(data)) as image:
        if image.format == "TIFF":  # which Pillow and OpenCV turn when they decode it
            image.load()
            return _saved(image, image, data)
        if orientation in (None, 1):
            noted = _with_orientation_1(data, image.info.get("exif", b""))
            if noted is not None:
                return noted
        method = _TRANSPOSES.get(orientation or 1)
        return _saved(image, image if method is None else image.transpose(method), data)


def rgb_png(data: bytes) -> bytes:
    """Return the file of a picture, which notes no orientation, as a PNG of 8-bit RGB.

    Opacity is dropped. Raises ValueError for a picture that cannot be decoded.
    """
    is_png = data.startswith(PNG_HEAD)
    if is_png and data[_PNG_KIND] == _RGB_OF_8_BITS and b"tRNS" not in data.partition(b"IDAT")[0]:
        return data
    pixels = decode(data)
    if pixels is None:
        raise ValueError("OpenCV decodes no such image")
    return cv2.imencode(".png", pixels)[1].tobytes()


def _orientation_of(data: bytes) -> int:
    with PIL.Image.open(io.BytesIO(data)) as image:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _png(data: bytes, orientation: int) -> bytes:
    # Pillow has no colours of 16 bits per channel.
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("OpenCV decodes no such image")
    return cv2.imencode(".png", turn(pixels, orientation))[1].tobytes()


def _saved(source: ImageFile, image: PIL.Image.Image, data: bytes) -> bytes:
    """Return a picture in the type and the quality of its source ``data``, without EXIF data."""
    options: dict[str, Any] = {"icc_profile": source.info.get("icc_profile")}
    if isinstance(source, JpegImagePlugin.JpegImageFile):
        sampling = JpegImagePlugin.get_sampling(source)
        options |= {"qtables": source.quantization}
        options |= {"subsampling": sampling} if sampling >= 0 else {}
        options |= {"progressive": bool(source.info.get("progressive"))}
    elif source.format == "WEBP":
        options |= {"lossless": b"VP8L" in data[:_HEAD], "quality": _NEAR_LOSSLESS}
    elif source.format == "TIFF":
        options |= {"compression": source.info.get("compression")}
    file = io.BytesIO()
    image.save(file, source.format, exif=b"", **options)
    return file.getvalue()


def _with_orientation_1(data: bytes, exif: bytes) -> bytes | None:
    """Return a file whose EXIF data say that it lies as it is stored; None if they are not found.

    Source: TIFF 6.0, section 2; EXIF 2.32, tag 0x0112.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    at = data.find(exif) if exif else -1
    if at < 0 or exif[:4] not in TIFF_HEADS:
        return None
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            (tag,) = struct.unpack_from(f"{order}H", exif, place)
            if tag == ExifTags.Base.Orientation:
                value = at + place + 8
                return data[:value] + struct.pack(f"{order}H", 1) + data[value + 2 :]
    except struct.error:
        pass
    return None
