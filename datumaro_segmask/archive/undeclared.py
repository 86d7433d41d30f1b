"""Colours and gray values that the label map does not declare: which, how many, and what to do.

Source: docs/format.md, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import cv2
import numpy as np

from .. import colors
from ..arrays import IntArray, sums_by_value
from ..errors import (
    UndeclaredColorError,
    check_limit,
    counted,
)
from ..png import MaskReader
from ..storage import layout
from .labelmap import LabelMap

MAX_VALUES = 1 << 19
"""Values of one mask that are counted to say which are not declared."""
_MERGED = 1 << 20  # values that are kept before equal ones are joined
_SHOWN = 5  # colours that a message lists
_SMOOTH = 32  # as many colours come from smoothing, not from a forgotten line
_BINARY = 255  # what marks the objects of a binary mask, or pixels without a label
_ADD_LINES = "add the missing lines to the label map"
_NEAREST = 2  # declared colours named beside each of them
_TRANSPARENT = (
    "save the mask without alpha, with the background's colour where it was transparent: these "
    "colours are only under transparent pixels, but they count"
)
_LUMA = np.array([0.299, 0.587, 0.114])  # how tools make gray of colour (ITU-R BT.601)


def undeclared_error(
    totals: Mapping[int, int], in_gray: bool, label_map: LabelMap, where: str, data: bytes
) -> UndeclaredColorError:
    """Return the error for values (packed colours, or gray) with their numbers of pixels.

    Most pixels first. ``data`` is the mask.
    """
    found = sorted(totals.items(), key=lambda pair: -pair[1])
    shown = [
        f"{value} ({counted(pixels, 'pixel')})"
        if in_gray
        else f"{colors.text_of(colors.unpack(value))} ({counted(pixels, 'pixel')}; "
        f"nearest: {nearest(value, label_map)})"
        for value, pixels in found[:_SHOWN]
    ]
    is_one = "is" if len(found) == 1 else "are"
    if in_gray:
        what = f"{counted(len(found), 'value')} of the gray mask {is_one} not in the label map"
        last = max(label.index for label in label_map.labels)
        expected = f"the index of a line of {label_map.where}, from 0 to {last}"
    else:
        what = f"{counted(len(found), 'colour')} of the mask {is_one} not in the label map"
        expected = f"only the {counted(len(label_map.labels), 'colour')} of {label_map.where}"
    cause = _TRANSPARENT if _are_hidden(totals, data) else cause_of(totals, in_gray, label_map)
    typical = _BINARY if in_gray and _BINARY in totals else found[0][0]
    error = UndeclaredColorError(
        f"{what}: {_listed(shown, len(found))}",
        where,
        expected,
        cause or remedy_of(typical, in_gray),
        kind="undeclared-value" if in_gray else None,
    )
    error.undeclared, error.cause = found, cause
    return error


def _are_hidden(totals: Mapping[int, int], data: bytes) -> bool:
    """Return whether all pixels of some packed colours are transparent."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim < 3 or pixels.shape[2] < 4 or pixels.dtype != np.uint8:
        return False
    hidden = colors.pack(pixels[pixels[..., 3] == 0][:, 2::-1])
    found = dict(
        zip(*(each.tolist() for each in np.unique(hidden, return_counts=True)), strict=True)
    )
    return all(found.get(value) == count for value, count in totals.items())


def nearest(packed: int, label_map: LabelMap) -> str:
    """Name the declared colours that come nearest to a packed one, the nearest first."""
    color = colors.unpack(packed)
    ranked = sorted(
        (label for label in label_map.labels if not label.is_stand_in),
        key=lambda label: sum((a - b) ** 2 for a, b in zip(label.color, color, strict=True)),
    )
    return ", ".join(f"{label.name} {colors.text_of(label.color)}" for label in ranked[:_NEAREST])


