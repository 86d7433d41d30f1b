"""Masks that were saved as BMP, TIFF, GIF or PNM, as PNGs with the same values."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from ... import signatures
from ...archive import LabelMap
from ...errors import PngError

SUFFIXES = frozenset([".bmp", ".dib", ".tif", ".tiff", ".gif", ".pgm", ".ppm", ".pbm", ".pnm"])

_MODES = {"1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B"}  # which a PNG has, too
_COMPRESSIONS = {
    None, "raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "tiff_ccitt",
    "group3", "group4", "lzma", "zstd",
}  # fmt: skip
_SAVE = "save it as PNG, with the values that it has"


def as_png(data: bytes, where: str, max_pixels: int, label_map: LabelMap) -> bytes:
    """Return a mask as PNG; one that is no picture of these types comes back as it is.

    ``label_map`` tells the gray values of a palette from its indices.
    Raises PngError for one that cannot be read, has several pages or was compressed with losses.
    """
    kind = signatures.kind_of(data)
    if kind not in signatures.LOSSLESS:
        return data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow has to say is an error, or of no account
            with Image.open(io.BytesIO(data)) as image:
                _check(image, kind, where, max_pixels)
                target = io.BytesIO()
                picture = image.convert("L") if _is_gray(image, label_map) else image
                picture.save(target, "PNG", compress_level=1)
    except PngError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error ...
        what = f"{kind} that cannot be read ({error})"
        raise PngError(what, where, "a sound file", "save it again, as PNG") from error
    return target.getvalue()


def _is_gray(image: Image.Image, label_map: LabelMap) -> bool:
    """Return whether a palette has the gray values of labels, and 255, and not labels' colours.

    GIF has no gray, and Pillow leaves values out that no pixel has: the indices are not the values.
    """
    if image.mode != "P":
        return False
    palette, labels = image.getpalette() or [], label_map.labels
    colors = {tuple(palette[3 * i : 3 * i + 3]) for i in np.unique(np.asarray(image)).tolist()}
    values = (*range(len(labels)), 255)
    are_gray = all(len({*color}) == 1 and color[0] in values for color in colors)
    return are_gray and not colors <= {label.color for label in labels}


def _check(image: Image.Image, kind: str, where: str, max_pixels: int) -> None:
    what = None
    compression = image.info.get("compression")
    frames = getattr(image, "n_frames", 1)
    if image.width * image.height > max_pixels:
        what = f"{kind} of {image.width:,} x {image.height:,} pixels"
        expected = f"at most {max_pixels:,} pixels"
        raise PngError(what, where, expected, "raise the option max_pixels if it can be trusted")
    if kind == signatures.TIFF and compression not in _COMPRESSIONS:
        what = f"{kind} compressed as {compression!r}, which may change the values"
    elif frames > 1:
        what = f"{kind} of {frames} pages"
    elif image.mode not in _MODES:
        what = f"{kind} with pixels of the kind {image.mode!r}"
    if what:
        raise PngError(what, where, "one image of gray values, indices or colours", _SAVE)
