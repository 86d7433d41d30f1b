"""What a reader has reported, as findings."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .. import colors
from ..archive import LabelMap, nearest, remedy_of
from ..errors import MaskSizeError, SegmaskImportError, UndeclaredColorError
from ..storage import Storage, layout
from .rule import Finding

_OWN = 8  # undeclared values of one mask that are findings of their own


def findings_of(
    error: SegmaskImportError, storage: Storage, label_map: LabelMap, item: str | None = None
) -> Iterator[Finding]:
    """Yield what a reader has reported; each undeclared value of a mask is a finding of its own."""
    file = place_in(storage, error.where)
    if isinstance(error, UndeclaredColorError) and error.undeclared:
        yield from _undeclared(error, label_map, file, item)
        return
    what = error.what
    # A size is expected of one file: naming it would part findings that are alike.
    if error.expected and not isinstance(error, MaskSizeError):
        what += f"; expected: {error.expected}"
    yield Finding(error.kind, file, what, error.remedy, item)


def place_in(storage: Storage, where: str) -> str:
    """Return the place in the archive that an error names, or as it names it."""
    root = storage.place(layout.IMAGES).removesuffix(layout.IMAGES)
    return where.removeprefix(root).replace(os.sep, "/")


def _undeclared(
    error: UndeclaredColorError, label_map: LabelMap, file: str, item: str | None
) -> Iterator[Finding]:
    found = error.undeclared
    in_gray = error.kind == "undeclared-value"
    for number, pixels in found[:_OWN]:
        fix = error.cause or remedy_of(number, in_gray)
        if in_gray:
            value = str(number)
            what = f"{value} is not a line of the label map, which has {len(label_map.labels):,}"
        else:
            value = colors.text_of(colors.unpack(number))
            near = nearest(number, label_map)
            what = f"no label has the colour {value}" + (f"; nearest: {near}" if near else "")
        yield Finding(error.kind, file, what, fix, item, pixels=pixels, value=value)
    rest = found[_OWN:]
    if rest:
        what = f"{len(rest):,} more that no label declares"
        total = sum(pixels for _, pixels in rest)
        yield Finding(error.kind, file, what, fix, item, pixels=total)