def cause_of(values: Collection[int], in_gray: bool, label_map: LabelMap) -> str | None:
    """Return what to do about all values of a mask that are not declared, None if each is a case.

    It goes by what is likely to have happened to the mask as a whole.
    """
    if label_map.elsewhere is not None:
        return (
            f"put the label map {label_map.elsewhere}, which is one folder above the archive, "
            f"beside the folder {layout.CLASS_MASKS}"
        )
    if in_gray:
        return _cause_of_gray(values, label_map)
    rgb = [colors.unpack(value) for value in values]
    indices = {label.index for label in label_map.labels}
    in_one = all(
        red in indices and (green, blue) in ((red, red), (0, 0)) for red, green, blue in rgb
    )
    if in_one:
        return (
            "save the mask with one channel, not three: its values seem to be lines of the label "
            "map, but in three channels they are colours"
        )
    declared = {label.color for label in label_map.labels}
    commented = {label.color: label for label in label_map.comments}
    if commented.keys() & set(rgb):
        label = next(commented[color] for color in rgb if color in commented)
        return (
            f"rename the label '#{label.name}' in line {label.line} of the label map, as a '#' at "
            "its beginning makes the line a comment"
        )
    if all(color[::-1] in declared for color in rgb):
        return (
            "swap red and blue: these are the label map's colours in the order blue, green, red, "
            "in which OpenCV has them"
        )
    if len(values) > _SMOOTH:
        return (
            "draw the mask without smoothing, scaling or JPEG, which blend colours, or add the "
            "missing colours to the label map"
        )
    return None


def _cause_of_gray(values: Collection[int], label_map: LabelMap) -> str | None:
    lines = len(label_map.labels)
    if label_map.background is None and {*values} == {lines}:
        return (
            "add 'background:0,0,0::' as the first line of the label map, if 0 is the background: "
            f"the values seem to go from 1 to {lines}, and lines count from 0"
        )
    if len(values) > _SMOOTH:
        return (
            "save the mask as it was drawn: it was made gray of one in colour, smoothed, scaled or "
            "stored as JPEG, and which label a pixel had is lost"
        )
    shades = {round(float(np.dot(_LUMA, label.color))) for label in label_map.labels} - {0}
    if all(any(abs(value - shade) <= 1 for shade in shades) for value in values):
        return (
            "save the mask in colour: its values are what comes of the label map's colours when a "
            f"mask is made gray; or {_ADD_LINES}"
        )
    return None


def remedy_of(value: int, in_gray: bool) -> str:
    """Return what to do about one value that is not declared."""
    if not in_gray:
        return (
            f"add the line 'name:{colors.text_of(colors.unpack(value))}::' to the label map, or "
            "give these pixels a declared colour"
        )
    if value == _BINARY:
        return (
            f"import with ignore_index={_BINARY} if {_BINARY} marks pixels without a label; of "
            "masks in black and white, 'datumaro-segmask from-masks DIR --binary NAME -o task.zip' "
            f"makes an archive; or {_ADD_LINES}"
        )
    return _ADD_LINES


def count_values(data: bytes, where: str, max_pixels: int) -> tuple[dict[int, int], bool]:
    """Read a mask, and return its number of pixels by value, and whether the values are gray.

    Values that are not gray are packed colours; indices of a palette count by their colours.
    Raises PngError, and MaskLimitError past `MAX_VALUES` values.
    """
    reader = MaskReader(data, where, lambda packed: packed, max_pixels)
    values, totals = np.zeros(0, np.int64), np.zeros(0, np.int64)
    parts = [(values, totals)]
    for block in reader.blocks():
        found, pixels = np.unique(block, return_counts=True)
        parts.append((found.astype(np.int64), pixels.astype(np.int64)))
        if sum(part.size for part, _ in parts) > _MERGED:
            parts = [_joined(parts, where)]
    values, totals = _joined(parts, where)
    by_value = dict(zip(values.tolist(), totals.tolist(), strict=True))
    if reader.palette is not None:
        by_index, by_value = by_value, {}
        packed = colors.pack(reader.palette).tolist()
        for index, count in by_index.items():
            by_value[packed[index]] = by_value.get(packed[index], 0) + count
    return by_value, reader.header.is_gray


def _joined(parts: list[tuple[IntArray, IntArray]], where: str) -> tuple[IntArray, IntArray]:
    """Add up the numbers of equal values. A photograph that poses as a mask has a million."""
    values, totals = sums_by_value(*map(np.concatenate, zip(*parts, strict=True)))
    remedy = "check that this is a mask, and not a photograph or noise"
    check_limit(values.size, MAX_VALUES, "colours", where, remedy)
    return values, totals


def _listed(shown: Iterable[str], total: int) -> str:
    text = ", ".join(shown)
    return text if total <= _SHOWN else f"{text}, and {total - _SHOWN:,} more"
