"""The five targets, `TARGETS`: each reads any bytes, and compares what comes out with an oracle."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator

import numpy as np
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetImportError
from datumaro.components.importer import ImportErrorPolicy

from datumaro_segmask import colors, layout
from datumaro_segmask.archive import read_label_map, read_subsets, unlisted_items
from datumaro_segmask.errors import MissingFileError, PngError, SegmaskError, SegmaskExportError
from datumaro_segmask.errors import SegmaskImportError
from datumaro_segmask.labelmap import format_label_map, parse_label_map
from datumaro_segmask.png import MaskReader
from datumaro_segmask.png_container import GRAY, PALETTE, RGB, RGBA
from datumaro_segmask.storage import MAX_FILE_BYTES, open_storage

from . import pngs
from .oracle import Finding, Target, check_message

MAX_PIXELS = 1 << 22
"""Lower than the default, for Pillow and OpenCV, which allocate what a header says."""


# PNG


def png(data: bytes) -> None:
    """Any bytes: what is read is what OpenCV and Pillow read."""
    seen = _read(data, 3)
    _compare(seen, pngs.by_opencv(pngs.essence(data)), "OpenCV")
    _compare(seen, pngs.by_pillow(pngs.essence(data)), "Pillow", may_refuse=True)


def pixels(data: bytes) -> None:
    """Sound chunks around any rows: all is read but unknown filters and indices past the palette."""
    made = pngs.make(data)
    try:
        seen = _read(made.data, made.rows)
    except PngError as error:
        if "palette index" not in str(error) and max(made.filters) <= pngs.LAST_FILTER:
            raise Finding(f"it was refused: {error}") from error
        raise
    _compare(seen, pngs.by_opencv(made.data), "OpenCV")
    _compare(seen, pngs.by_pillow(made.data), "Pillow", may_refuse=True)


def _read(data: bytes, rows: int) -> pngs.Pixels:
    """Return the pixels as `pngs.by_opencv` does, read ``rows`` at a time."""
    reader = MaskReader(data, "a.png", lambda packed: packed, MAX_PIXELS)
    values = np.concatenate(list(reader.blocks(rows)))
    if reader.header.color_type in (RGB, RGBA):
        return colors.unpack_all(values)
    if reader.palette is not None:
        return reader.palette[values]
    if reader.header.color_type == GRAY and reader.header.depth < 8:
        return (values * (255 // ((1 << reader.header.depth) - 1))).astype(np.uint8)
    return values


def _compare(
    ours: pngs.Pixels, theirs: pngs.Pixels | None, who: str, may_refuse: bool = False
) -> None:
    if theirs is None:
        if not may_refuse:
            raise Finding(f"{who} does not read it")
        return
    if theirs.ndim < ours.ndim or ours.shape[:2] != theirs.shape[:2]:
        raise Finding(f"{who} has the shape {theirs.shape}, not {ours.shape}")
    if ours.ndim < theirs.ndim:  # OpenCV makes colours of gray with alpha
        theirs = theirs[..., 0]
    if ours.itemsize < theirs.itemsize:  # of colours the high byte counts
        theirs = theirs >> 8 if ours.ndim == 3 else theirs
    elif theirs.itemsize < ours.itemsize:
        ours = ours >> 8
    if not np.array_equal(ours, theirs):
        at = np.argwhere(ours != theirs)[0].tolist()
        raise Finding(f"{who} has {theirs[tuple(at)]} at {at}, not {ours[tuple(at)]}")
