"""Bytes of a PNG from and to the pixels of a mask; knows no labels, no files."""

from .container import (
    DEFLATE,
    GRAY,
    GRAY_ALPHA,
    MAX_PIXELS,
    PALETTE,
    RGB,
    RGBA,
    Header,
)
from .read import MaskReader, block_rows, read_together
from .write import Changes, Plane, encode_gray, encode_palette, encode_rgb

__all__ = [
    "DEFLATE", "GRAY", "GRAY_ALPHA", "MAX_PIXELS", "PALETTE", "RGB", "RGBA", "Changes", "Header",
    "MaskReader", "Plane", "block_rows", "encode_gray", "encode_palette", "encode_rgb",
    "read_together",
]  # fmt: skip
