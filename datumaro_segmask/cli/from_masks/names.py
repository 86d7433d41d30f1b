"""The labels of masks that are no archive: names, a label map, or names in JSON or YAML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...archive import (
    BACKGROUND,
    MAX_LABELS,
    Label,
    LabelMap,
    find_background,
    make_label_map,
    read_label_map_file,
)
from ...colors import BLACK, Rgb, voc_color
from ...errors import LabelMapError, MissingFileError, printable
from ...storage import FolderStorage

_WHITE: Rgb = (255, 255, 255)
# A field behind the name that a label map has and a list of names has not: a colour, or nothing.
_FIELD = re.compile(r":\s*(-?\d+\s*,[^:]*)?(:|$)")
_IGNORED, _GROUND = "__ignore__", "_background_"  # labelme's, with the values -1 and 0
_IGNORED_VALUE = 255  # -1 in 8 bits
_MARKUP = re.compile(r"[{}]|^<")
_COLUMNS = re.compile("[,;\t]")
_NUMBER = re.compile(r"[-\d\s.]*\d[\d\s.]*")
_NUMBERED = re.compile(r"-?\d+(\s|\s?[:.)=|]\s)")
_SHOWN_TEXT = 80  # characters of a line in messages
_MAX_BYTES = 1 << 24
_SHOWN = 8  # labels of which a table was read that are named
_MAX_STRUCTURED = 1 << 20  # characters; YAML is slow to read
_EXPECTED = "one name per line, a label map, or a list of names in JSON or YAML"
_REMEDY = (
    "write the names of the labels, one per line, in the order of their values; if the masks are "
    "in colour, write lines such as 'car:255,0,0::'"
)
_KEYS = ("names", "classes", "labels", "categories", "id2label", "label_map", "label_names")
_STRUCTURED = re.compile(rf"\s*[\[{{]\s*[\"'\[{{\w\]]|-\s|(.*\n)*?({'|'.join(_KEYS)}):(\s|$)")
_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Labels:
    """The labels of masks; ``ignored`` is the gray value without one.

    ``read_as`` says what the file was taken for, where that is not plain.
    """

    label_map: LabelMap
    ignored: int | None = None
    read_as: str = ""

    def doubt(self) -> str | None:
        """Say what comes of labels without a background, or return None."""
        if find_background([label.name for label in self.label_map.labels]) is not None:
            return None
        first = next((lab for lab in self.label_map.labels if lab.index == 0), None)
        what = f"no label is called {BACKGROUND!r}"
        if first is not None:
            what += f", so all pixels of value 0 are objects of {first.name!r}"
        return printable(
            f"{self.label_map.where}: {what}. To fix it: if these are no objects, call their label "
            f"{BACKGROUND!r}."
        )


class _Row(NamedTuple):
    """A label with its value in gray masks, its colour if it has one, and its line."""

    value: int
    name: str
    color: Rgb | None
    line: int


def binary_labels(name: str) -> Labels:
    """Return the labels of masks in black and white: 0 is the background, 1 or 255 the label."""
    ground = Label(BACKGROUND, BLACK, 0, line=1)
    return Labels(make_label_map([ground, Label(name, _WHITE, 1, line=2)], "option --binary"))


def read_labels_file(path: str) -> Labels:
    """Read a label map, or names, of which the index of a line is the value in gray masks.

    Names may stand in JSON or YAML, too. A table of names is an error, because it can mean many
    things.

    Names get the VOC colours of their values, but ``background`` is black, and no other label is.
    Raises LabelMapError or MissingFileError.
    """
    if not os.path.isfile(path):
        what = "names of labels, one per line, or a label map"
        raise MissingFileError("there is no such file", path, what, "check the path")
    folder, name = os.path.split(path)
    data = FolderStorage(folder or os.curdir).read(name, _MAX_BYTES)
    text = data.decode("utf-8-sig", "replace")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or "\ufffd" in text:
        return Labels(read_label_map_file(path))
    if _is_structured(text, path):
        rows = _read_structured(text, path)
        return _of_rows(rows, path, "a list of names in JSON or YAML")
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if any(_FIELD.search(line) for line in lines):
        return Labels(read_label_map_file(path))
    if not text.strip():
        return Labels(make_label_map([], path))
    if _is_table(lines):
        raise LabelMapError(
            f"the lines are a table, such as {lines[-1][:_SHOWN_TEXT]!r}", path, _EXPECTED, _REMEDY
        )
    return _of_names(lines, path)


def _is_table(lines: Sequence[str]) -> bool:
    """Return whether each line, except a head, has a number in its own column or before it."""
    filled = [line for line in lines if line]
    rows = filled[1:] or filled
    return (
        any("\t" in line for line in rows)
        or all(_has_number(_COLUMNS.split(line)) for line in rows)
        or all(map(_NUMBERED.match, rows))
        or (len(filled) == 1 and len(_COLUMNS.split(filled[0])) > 2)
    )


def _has_number(columns: Sequence[str]) -> bool:
    return len(columns) > 1 and any(map(_NUMBER.fullmatch, columns))


def _of_names(lines: Sequence[str], path: str) -> Labels:
    first = 1 if lines[0] == _IGNORED else 0
    rows = []
    for number, name in enumerate(lines, 1):
        if number > first:
            _check(name, f"{path}:{number}")
            rows.append(_Row(number - 1 - first, name, None, number))
    if first or rows[0].name == _GROUND:
        return _of_rows(rows, path, "a list of labelme", _IGNORED_VALUE if first else None)
    return _of_rows(rows, path)


def _check(name: str, where: str) -> None:
    what = None
    if not name or name.startswith("#"):
        what = "the line is blank" if not name else "the line is a comment"
    elif _MARKUP.search(name):
        what = f"{name[:_SHOWN_TEXT]!r} is not a name, but a line of another format"
    if what:
        raise LabelMapError(
            what,
            where,
            "one name per line, because the index of the line is the value in the masks",
            "remove the line, or write the name of the label whose value it is",
        )


def _of_rows(
    rows: Sequence[_Row], path: str, read_as: str = "", ignored: int | None = None
) -> Labels:
    rows = [
        row._replace(name=BACKGROUND) if row.name == _GROUND and row.value == 0 else row
        for row in rows
        if row.value >= 0
    ]
    labels = [Label(row.name, row.color or _color(row, rows), row.value, line=row.line)
              for row in rows]  # fmt: skip
    if read_as:
        if (
            labels
            and all(label.index for label in labels)
            and all(label.name.lower() != BACKGROUND for label in labels)
        ):
            labels.insert(0, Label(BACKGROUND, BLACK, 0))
        shown = ", ".join(f"{label.index} {label.name}" for label in labels[:_SHOWN])
        read_as += f": {shown}{' ...' if len(labels) > _SHOWN else ''}"
    return Labels(make_label_map(labels, path), ignored, printable(read_as))


def _color(row: _Row, rows: Sequence[_Row]) -> Rgb:
    if row.name.lower() == BACKGROUND:
        return BLACK
    return voc_color(row.value or max(row.value for row in rows) + 1)


# JSON and YAML


def _is_structured(text: str, path: str) -> bool:
    """Return whether a file is JSON or YAML."""
    is_named = os.path.splitext(path)[1].lower() in _SUFFIXES
    return is_named or _STRUCTURED.match(text[:_MAX_STRUCTURED]) is not None


def _read_structured(text: str, path: str) -> list[_Row]:
    """Return the labels of JSON or YAML: a list of names, or names by their values.

    They may stand under ``names``, ``classes``, ``id2label`` and their like. Raises LabelMapError.
    """
    try:
        found = list(_rows_of(_parsed(text)))
    except (ValueError, TypeError, KeyError, RecursionError):
        found = []
    values = [row.value for row in found]
    if not found or len(set(values)) < len(values) or max(values) >= MAX_LABELS:
        raise LabelMapError(
            "the file is JSON or YAML, but has no list of names", path, _EXPECTED, _REMEDY
        )
    return found


def _parsed(text: str) -> Any:
    if len(text) > _MAX_STRUCTURED:
        raise ValueError
    try:
        return json.loads(text)
    except ValueError:
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError from error


def _rows_of(found: Any) -> Iterator[_Row]:
    if isinstance(found, Mapping):
        below = next((found[key] for key in _KEYS if key in found), None)
        if below is not None and not isinstance(below, (str, int)):
            yield from _rows_of(below)
            return
        for position, (key, value) in enumerate(found.items(), 1):
            if isinstance(value, int):  # names to values, as in label2id
                key, value = value, key
            yield _Row(int(key), _name(value), None, position)
    elif isinstance(found, list):
        for position, entry in enumerate(found):
            value, name, color = position, entry, None
            if isinstance(entry, Mapping):  # categories of COCO
                value, name = int(entry.get("id", position)), entry["name"]
                color = _color_of(entry.get("color"))
            yield _Row(value, _name(name), color, position + 1)


def _name(found: Any) -> str:
    if not isinstance(found, str) or not found.strip():
        raise TypeError
    return found.strip()


def _color_of(found: Any) -> Rgb | None:
    if (
        isinstance(found, list)
        and len(found) == 3
        and all(isinstance(value, int) and 0 <= value <= 255 for value in found)
    ):
        red, green, blue = found
        return red, green, blue
    return None
