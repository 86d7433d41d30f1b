"""Bytes of a PNG from and to the pixels of a mask; knows no labels, no files."""

from .container import (
    DEFLATE,
    GRAY,
    GRAY_ALPHA,
    MAX_PIXELS,
    PALETTE,
    RGB,
    RGBA,
)
from .read import MaskReader, block_rows
from .write import Changes, Plane, encode_gray, encode_palette, encode_rgb

__all__ = [
    "DEFLATE", "GRAY", "GRAY_ALPHA", "MAX_PIXELS", "PALETTE", "RGB", "RGBA", "Changes",
    "MaskReader", "Plane", "block_rows", "encode_gray", "encode_palette", "encode_rgb",
]  # fmt: skip
