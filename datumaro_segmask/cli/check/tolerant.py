"""Reads the label map and the lists of an archive past their faults, and tells what they are.

The readers are those of the import: a line that makes one of them raise is noted, put out of the
way, and the rest is read again. Source: docs/format.md, sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ...archive.labelmap import Label, LabelMap, parse_label_map, voc_label_map
from ...archive.lists import has_masks
from ...colors import COLORS, VOID, voc_color
from ...errors import LabelMapError, SegmaskImportError
from ...storage import layout
from ...storage.read import Storage
from .findings import Finding

T = TypeVar("T")

_STAND_IN = "(line "  # and the number of the faulty line: the name of the label in its place
_MAX_FAULTS = 100  # of one file: what has more is not the file it seems to be


def read_labels(storage: Storage) -> tuple[LabelMap | None, list[Finding]]:
    """Return the label map of an archive as far as it can be read, None where it cannot at all.

    A faulty line keeps its place, so that the gray values of the others stay what they are.
    """
    if not storage.exists(layout.LABEL_MAP):
        what = "there is no label map, so the labels of the VOC dataset hold"
        fix = "write a label map if other labels are meant"
        return voc_label_map(), [Finding("no-label-map", layout.LABEL_MAP, what, fix)]
    try:
        text, findings = _read_text(storage, layout.LABEL_MAP, "label-map")
    except SegmaskImportError as error:
        return None, [of_error(error, storage, layout.LABEL_MAP)]

    def stand_in(line: int) -> str:
        color = voc_color(COLORS - 1 - line)
        return f"{_STAND_IN}{line}):{','.join(map(str, color if color != VOID else (1, 1, 1)))}::"

    parse = partial(parse_label_map, where=layout.LABEL_MAP)
    label_map, faults = _parse(text, parse, _label_map_kind, layout.LABEL_MAP, stand_in)
    return label_map, findings + faults


def is_stand_in(label: Label) -> bool:
    """Tell whether a label only keeps the place of a faulty line."""
    return label.name.startswith(_STAND_IN)


def _label_map_kind(error: SegmaskImportError) -> str:
    is_color = isinstance(error, LabelMapError) and "is also the colour of" in error.what
    return "duplicate-colour" if is_color else "label-map"


def read_lists(storage: Storage) -> tuple[dict[str, list[str]], list[Finding]]:
    """Return the ids of each subset as far as the lists can be read."""
    subsets: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for place in sorted(storage.files(layout.SUBSETS)):
        name = place.removeprefix(layout.SUBSETS + "/").removesuffix(layout.LIST_SUFFIX)
        if "/" in name or not place.endswith(layout.LIST_SUFFIX):
            continue
        try:
            layout.check_name(name, place)
            text, faults = _read_text(storage, place, "subset-list")
        except SegmaskImportError as error:
            findings.append(of_error(error, storage, place))
            continue

        def parse(text: str, place: str = place) -> list[str]:
            lines = text.split("\n")
            ids = layout.parse_subset_list(lines, place, partial(has_masks, storage))
            return list(dict.fromkeys(ids))

        ids, more = _parse(text, parse, lambda _: "subset-list", place, lambda _: "")
        findings += faults + more
        subsets[name] = ids or []
    return subsets, findings


def of_error(
    error: SegmaskImportError, storage: Storage, file: str, item: str | None = None
) -> Finding:
    """Return an error of a reader as a finding; ``file`` is what it is about."""
    kinds = {
        "PngError": "unreadable-mask",
        "MaskLimitError": "unreadable-mask",
        "UnsafePathError": "unsafe-path",
        "LabelMapError": "label-map",
        "SubsetListError": "subset-list",
    }
    kind = kinds.get(type(error).__name__, "unreadable-file")
    what = error.what if not error.expected else f"{error.what}; expected: {error.expected}"
    return Finding(kind, file, what, error.remedy, item)


def _read_text(storage: Storage, place: str, kind: str) -> tuple[str, list[Finding]]:
    data = storage.read(place)
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte {error.start:,} ({data[error.start]:#04x}) is no UTF-8"
        fix = "save the file as UTF-8; many editors call that its encoding"
        # Latin-1 gives every byte a letter; what has NULs is no text at all.
        text = "" if b"\0" in data else data.decode("latin-1")
        return text, [Finding(kind, f"{place}:{line}", what, fix)]


def _parse(
    text: str,
    parse: Callable[[str], T],
    kind_of: Callable[[SegmaskImportError], str],
    place: str,
    stand_in: Callable[[int], str],
) -> tuple[T | None, list[Finding]]:
    """Parse a text past its faulty lines, each replaced by ``stand_in`` of its number."""
    lines = text.split("\n")
    findings: list[Finding] = []
    while True:
        try:
            return parse("\n".join(lines)), findings
        except SegmaskImportError as error:
            findings.append(
                Finding(
                    kind_of(error),
                    error.where,
                    f"{error.what}; expected: {error.expected}",
                    error.remedy,
                )
            )
            number = error.where.removeprefix(f"{place}:")
            if not number.isdigit() or len(findings) > _MAX_FAULTS:
                return None, findings
            lines[int(number) - 1] = stand_in(int(number))
